"""Figures, judged by the data they hold."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sample_records import (
    AUS,
    CLASSES,
    sample_clips,
    sample_predictions,
)

from medn_lab import view
from medn_lab.view import theme


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=20)


@pytest.fixture(scope="module")
def predictions(clips):
    return sample_predictions(clips)


def texts(figure):
    return " ".join(str(note.text) for note in figure.layout.annotations) + " " + str(figure.layout.title.text)


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


def test_an_unknown_clip_is_named_in_one_sentence(clips, predictions):
    for draw in (lambda: view.plot_clip(clips, "nobody"), lambda: view.plot_scores(predictions, "nobody")):
        with pytest.raises(ValueError, match="'nobody'"):
            draw()


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
