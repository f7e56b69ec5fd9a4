"""Figures, judged by the data they hold."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sample_records import sample_clips, sample_embedding, sample_features, sample_predictions

from medn_lab import view
from medn_lab.view import theme
from medn_lab.view.colouring import CAUTION


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=20)


@pytest.fixture(scope="module")
def predictions(clips):
    return sample_predictions(clips)


@pytest.fixture(scope="module")
def embedding(clips):
    return sample_embedding(sample_features(clips))


def texts(figure):
    return " ".join(str(note.text) for note in figure.layout.annotations) + " " + str(figure.layout.title.text)


def test_each_clip_stands_once_on_each_map_in_its_emotions_colour(embedding):
    figure = view.plot_embedding(embedding)
    for axis, name in (("x", "motion_xy"), ("x2", "emotion_xy"), ("x3", "fused_xy")):
        points = [trace for trace in figure.data if trace.xaxis == axis]
        ids = np.concatenate([trace.customdata for trace in points])
        assert sorted(ids) == sorted(embedding.table["clip_id"])
        places = pd.DataFrame({"x": np.concatenate([trace.x for trace in points])}, index=ids)
        assert np.allclose(places.loc[embedding.table["clip_id"], "x"], getattr(embedding, name)[:, 0])
    colours = {trace.legendgroup: trace.marker.color for trace in figure.data}
    assert colours["disgust"] == theme.emotion_colour("disgust")


def test_the_maps_say_how_they_were_made_and_what_they_do_not_show(embedding):
    figure = view.plot_embedding(embedding)
    said = texts(figure) + figure.layout.title.subtitle.text
    for part in ("UMAP", "neighbours 15", "seed 0", "trustworthiness 0.962", CAUTION):
        assert part in said


def test_a_missing_map_is_left_out(embedding):
    figure = view.plot_embedding(dataclasses.replace(embedding, emotion_xy=None))
    assert {trace.xaxis for trace in figure.data} == {"x", "x2"}
    assert "emotion branch" not in texts(figure)


def test_predictions_are_joined_by_clip_id_not_by_row(embedding, predictions):
    shuffled = predictions.select(predictions.table["clip_id"][::-1])
    for by in ("predicted", "correctness"):
        one = view.plot_embedding(embedding, colour_by=by, predictions=predictions)
        other = view.plot_embedding(embedding, colour_by=by, predictions=shuffled)
        assert one.to_json() == other.to_json()


def test_predictions_of_other_clips_are_refused(embedding, predictions):
    table = predictions.table.assign(clip_id=[f"other{i}" for i in range(len(predictions))])
    with pytest.raises(ValueError, match="none of the 20 clips of the embedding is among the 20 predictions"):
        view.plot_embedding(embedding, predictions=dataclasses.replace(predictions, table=table))


def test_the_figure_of_a_clip_is_small_and_holds_its_flow(clips, predictions):
    clip_id = clips.table["clip_id"].iloc[0]
    figure = view.plot_clip(clips, clip_id, predictions=predictions)
    heat = next(trace for trace in figure.data if trace.type == "heatmap")
    assert heat.zmax == pytest.approx(np.hypot(*np.moveaxis(clips.flow[0], -1, 0)).max())
    assert len(figure.to_json()) < 200_000
    assert sum(trace.type == "image" for trace in figure.data) == 3
    assert figure.layout.width <= 1050
    for part in (clip_id, "disgust", "AU4", "arrows ×", "apex"):
        assert part in texts(figure)


def test_the_figure_of_a_clip_says_what_it_lacks(clips):
    clip_id = clips.table["clip_id"].iloc[0]
    bare = clips.table[["clip_id", "subject", "label"]]
    flow_alone = dataclasses.replace(clips, frames=None, table=bare)
    assert "no frames in these clips" in texts(view.plot_clip(flow_alone, clip_id))
    assert "no AUs are coded" in texts(view.plot_clip(flow_alone, clip_id))
    frames_alone = dataclasses.replace(clips, flow=None, table=bare)
    assert "no flow in these clips" in texts(view.plot_clip(frames_alone, clip_id))
    assert "the apex is not known" in texts(view.plot_clip(frames_alone, clip_id))
    assert "no predictions were given" in texts(view.plot_clip(clips, clip_id))


@pytest.mark.parametrize("width", [620, 760, 820, 1020, 1400])
def test_the_names_beside_the_bars_of_a_clip_find_room_at_any_width(clips, predictions, width):
    row = clips.table.iloc[0]
    figure = view.plot_clip(clips, row["clip_id"], predictions=predictions, width=width, height=300)
    inner = width - figure.layout.margin.l - figure.layout.margin.r
    longest = f"{row['label']} ◀ label"
    assert longest in figure.data[-1].y
    for axis in (figure.layout.xaxis4, figure.layout.xaxis5):
        room = (axis.domain[0] - figure.layout.xaxis3.domain[1]) * inner
        assert room >= 5.9 * len(longest)  # 10.5 px letters are 5.9 px wide at most
        assert (axis.domain[1] - axis.domain[0]) * inner > 80


def test_the_figure_of_a_large_clip_stays_small():
    clips = sample_clips(n=1, size=160)
    assert len(view.plot_clip(clips, clips.table["clip_id"].iloc[0]).to_json()) < 200_000


def test_an_unknown_clip_is_named_in_one_sentence(clips):
    with pytest.raises(ValueError, match="'nobody'"):
        view.plot_clip(clips, "nobody")
