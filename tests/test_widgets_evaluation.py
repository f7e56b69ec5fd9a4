"""EvaluationPanel and the summary that it shows: cells, clips, tables, and the sentence where one is missing."""

import re
from dataclasses import replace

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from page_contents import click, control, figure_of, parts, text_of
from sample_records import CLASSES, sample_clips, sample_predictions

from medn_lab import evaluate
from medn_lab.records import EvaluationSummary, Predictions
from medn_lab.view.answers import UNLABELLED
from medn_lab.widgets import EvaluationPanel
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.panel import table_html

CLIPS = sample_clips(n=40)
PREDICTIONS = sample_predictions(CLIPS)


@pytest.fixture(scope="module")
def summary():
    return evaluate.evaluation_summary(PREDICTIONS, floor=evaluate.au_only_floor(CLIPS.table), n_resamples=50)


@pytest.fixture
def panel(summary):
    return EvaluationPanel(summary, clips=CLIPS)


def summary_of(*, fold=None, **columns):
    table = PREDICTIONS.table.assign(**columns)
    return evaluate.evaluation_summary(replace(PREDICTIONS, table=table, fold=fold), n_resamples=9)


def listed(panel):
    """Ids of the clips in the list, in its order."""
    return [clip_id for _, clip_id in parts(panel, ipywidgets.Select)[0].options]


def test_a_summary_holds_what_the_single_functions_return_of_the_clips_whose_label_is_known(summary):
    floor = evaluate.au_only_floor(CLIPS.table)
    scores = summary.scores.set_index("measure")
    for name, measure in (("accuracy", evaluate.accuracy), ("UF1", evaluate.uf1), ("UAR", evaluate.uar)):
        alone = evaluate.bootstrap_interval(PREDICTIONS, measure=measure, n_resamples=50)
        assert scores.loc[name, ["value", "low", "high"]].tolist() == [alone.value, alone.low, alone.high]
    assert scores.loc["accuracy", "floor"] == evaluate.accuracy(floor.table["label"], floor.predicted)
    assert summary.aus.equals(evaluate.au_detection(PREDICTIONS, n_resamples=50))
    assert summary.notes == ()
    folds = summary_of(fold=np.arange(40) % 4, dataset=np.where(np.arange(40) % 2, "a", "b"))
    assert folds.folds[["held_out", "n_test"]].to_numpy().tolist() == [[f"s0{k}", 10] for k in (1, 2, 3, 4)]
    assert list(dict.fromkeys(folds.scores["part"])) == ["all", "a", "b"]
    assert set(folds.subjects["subject"]) == {"a/s02", "a/s04", "b/s01", "b/s03"}
    floor = evaluate.au_only_floor(CLIPS.table.iloc[:20])
    assert "20 of the 40" in " ".join(evaluate.evaluation_summary(PREDICTIONS, floor=floor, n_resamples=9).notes)
    rest = PREDICTIONS.select(PREDICTIONS.table["clip_id"].iloc[20:])
    assert evaluate.evaluation_summary(rest, floor=floor, n_resamples=9).scores["floor"].isna().all()


def test_it_begins_with_the_surest_clip_and_a_click_on_a_cell_lists_its_clips(panel):
    scores = pd.Series(PREDICTIONS.probabilities.max(axis=1), PREDICTIONS.table["clip_id"])
    assert listed(panel) == scores.sort_values(ascending=False, kind="stable").index.tolist()
    assert panel.clip_id == scores.idxmax()
    seen = []
    panel.observe(lambda change: seen.append(len(change.new)), "selection")
    traces = figure_of(panel).data
    click(panel, next(k for k, one in enumerate(traces) if one.type == "heatmap" and one.meta == "value"), [0, 0])
    (frame,) = [shape for shape in figure_of(panel).layout.shapes if shape.name == "chosen"]
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (-0.5, 0.5, -0.5, 0.5)
    assert (control(panel, "true").value, control(panel, "predicted").value) == ("happiness", "happiness")
    assert set(panel.selection["label"]) == set(panel.selection["predicted"]) == {"happiness"}
    assert (sorted(listed(panel)), panel.clip_id) == (sorted(panel.selection["clip_id"]), listed(panel)[0])
    assert f">{panel.clip_id}<" in text_of(panel)
    assert seen == [len(panel.selection)]  # announced once
    control(panel, "predicted").value = ""
    assert len(panel.selection) == (PREDICTIONS.table["label"] == "happiness").sum()
    matrix = evaluate.confusion_matrix(PREDICTIONS)
    panel.select(None, None)
    control(panel, "mistakes only").value = True  # off the diagonal of any row
    assert (panel.selection["label"] != panel.selection["predicted"]).all()
    assert len(panel.selection) == matrix.to_numpy().sum() - np.trace(matrix)
    panel.select("others", "others")  # a cell is listed whole
    assert (panel.mistakes, len(panel.selection)) == (False, matrix.loc["others", "others"])
    panel.mistakes = True
    assert (len(panel.selection), listed(panel), panel.clip_id) == (0, [], "")


