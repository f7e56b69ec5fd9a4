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
