"""EvaluationPanel and the summary that it shows: cells, clips, tables, and the sentence where one is missing."""

import dataclasses

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from page_contents import click, control, figure_of, parts, text_of
from sample_records import CLASSES, sample_clips, sample_predictions

from medn_lab import evaluate
from medn_lab.records import Predictions
from medn_lab.view.answers import UNLABELLED
from medn_lab.widgets import EvaluationPanel
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.evaluation import MOST_LISTED
from medn_lab.widgets.panel import plain, share, table_html


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=40)


@pytest.fixture(scope="module")
def predictions(clips):
    return sample_predictions(clips)


@pytest.fixture(scope="module")
def summary(clips, predictions):
    return evaluate.evaluation_summary(predictions, floor=evaluate.au_only_floor(clips.table), n_resamples=200)


@pytest.fixture(scope="module")
def made(summary, clips):
    return EvaluationPanel(summary, clips=clips)


@pytest.fixture
def panel(made):
    """As at first."""
    control(made, "Sort").value = "surest first"
    made.select(None, None)
    return made


def relabelled(predictions, labels):
    return dataclasses.replace(predictions, table=predictions.table.assign(label=labels))


def listed(panel):
    """Ids of the clips in the list, in its order."""
    return [clip_id for _, clip_id in parts(panel, ipywidgets.Select)[0].options]


def press(panel, icon):
    next(one for one in parts(panel, ipywidgets.Button) if one.icon == icon).click()


def click_cell(panel, row, column):
    traces = figure_of(panel).data
    trace = next(k for k, one in enumerate(traces) if one.type == "heatmap" and one.meta == "value")
    click(panel, trace, [row, column])


def marked(figure):
    (shape,) = [shape for shape in figure.layout.shapes if shape.name == "chosen"]
    return shape.x0, shape.x1, shape.y0, shape.y1


class TestSummary:
    def test_it_holds_what_the_single_functions_return(self, summary, predictions, clips):
        scores = summary.scores.set_index("measure")
        for name, measure in (("accuracy", evaluate.accuracy), ("UF1", evaluate.uf1), ("UAR", evaluate.uar)):
            alone = evaluate.bootstrap_interval(predictions, measure=measure, n_resamples=200)
            assert scores.loc[name, ["value", "low", "high"]].tolist() == [alone.value, alone.low, alone.high]
        assert scores.loc["accuracy", "floor"] == evaluate.au_only_floor(clips.table).accuracy
        assert summary.aus.equals(evaluate.au_detection(predictions, n_resamples=200))
        assert summary.notes == ()
        persons = summary.subjects
        assert persons["subject"].tolist() == ["s01", "s02", "s03", "s04"]
        weighted = (persons["accuracy"] * persons["n_clips"]).sum() / persons["n_clips"].sum()
        assert weighted == pytest.approx(scores.loc["accuracy", "value"])

    def test_folds_and_data_sets_are_read_from_the_predictions(self, predictions):
        table = predictions.table.assign(dataset=np.where(np.arange(40) % 2, "a", "b"))
        made = dataclasses.replace(predictions, fold=np.arange(40) % 4, table=table)
        shown = evaluate.evaluation_summary(made, n_resamples=20)
        assert shown.folds["n_test"].tolist() == [10, 10, 10, 10]
        assert shown.folds["held_out"].tolist() == ["s01", "s02", "s03", "s04"]
        assert list(dict.fromkeys(shown.scores["part"])) == ["all", "a", "b"]
        assert set(shown.subjects["subject"]) == {"a/s02", "a/s04", "b/s01", "b/s03"}

    def test_clips_without_a_known_label_are_not_scored_and_counted_in_a_note(self, predictions):
        labels = predictions.table["label"].where(np.arange(40) >= 5, None)
        shown = evaluate.evaluation_summary(relabelled(predictions, labels), n_resamples=20)
        assert shown.scores["n_clips"].tolist() == [35, 35, 35]
        assert "5 of 40" in shown.notes[0]
        labels = predictions.table["label"].replace({"others": "fear"})
        shown = evaluate.evaluation_summary(relabelled(predictions, labels), n_resamples=20)
        assert "fear" in shown.notes[0]
        assert shown.scores["n_clips"].iloc[0] == (labels != "fear").sum()

    def test_a_floor_of_other_clips_is_not_compared(self, clips, predictions):
        floor = evaluate.au_only_floor(clips.table.iloc[:20])
        half = evaluate.evaluation_summary(predictions, floor=floor, n_resamples=20)
        assert "20 of the 40" in " ".join(half.notes)
        rest = predictions.select(predictions.table["clip_id"].iloc[20:])
        assert evaluate.evaluation_summary(rest, floor=floor, n_resamples=20).scores["floor"].isna().all()

    def test_its_text_holds_scores_floor_ceilings_and_what_is_missing(self, summary, predictions):
        assert "AU-only floor" in repr(summary)
        assert "AUs alone 0.620" in repr(dataclasses.replace(summary, ceilings={"AUs alone": 0.62}))
        one = predictions.select(predictions.table.query("subject == 's01'")["clip_id"])
        assert "no interval" in repr(evaluate.evaluation_summary(one))


