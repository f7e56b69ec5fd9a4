"""Pictures of maps, of their stability and of confusable pairs, judged by the data they hold."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from sample_records import sample_clips, sample_embedding, sample_features

from medn_lab import view
from medn_lab.diagnose import aligned_umap, umap
from medn_lab.view import theme
from medn_lab.view.colouring import CAUTION


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=60)


@pytest.fixture(scope="module")
def features(clips):
    return sample_features(clips)


@pytest.fixture(scope="module")
def embedding(features):
    return umap(features, layers={"stem<1>": features.motion[:, :3]}, method="pca")


@pytest.fixture(scope="module")
def maps(features, clips):
    return aligned_umap({"early": sample_features(clips, seed=5), "late": features}, method="pca")


def texts(figure):
    notes = [str(note.text) for note in figure.layout.annotations]
    return " ".join([*notes, str(figure.layout.title.text), str(figure.layout.title.subtitle.text)])


class TestMaps:
    def test_trustworthiness_continuity_and_their_chance_are_written_on_the_picture(self, embedding):
        said = texts(view.plot_embedding(embedding))
        for name in ("motion", "emotion", "fused", "stem<1>"):
            assert f"trustworthiness {embedding.trustworthiness[name]:.3f}" in said
            assert f"continuity {embedding.continuity[name]:.3f}" in said
            assert f"{embedding.params['variance'][name]:.0%} of the variance" in said
        assert "PCA · metric euclidean · 60 clips" in said
        assert f"a random map has {embedding.params['quality_chance']:.2f}" in said
        assert CAUTION in said

    def test_no_heading_runs_into_the_next_map(self, embedding, maps):
        for figure in (view.plot_embedding(embedding), view.plot_embeddings(maps)):
            axis = figure.layout.xaxis.domain
            room = (axis[1] - axis[0]) * (figure.layout.width - 28)
            lines = [
                line
                for note in figure.layout.annotations
                for line in re.sub("<(?!br).*?>", "", note.text).split("<br>")
            ]
            assert max(map(len, lines)) * 5.6 < room  # 11 px letters are 5.5 wide on average

    def test_how_the_maps_were_made_is_broken_where_the_picture_is_narrow(self, features, clips):
        names = {"a checkpoint with a name": sample_features(clips, seed=5), "another": features}
        narrow = view.plot_embeddings(aligned_umap(names, branches=("motion",), method="pca"), width=300)
        lines = str(narrow.layout.title.subtitle.text).split("<br>")
        assert " ".join(lines[:2]).endswith("aligned to a checkpoint with a name")
        assert max(map(len, lines)) * 6.3 < 300
        assert CAUTION in " ".join(lines)
        assert narrow.layout.margin.t > 17 * len(lines)

    def test_a_layer_has_its_own_panel_below_the_branches(self, embedding):
        figure = view.plot_embedding(embedding)
        last = [trace for trace in figure.data if trace.xaxis == "x4"]
        ids = np.concatenate([trace.customdata for trace in last])
        x = pd.Series(np.concatenate([trace.x for trace in last]), index=ids)
        np.testing.assert_allclose(x[embedding.table["clip_id"]], embedding.layers["stem<1>"][:, 0])
        assert figure.layout.yaxis4.domain[1] < figure.layout.yaxis.domain[0]
        assert figure.layout.xaxis5.visible is False
        assert "stem&lt;1&gt;" in texts(figure)

    def test_a_layer_alone_can_be_drawn(self, features):
        alone = umap(features, layers={"stem": features.motion}, branches=(), method="pca")
        assert {trace.xaxis for trace in view.plot_embedding(alone).data} == {"x"}

    def test_lowered_neighbours_are_told(self, clips):
        embedding = sample_embedding(sample_features(clips))
        few = embedding.select(embedding.table["clip_id"][:13])
        params = {"method": "umap", "n_neighbors": 6, "n_neighbors_asked": 15, "seed": 0, "n_clips": 13}
        said = texts(view.plot_embedding(dataclasses.replace(few, params=params)))
        assert "UMAP · neighbours 6 (lowered from 15: 13 clips are few for a map), seed 0 · 13 clips" in said

    def test_a_part_of_the_clips_says_of_how_many_the_map_was_made(self, embedding):
        part = embedding.select(embedding.table["clip_id"][:20])
        assert "20 of 60 clips" in texts(view.plot_embedding(part))

    def test_what_was_not_measured_or_is_undefined_is_said(self, clips):
        embedding = sample_embedding(sample_features(clips))
        dead = dataclasses.replace(embedding, trustworthiness={"motion": float("nan")})
        said = texts(view.plot_embedding(dead))
        assert "motion branch</b><br><span style='font-size:11px'>constant</span>" in said
        assert "continuity not measured" in said


class TestCheckpoints:
    def test_a_clip_has_one_colour_and_one_pair_of_axes_in_all_rows(self, maps):
        figure = view.plot_embeddings(maps)
        assert len({trace.xaxis for trace in figure.data}) == 6
        for row in ("", "4"):
            assert figure.layout[f"xaxis{row}"].range == figure.layout.xaxis.range
            assert figure.layout[f"yaxis{row}"].range == figure.layout.yaxis.range
        places = {}
        for trace in figure.data:
            if trace.xaxis == "x4":
                places.update(zip(trace.customdata, trace.x, strict=True))
        late = maps["late"]
        np.testing.assert_allclose([places[name] for name in late.table["clip_id"]], late.motion_xy[:, 0])

    def test_it_says_what_may_be_compared(self, maps, features):
        said = texts(view.plot_embeddings(maps))
        assert f"shift {maps['late'].params['shift']['motion']:.2f}" in said
        assert "aligned to early" in said
        single = {name: umap(features, method="pca") for name in ("a", "b")}
        assert "places cannot be compared between rows" in texts(view.plot_embeddings(single))

    def test_other_clips_are_refused(self, maps):
        part = maps["late"].select(maps["late"].table["clip_id"][:50])
        with pytest.raises(ValueError, match="early and late differ in 10 clips"):
            view.plot_embeddings({"early": maps["early"], "late": part})
        with pytest.raises(ValueError, match="no embedding to draw"):
            view.plot_embeddings({})
        one = dataclasses.replace(maps["late"], emotion_xy=None, fused_xy=None)
        other = dataclasses.replace(maps["early"], motion_xy=None)
        with pytest.raises(ValueError, match="have no map in common"):
            view.plot_embeddings({"a": one, "b": other})


class TestStability:
    table = pd.DataFrame(
        {
            "map": ["motion"] * 3 + ["stem"] * 3, "seed_a": [0, 0, 1] * 2, "seed_b": [1, 2, 2] * 2,
            "overlap": [0.9, 0.8, 0.7, 0.3, 0.2, 0.1], "chance": 0.05, "disparity": [0.1, 0.2, 0.3] * 2,
            "n_neighbors": 15, "n_clips": 300,
        }
    )  # fmt: skip

    def test_a_dot_is_a_pair_of_seeds_and_chance_is_drawn(self):
        figure = view.plot_map_stability(self.table)
        traces = {trace.name: trace for trace in figure.data}
        assert traces["motion overlap"].x.tolist() == [0.9, 0.8, 0.7]
        assert traces["stem mean disparity"].x[0] == pytest.approx(0.2)
        assert traces["motion overlap"].marker.color == theme.branch_colour("motion")
        assert [shape.x0 for shape in figure.layout.shapes] == [0.05]
        assert "300 clips · 3 seeds, a dot a pair · 15 neighbours" in texts(figure)

    def test_a_table_that_lacks_something_is_refused(self):
        with pytest.raises(ValueError, match="lacks chance"):
            view.plot_map_stability(self.table.drop(columns="chance"))
        with pytest.raises(ValueError, match="is empty"):
            view.plot_map_stability(self.table[:0])