def test_the_buttons_step_round_the_list_and_a_clip_outside_of_it_can_be_shown(panel):
    panel.select("others", None)
    panel.clip_id = PREDICTIONS.table.query("label == 'happiness'")["clip_id"].iloc[0]
    assert (parts(panel, ipywidgets.Select)[0].value, f">{panel.clip_id}<" in text_of(panel)) == (None, True)
    for name, place in (("next", 0), ("next", 1), ("previous", 0), ("previous", -1), ("next", 0)):
        control(panel, name).click()
        assert panel.clip_id == listed(panel)[place]


def test_tables_begin_with_the_hardest_subject_are_escaped_and_leave_empty_columns_out(panel, summary):
    hardest = summary.subjects.sort_values("accuracy", kind="stable")["subject"].iloc[0]
    assert re.search("<tbody>\\s*<tr>\\s*<td>(.*?)</td>", text_of(panel))[1] == hardest
    views = parts(panel, ipywidgets.ToggleButtons)[0]
    views.value = "AUs"
    assert text_of(panel).index(">AU4</td>") < text_of(panel).index(">AU12</td>")
    views.value = "folds"
    assert "no table of folds" in text_of(panel)
    table = pd.DataFrame({"who": ["<b>", "AU10"], "part": [0.5, np.nan], "value": [0.25, np.nan], "none": ["", None]})
    titles = {"who": "who", "part": "part", "value": "value", "none": "no", "more": "more"}
    cells = re.findall("<t[hd]>(.*?)</t[hd]>", table_html(table, titles, shares=["part"]))
    assert cells == ["who", "part", "value", "&lt;b&gt;", "50%", "0.250", "AU10", "–", "–"]


def test_what_is_missing_or_strange_is_named_and_the_rest_is_shown():
    panel = EvaluationPanel(EvaluationSummary(PREDICTIONS))
    assert "No clips were given" in parts(panel, ClipView)[0].notes[0]
    assert panel.clip_id in text_of(panel)
    with pytest.raises(ValueError, match="no clips"):
        EvaluationPanel(EvaluationSummary(Predictions(np.zeros((0, 4)), PREDICTIONS.table.iloc[:0], CLASSES)))
    ids = PREDICTIONS.table.query("subject == 's01' and label == 'others'")["clip_id"]
    few = replace(PREDICTIONS.select(ids), au_logits=None, aus=())
    bare = few.table.drop(columns=[*PREDICTIONS.aus, "action_units"])
    panel = EvaluationPanel(evaluate.evaluation_summary(replace(few, table=bare)))
    assert all(fact in text_of(panel) for fact in ("one class (others)", "No intervals", "no AU scores", "AUs unknown"))
    labels = PREDICTIONS.table["label"].replace({"surprise": "<fear>"}).where(PREDICTIONS.table.index > 2, np.nan)
    shown = summary_of(label=labels)
    assert set(shown.scores["n_clips"]) == {(labels.notna() & (labels != "<fear>")).sum()}
    panel = EvaluationPanel(shown)
    assert [value for _, value in control(panel, "true").options] == ["", *CLASSES, "<fear>", UNLABELLED]
    assert len(panel.select(UNLABELLED, None)) == 3
    assert len(panel.select("<fear>", None)) == (labels == "<fear>").sum()
    assert "<fear>" not in text_of(panel)
    panel.mistakes, panel.true = True, ""
    assert panel.selection["label"].notna().all()