class TestPanel:
    def test_it_begins_with_all_clips_and_the_surest_plays(self, made, predictions):
        assert len(made.selection) == len(listed(made)) == 40
        assert made.clip_id == predictions.table["clip_id"][predictions.probabilities.max(axis=1).argmax()]

    def test_a_click_on_a_cell_lists_its_clips_and_plays_the_first(self, panel):
        click_cell(panel, 0, 0)
        assert (panel.true, panel.predicted) == ("happiness", "happiness")
        assert set(panel.selection["label"]) == set(panel.selection["predicted"]) == {"happiness"}
        assert sorted(listed(panel)) == sorted(panel.selection["clip_id"])
        assert panel.clip_id == listed(panel)[0]
        assert [face["count"] for face in parts(panel, ClipView)[0].faces] == [8]
        assert f">{panel.clip_id}<" in text_of(panel)
        assert marked(figure_of(panel)) == (-0.5, 0.5, -0.5, 0.5)

    def test_the_two_lists_do_what_a_click_does_also_for_a_whole_row(self, panel, predictions):
        control(panel, "true").value = "surprise"
        assert panel.selection["clip_id"].tolist() == predictions.table.query("label == 'surprise'")["clip_id"].tolist()
        assert marked(figure_of(panel)) == (-0.5, 3.5, 1.5, 2.5)
        control(panel, "predicted").value = "surprise"
        assert len(panel.selection) == evaluate.confusion_matrix(predictions).loc["surprise", "surprise"]
        click_cell(panel, 3, 0)
        assert (control(panel, "true").value, control(panel, "predicted").value) == ("others", "happiness")

    def test_mistakes_are_the_clips_off_the_diagonal_of_any_row(self, panel, predictions):
        matrix = evaluate.confusion_matrix(predictions)
        control(panel, "mistakes only").value = True
        assert (panel.selection["label"] != panel.selection["predicted"]).all()
        assert len(panel.selection) == matrix.to_numpy().sum() - np.trace(matrix)
        panel.true = "others"
        assert len(panel.selection) == matrix.loc["others"].sum() - matrix.loc["others", "others"]
        panel.select("others", "others")  # a cell is listed whole
        assert (panel.mistakes, len(panel.selection)) == (False, matrix.loc["others", "others"])
        panel.mistakes = True
        assert (len(panel.selection), listed(panel), panel.clip_id) == (0, [], "")

    def test_the_list_has_an_order_and_may_hold_one_subject(self, panel):
        chosen = panel.select("others", None)
        scores = chosen.filter(regex="^p_").max(axis=1).set_axis(chosen["clip_id"])
        assert listed(panel) == scores.sort_values(ascending=False, kind="stable").index.tolist()
        control(panel, "Sort").value = "clip"
        assert listed(panel) == sorted(chosen["clip_id"])
        control(panel, "of").value = "s02"
        assert listed(panel) == sorted(chosen["clip_id"][chosen["subject"] == "s02"])
        panel.select("others", "others")
        assert control(panel, "of").value == ""

    def test_stepping_and_playing_go_through_the_list(self, panel):
        panel.select("others", "others")
        names, seen = listed(panel), []
        panel.observe(lambda change: seen.append(change.new), "clip_id")
        press(panel, "step-forward")
        parts(panel, ipywidgets.Play)[0].value = 2
        press(panel, "step-backward")
        assert seen == [names[1], names[2], names[1]]
        for _ in range(3):
            press(panel, "step-backward")
        assert panel.clip_id == names[0]

    def test_another_cell_begins_at_its_first_clip_and_is_announced_once(self, panel):
        panel.select("others", "others")
        parts(panel, ipywidgets.Play)[0].value = 3
        seen, selected = [], []
        panel.observe(lambda change: seen.append(change.new), "clip_id")
        panel.observe(lambda change: selected.append(len(change.new)), "selection")
        chosen = panel.select("happiness", "happiness")
        assert seen == [listed(panel)[0]]
        assert selected == [len(chosen)]
        assert parts(panel, ipywidgets.Play)[0].value == 0

    def test_a_clip_outside_the_list_can_be_shown(self, panel, predictions):
        panel.select("others", "others")
        other = predictions.table.query("label == 'happiness'")["clip_id"].iloc[0]
        panel.show(other)
        assert (panel.clip_id, parts(panel, ipywidgets.Select)[0].value) == (other, None)
        press(panel, "step-forward")
        assert panel.clip_id == listed(panel)[0]

    def test_tables_of_subjects_aus_and_folds_are_sorted(self, panel, summary):
        views, order = parts(panel, ipywidgets.ToggleButtons)[0], parts(panel, ipywidgets.Dropdown)[-1]
        hardest = summary.subjects.sort_values("accuracy", kind="stable")["subject"].iloc[0]
        assert text_of(panel).split("<tbody>")[1].split("</td>")[0].endswith(hardest)
        views.value = "AUs"
        assert text_of(panel).index(">AU4</td>") < text_of(panel).index(">AU12</td>")
        order.value = "-au"
        assert text_of(panel).index(">AU12</td>") < text_of(panel).index(">AU4</td>")
        views.value = "folds"
        assert "no folds" in text_of(panel)

    def test_an_unknown_class_or_clip_is_refused(self, panel):
        with pytest.raises(ValueError, match=r"'joy'.*happiness, disgust"):
            panel.select("joy", None)
        with pytest.raises(ValueError, match="not in this panel"):
            panel.show("nobody")

    def test_every_control_has_a_tooltip(self, panel):
        kinds = (ipywidgets.Dropdown, ipywidgets.Button, ipywidgets.ToggleButton, ipywidgets.Select, ipywidgets.Play)
        assert all(one.tooltip for one in parts(panel, kinds))
        assert all(all(one.tooltips) for one in parts(panel, ipywidgets.ToggleButtons))


