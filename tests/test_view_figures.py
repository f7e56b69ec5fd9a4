"""Figures, judged by the data they hold."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sample_records import (
    AUS,
    CLASSES,
    sample_clips,
    sample_embedding,
    sample_features,
    sample_history,
    sample_predictions,
)

from medn_lab import view
from medn_lab.records import History
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


def test_every_curve_of_a_history_is_drawn_and_named():
    history = sample_history()
    figure = view.plot_history(history)
    curves = {trace.meta: trace for trace in figure.data}
    assert set(curves) == set(history.table.columns) - {"epoch", "seconds", "learning_rate"}
    assert np.allclose(curves["au"].y, history.table["au"])
    assert all(trace.name for trace in figure.data)
    assert {curves[name].yaxis for name in ("accuracy", "validation_accuracy")} == {"y2"}


def test_a_validation_curve_has_its_training_curves_colour_and_is_dashed():
    curves = {trace.meta: trace for trace in view.plot_history(sample_history()).data}
    assert curves["validation_loss"].line.color == curves["loss"].line.color
    assert (curves["loss"].line.dash, curves["validation_loss"].line.dash) == ("solid", "dash")


def test_what_was_watched_has_panels_of_its_own_and_what_is_allowed_is_dotted():
    history = sample_history(epochs=4)
    watched = {"dependence_linear_cka": 0.2, "leak_aus_from_emotion": 0.8, "leak_aus_from_emotion_allowed": 0.55}
    figure = view.plot_history(dataclasses.replace(history, table=history.table.assign(**watched)))
    curves = {trace.meta: trace for trace in figure.data}
    assert [curves[name].yaxis for name in watched] == ["y3", "y4", "y4"]
    leak, allowed = curves["leak_aus_from_emotion"], curves["leak_aus_from_emotion_allowed"]
    assert (leak.line.dash, allowed.line.dash) == ("solid", "dot")
    assert leak.line.color == allowed.line.color == theme.branch_colour("emotion")
    assert {trace.yaxis for trace in view.plot_history(history).data} == {"y", "y2"}


def test_a_history_without_epochs_says_so():
    empty = History(pd.DataFrame({"epoch": [], "loss": [], "accuracy": []}), status="waiting")
    assert "no epoch has ended yet" in texts(view.plot_history(empty))


def test_a_confusion_matrix_shows_counts_and_row_shares():
    matrix = pd.DataFrame([[3, 1], [0, 0]], index=["anger", "fear"], columns=["anger", "fear"])
    figure = view.plot_confusion_matrix(matrix)
    assert np.allclose(figure.data[0].z, [[0.75, 0.25], [0, 0]])
    assert np.allclose(figure.data[0].customdata, matrix)
    assert "<b>3</b><br><span style='font-size:11px'>75%</span>" in texts(figure)
    assert "75.0% on the diagonal" in figure.layout.title.subtitle.text
    assert "n = 4" in figure.layout.yaxis.ticktext[0]


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        (pd.DataFrame(), "is empty"),
        (pd.DataFrame([[-1]]), "negative or missing"),
        (pd.DataFrame([[np.nan]]), "missing"),
    ],
)
def test_a_confusion_matrix_of_nonsense_is_refused(matrix, sentence):
    with pytest.raises(ValueError, match=sentence):
        view.plot_confusion_matrix(matrix)


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


def test_an_unknown_clip_is_named_in_one_sentence(predictions):
    with pytest.raises(ValueError, match="'nobody'"):
        view.plot_scores(predictions, "nobody")


def test_emotion_scores_are_the_softmax_and_the_label_is_marked(predictions):
    clip_id, label = predictions.table.loc[0, ["clip_id", "label"]]
    bars = view.plot_scores(predictions, clip_id).data[0]
    assert np.allclose(bars.x, predictions.probabilities[0])
    assert [name.split(" ◀")[0] for name in bars.y] == list(CLASSES)
    assert [name for name in bars.y if "label" in name] == [f"{label} ◀ label"]
    assert bars.marker.color[0] == theme.emotion_colour(CLASSES[0])


def test_au_scores_are_the_sigmoid_and_coded_aus_are_marked(predictions):
    figure = view.plot_au_scores(predictions, predictions.table["clip_id"].iloc[0])
    bars, marks = figure.data
    assert np.allclose(bars.x, predictions.au_probabilities[0])
    coded = {au for au, said in zip(marks.y, marks.customdata, strict=True) if said == "coded present"}
    assert coded == {au for au in AUS if predictions.table[au].iloc[0] == 1}


def test_an_au_that_was_not_coded_either_way_gets_no_mark(predictions):
    unknown = dataclasses.replace(predictions, table=predictions.table.assign(AU4=np.nan))
    marks = view.plot_au_scores(unknown, predictions.table["clip_id"].iloc[0]).data[1]
    assert "AU4" not in marks.y


def test_au_scores_of_a_model_without_them_are_refused(predictions):
    without = dataclasses.replace(predictions, au_logits=None, aus=())
    with pytest.raises(ValueError, match="hold no AU scores"):
        view.plot_au_scores(without, predictions.table["clip_id"].iloc[0])
