"""Pictures of maps, of their stability and of confusable pairs, judged by the data they hold."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from sample_records import sample_clips, sample_embedding, sample_features, sample_predictions

from medn_lab import view
from medn_lab.diagnose import aligned_umap, confusable_sets, pair_separation, rank_pairs, umap
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


@pytest.fixture(scope="module")
def ranked(clips, features):
    return rank_pairs(clips.table, features=features, predictions=sample_predictions(clips))


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


class TestPairs:
    def test_every_pair_is_a_point_in_its_place(self, ranked):
        figure = view.plot_confusable_pairs(ranked)
        drawn = {}
        for trace in figure.data:
            for ids, x, y in zip(trace.customdata, trace.x, trace.y, strict=True):
                drawn[tuple(ids)] = (x, y, trace.marker.symbol, trace.name)
        assert len(drawn) == len(ranked)
        for row in ranked.itertuples():
            x, y, symbol, name = drawn[row.clip_a, row.clip_b]
            assert (x, y) == pytest.approx((1 - row.motion_similarity, row.emotion_separation))
            assert symbol == ("diamond" if row.opposite else "circle")
            assert name.startswith(row.verdict)
        assert "AU sets without side and intensity" in texts(figure).replace("<br>", " ")

    def test_the_pointer_shows_both_clips(self, ranked):
        first = ranked.iloc[0]
        shown = [text for trace in view.plot_confusable_pairs(ranked).data for text in trace.hovertext]
        mine = next(text for text in shown if "rank 1<" in f"{text}<")
        for part in (first["clip_a"], first["clip_b"], first["label_a"], f"AU {first['action_units']}"):
            assert part in mine
        for rank, row in ranked.iterrows():
            mine = next(text for text in shown if text.endswith(f"rank {rank}"))
            wrong = [row[f"predicted_{side}"] for side in "ab" if row[f"predicted_{side}"] != row[f"label_{side}"]]
            assert mine.count("predicted") == len(wrong)
            assert all(f"predicted {said}" in mine for said in wrong)

    def test_many_pairs_are_thinned_out_and_it_is_said(self, ranked):
        many = pd.concat([ranked] * 40, ignore_index=True)
        figure = view.plot_confusable_pairs(many)
        step = -(-len(many) // 4000)
        assert step > 1
        assert sum(len(trace.x) for trace in figure.data) == -(-len(many) // step)
        assert f"one in {step} drawn" in texts(figure)

    def test_no_pairs_are_said_to_be_none_and_why(self, clips, features):
        table = clips.table.assign(action_units="?")
        for figure in (
            view.plot_confusable_pairs(rank_pairs(table, features=features)),
            view.plot_confusable_sets(confusable_sets(table)),
            view.plot_pair_separation(pair_separation(table, features=features)),
        ):
            assert not figure.data
            assert "None here, because the AUs of all 60 clips are unknown." in texts(figure)

    def test_the_bars_of_the_sets_are_their_counts(self, clips):
        sets = confusable_sets(clips.table)
        figure = view.plot_confusable_sets(sets)
        for trace in figure.data:
            assert list(trace.x) == sets[trace.name].tolist()
            assert trace.marker.color == theme.emotion_colour(trace.name)
        assert sum(sum(trace.x) for trace in figure.data) == sets["n_clips"].sum()
        assert f"{sets['n_pairs'].iloc[0]} pairs" in texts(figure)

    def test_more_sets_than_find_room_are_counted(self, clips):
        sets = confusable_sets(clips.table)
        many = pd.concat([sets] * 30, ignore_index=True)
        assert f"{len(many) - 24} smaller sets not drawn" in texts(view.plot_confusable_sets(many))

    def test_separation_is_drawn_with_its_interval_and_the_line_of_aus_alone(self, clips, features):
        found = pair_separation(clips.table, features=features, n_resamples=50)
        figure = view.plot_pair_separation(found)
        assert [trace.x[0] for trace in figure.data] == found["value"].tolist()
        row = found.iloc[0]
        assert figure.data[0].error_x.array[0] == pytest.approx(row["high"] - row["value"])
        assert [shape.x0 for shape in figure.layout.shapes] == [0.5]
        assert f"{row['n_pairs']} pairs against {row['n_controls']}" in texts(figure)
        assert "95% interval over subjects" in texts(figure)

    def test_tables_of_something_else_are_refused(self):
        for draw, maker in (
            (view.plot_confusable_pairs, "rank_pairs"),
            (view.plot_confusable_sets, "confusable_sets"),
            (view.plot_pair_separation, "pair_separation"),
        ):
            with pytest.raises(ValueError, match=f"the table lacks .*; give the table of medn.diagnose.{maker}"):
                draw(pd.DataFrame({"clip_id": ["a"]}))