class TestWhatIsMissing:
    def test_bare_predictions_have_the_matrix_alone(self, predictions, clips):
        panel = EvaluationPanel(predictions, clips=clips)
        assert "medn.evaluate.evaluation_summary" in text_of(panel)
        assert len(panel.select("others", None)) == (predictions.table["label"] == "others").sum()

    def test_without_clips_or_frames_the_rest_is_shown(self, summary, clips):
        panel = EvaluationPanel(summary)
        assert "No clips were given" in parts(panel, ClipView)[0].notes[0]
        assert panel.clip_id in text_of(panel)
        panel = EvaluationPanel(summary, clips=dataclasses.replace(clips, frames=None))
        assert "no frames" in parts(panel, ClipView)[0].notes[0]

    def test_a_record_without_clips_has_an_empty_panel(self, predictions):
        empty = Predictions(predictions.logits[:0], predictions.table.iloc[:0], CLASSES)
        panel = EvaluationPanel(evaluate.evaluation_summary(empty))
        assert "no clips" in " ".join(note.text for note in figure_of(panel).layout.annotations)
        assert len(panel.select("others", "others")) == 0
        assert panel.clip_id == ""

    def test_one_class_one_subject_and_no_aus_are_shown_as_far_as_they_go(self, clips, predictions):
        ids = predictions.table.query("subject == 's01' and label == 'others'")["clip_id"]
        few = dataclasses.replace(predictions.select(ids), au_logits=None, aus=())
        bare = few.table.drop(columns=[*predictions.aus, "action_units"])
        panel = EvaluationPanel(evaluate.evaluation_summary(dataclasses.replace(few, table=bare)), clips=clips)
        parts(panel, ipywidgets.ToggleButtons)[0].value = "AUs"
        for fact in ("one class (others)", "No intervals", "no AU scores", "AUs unknown"):
            assert fact in text_of(panel)

    def test_missing_and_strange_labels_have_rows_of_their_own(self, predictions):
        labels = predictions.table["label"].replace({"surprise": "<fear>"}).where(predictions.table.index > 2, np.nan)
        panel = EvaluationPanel(evaluate.evaluation_summary(relabelled(predictions, labels), n_resamples=20))
        assert [value for _, value in control(panel, "true").options] == ["", *CLASSES, "<fear>", UNLABELLED]
        assert len(panel.select(UNLABELLED, None)) == 3
        assert len(panel.select("<fear>", None)) == (labels == "<fear>").sum()
        assert "<fear>" not in text_of(panel)
        panel.mistakes, panel.true = True, ""
        assert panel.selection["label"].notna().all()

    def test_of_ten_thousand_clips_the_first_are_listed(self, predictions):
        table = pd.concat([predictions.table] * 250, ignore_index=True)
        table["clip_id"] = [f"c{k:05d}" for k in range(len(table))]
        panel = EvaluationPanel(Predictions(np.tile(predictions.logits, (250, 1)), table, CLASSES))
        assert len(panel.selection) == 10_000
        assert len(listed(panel)) == MOST_LISTED
        assert f"first {MOST_LISTED}" in text_of(panel)


def test_a_table_is_escaped_sorted_and_cut():
    table = pd.DataFrame({"who": ["<b>", "AU10", "AU2"], "part": [0.5, np.nan, 0.25]})
    columns = {"who": ("who", plain), "part": ("part", share), "none": ("no", plain)}
    text = table_html(table, columns, by="part", most=2)
    assert text.index("AU2") < text.index("&lt;b&gt;")
    assert "1 more" in text
    assert "AU10" not in text
