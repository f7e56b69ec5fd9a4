"""EvaluationPanel and the summary behind it: cells, clips, scores, tables, and what is said where one is missing."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sample_records import CLASSES, sample_clips, sample_predictions

from medn_lab import evaluate, view
from medn_lab.records import Predictions
from medn_lab.view.confusion_cells import UNLABELLED, confusion_cells
from medn_lab.widgets import EvaluationPanel
from medn_lab.widgets.clip_list import MOST_LISTED
from medn_lab.widgets.panel import plain, share, table_html
from medn_lab.widgets.score_lines import null_drawing


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=40)


@pytest.fixture(scope="module")
def predictions(clips):
    return sample_predictions(clips)


@pytest.fixture(scope="module")
def summary(clips, predictions):
    ceilings = {"AUs alone": 0.62, "AUs & cue": 1.0}
    return evaluate.evaluation_summary(
        predictions, floor=evaluate.au_only_floor(clips.table), ceilings=ceilings, n_resamples=200
    )


@pytest.fixture
def panel(summary, clips):
    return EvaluationPanel(summary, clips=clips)


def relabelled(predictions, labels):
    return dataclasses.replace(predictions, table=predictions.table.assign(label=labels))


class TestSummary:
    def test_it_holds_what_the_single_functions_say(self, summary, predictions, clips):
        scores = summary.scores.set_index("measure")
        for name, measure in (("accuracy", evaluate.accuracy), ("UF1", evaluate.uf1), ("UAR", evaluate.uar)):
            alone = evaluate.bootstrap_interval(predictions, measure=measure, n_resamples=200)
            assert scores.loc[name, ["value", "low", "high"]].tolist() == [alone.value, alone.low, alone.high]
        assert scores.loc["accuracy", "floor"] == evaluate.au_only_floor(clips.table).accuracy
        assert summary.aus.equals(evaluate.au_detection(predictions, n_resamples=200))
        assert summary.notes == ()

    def test_the_persons_add_up_to_the_accuracy(self, summary):
        persons = summary.subjects
        weighted = (persons["accuracy"] * persons["n_clips"]).sum() / persons["n_clips"].sum()
        assert weighted == pytest.approx(summary.scores["value"].iloc[0])
        assert persons["subject"].tolist() == ["s01", "s02", "s03", "s04"]

    def test_folds_are_read_from_the_predictions(self, predictions):
        folded = dataclasses.replace(predictions, fold=np.arange(len(predictions)) % 4)
        told = evaluate.evaluation_summary(folded, n_resamples=20).folds
        assert told["n_test"].tolist() == [10, 10, 10, 10]
        assert told["held_out"].tolist() == ["s01", "s02", "s03", "s04"]

    def test_clips_without_a_label_are_not_scored_and_that_is_said(self, predictions):
        labels = predictions.table["label"].where(np.arange(len(predictions)) >= 5, None)
        told = evaluate.evaluation_summary(relabelled(predictions, labels), n_resamples=20)
        assert told.scores["n_clips"].tolist() == [35, 35, 35]
        assert told.notes[0] == "5 of 40 clips have no label and are not scored."

    def test_labels_that_the_model_does_not_know_are_named(self, predictions):
        labels = predictions.table["label"].replace({"others": "fear"})
        told = evaluate.evaluation_summary(relabelled(predictions, labels), n_resamples=20)
        assert "are labelled fear, which this model does not know" in told.notes[0]
        assert told.scores["n_clips"].iloc[0] == (labels != "fear").sum()

    def test_several_data_sets_are_scored_apart_too(self, predictions):
        table = predictions.table.assign(dataset=np.where(np.arange(len(predictions)) % 2, "a", "b"))
        told = evaluate.evaluation_summary(dataclasses.replace(predictions, table=table), n_resamples=20)
        assert list(dict.fromkeys(told.scores["part"])) == ["all", "a", "b"]
        assert set(told.subjects["subject"]) == {"a/s02", "a/s04", "b/s01", "b/s03"}

    def test_a_floor_of_other_clips_is_not_compared(self, clips, predictions):
        floor = evaluate.au_only_floor(clips.table.iloc[:20])
        half = evaluate.evaluation_summary(predictions, floor=floor, n_resamples=20)
        assert "knows 20 of the 40" in " ".join(half.notes)
        other = evaluate.evaluation_summary(
            predictions.select(predictions.table["clip_id"].iloc[20:]), floor=floor, n_resamples=20
        )
        assert other.scores["floor"].isna().all()

    def test_its_text_says_scores_floor_ceilings_and_what_is_missing(self, summary, predictions):
        assert "AU-only floor" in repr(summary)
        assert "AUs alone 0.620" in repr(summary)
        one = predictions.select(predictions.table.query("subject == 's01'")["clip_id"])
        assert "no interval" in repr(evaluate.evaluation_summary(one))


class TestPanel:
    def test_each_cell_shows_its_count_and_the_rows_add_up(self, panel, predictions):
        matrix = evaluate.confusion_matrix(predictions)
        shown = [[int(panel._grid.button(y, x).description) for x in range(4)] for y in range(4)]
        assert shown == matrix.to_numpy().tolist()

    def test_pressing_a_cell_lists_its_clips_and_plays_the_first(self, panel, predictions):
        panel._grid.button(0, 0).click()
        assert (panel.true, panel.predicted) == ("happiness", "happiness")
        assert set(panel.selection["label"]) == set(panel.selection["predicted"]) == {"happiness"}
        assert sorted(panel._list.listed) == sorted(panel.selection["clip_id"])
        assert panel.clip_id == panel._list.listed[0]
        assert [face["count"] for face in panel._list.view.faces] == [8]
        assert panel.clip_id in panel._list._card.value
        assert "medn-picked" in panel._grid.button(0, 0)._dom_classes

    def test_the_two_lists_do_what_pressing_does_also_for_a_whole_row(self, panel, predictions):
        panel._trues.value = "surprise"
        assert panel.selection["clip_id"].tolist() == predictions.table.query("label == 'surprise'")["clip_id"].tolist()
        panel._calleds.value = "surprise"
        assert len(panel.selection) == evaluate.confusion_matrix(predictions).loc["surprise", "surprise"]
        assert "medn-picked" in panel._grid.button(2, 2)._dom_classes

    def test_the_mistakes_are_the_clips_off_the_diagonal(self, panel):
        panel._wrong.click()
        assert (panel.selection["label"] != panel.selection["predicted"]).all()
        matrix = panel._cells.counts
        assert len(panel.selection) == matrix.sum() - np.trace(matrix)

    def test_the_surest_clip_stands_first_and_the_order_can_be_changed(self, panel):
        chosen = panel.select("others", "others")
        scores = chosen.set_index("clip_id")["p_others"]
        assert panel._list.listed == scores.sort_values(ascending=False, kind="stable").index.tolist()
        panel._list._sorts.value = "clip"
        assert panel._list.listed == sorted(chosen["clip_id"])

    def test_one_person_s_clips_can_be_listed_alone(self, panel):
        panel.select("others", None)
        panel._list._persons.value = "s02"
        assert panel._list.listed
        assert all(name.startswith("s02") for name in panel._list.listed)

    def test_stepping_and_playing_go_through_the_list(self, panel):
        panel.select("others", "others")
        seen = []
        panel.observe(lambda change: seen.append(change.new), "clip_id")
        panel._list._on.click()
        panel._list._play.value = 2
        panel._list._back.click()
        listed = panel._list.listed
        assert seen == [listed[1], listed[2], listed[1]]
        panel.select("others", "others")
        panel._list._back.click()
        assert panel.clip_id == listed[0]

    def test_another_cell_begins_at_its_first_clip_whatever_was_in_hand(self, panel):
        panel.select("others", "others")
        panel._list._play.value = 3
        seen = []
        selected = []
        panel.observe(lambda change: seen.append(change.new), "clip_id")
        panel.observe(lambda change: selected.append(len(change.new)), "selection")
        chosen = panel.select("happiness", "happiness")
        assert seen == [panel._list.listed[0]]
        assert selected == [len(chosen)]
        assert panel._list._play.value == 0

    def test_shares_replace_counts(self, panel, predictions):
        panel._as.value = "row shares"
        matrix = evaluate.confusion_matrix(predictions)
        assert panel._grid.button(3, 3).description == f"{matrix.iloc[3, 3] / matrix.iloc[3].sum():.0%}"

    def test_scores_floor_and_ceilings_are_drawn(self, panel, summary):
        drawn = panel._table.value
        first = summary.scores.iloc[0]
        assert f"{first['value']:.3f}  [{first['low']:.3f}, {first['high']:.3f}]" in drawn
        assert f"AU-only floor {first['floor']:.3f}" in drawn
        assert "AUs &amp; cue" in drawn

    def test_tables_of_persons_and_aus_are_shown_and_sorted(self, panel, summary):
        panel._views.value = "subjects"
        hardest = summary.subjects.sort_values("accuracy", kind="stable")["subject"].iloc[0]
        assert panel._table.value.split("<tbody>")[1].split("</td>")[0].endswith(hardest)
        panel._views.value = "AUs"
        assert panel._table.value.index("AU4<") < panel._table.value.index("AU12<")
        panel._sorts.value = "-au"
        assert panel._table.value.index("AU12<") < panel._table.value.index("AU4<")
        panel._views.value = "folds"
        assert "no folds" in panel._table.value

    def test_an_unknown_class_or_clip_is_refused_in_one_sentence(self, panel):
        with pytest.raises(ValueError, match="no true class 'joy' here; there are happiness, disgust"):
            panel.select("joy", None)
        with pytest.raises(ValueError, match="1 of 1 clips are not in this panel"):
            panel.show("nobody")

    def test_a_clip_can_be_shown_by_its_name(self, panel, clips):
        panel.show(clips.table["clip_id"].iloc[3])
        assert panel.clip_id == clips.table["clip_id"].iloc[3]

    def test_every_control_has_a_tooltip(self, panel):
        controls = [panel._as, panel._trues, panel._calleds, panel._wrong, panel._views, panel._sorts]
        controls += [panel._list._sorts, panel._list._persons, panel._list._play, panel._list._back, panel._list._on]
        assert all(getattr(control, "tooltip", None) or getattr(control, "tooltips", None) for control in controls)


class TestWhatIsMissing:
    def test_bare_predictions_have_the_matrix_alone(self, predictions, clips):
        panel = EvaluationPanel(predictions, clips=clips)
        assert "medn.evaluate.evaluation_summary" in panel._table.value
        assert len(panel.select("others", None)) == (predictions.table["label"] == "others").sum()

    def test_without_clips_or_frames_the_rest_is_shown(self, summary, clips):
        panel = EvaluationPanel(summary)
        panel.select("others", None)
        assert "No clips were given" in panel._list.view.notes[0]
        assert "emotion scores" in panel._list._card.value
        flow_alone = dataclasses.replace(clips, frames=None)
        panel = EvaluationPanel(summary, clips=flow_alone)
        panel.select("others", None)
        assert "no frames" in panel._list.view.notes[0]

    def test_an_empty_record_is_said_to_be_empty(self, predictions):
        empty = Predictions(predictions.logits[:0], predictions.table.iloc[:0], CLASSES)
        panel = EvaluationPanel(evaluate.evaluation_summary(empty))
        assert "There are no clips" in panel._selected.value
        assert len(panel.select("others", "others")) == 0
        assert panel.clip_id == ""

    def test_one_class_one_subject_and_no_aus_are_shown_as_far_as_they_go(self, clips, predictions):
        ids = predictions.table.query("subject == 's01' and label == 'others'")["clip_id"]
        few = dataclasses.replace(predictions.select(ids), au_logits=None, aus=())
        bare = few.table.drop(columns=[*predictions.aus, "action_units"])
        panel = EvaluationPanel(evaluate.evaluation_summary(dataclasses.replace(few, table=bare)), clips=clips)
        assert "one class (others)" in panel._foot.value
        assert "No intervals" in panel._foot.value
        panel._views.value = "AUs"
        assert "hold no AU scores" in panel._table.value
        panel.select("others", None)
        assert "AUs unknown" in panel._list._card.value

    def test_missing_and_strange_labels_have_rows_of_their_own(self, predictions):
        labels = predictions.table["label"].replace({"surprise": "<fear>"}).where(predictions.table.index > 2, np.nan)
        panel = EvaluationPanel(evaluate.evaluation_summary(relabelled(predictions, labels), n_resamples=20))
        assert panel._cells.rows == (*CLASSES, "<fear>", UNLABELLED)
        assert len(panel.select(UNLABELLED, None)) == 3
        assert len(panel.select("<fear>", None)) == (labels == "<fear>").sum()
        assert not any("<fear>" in text.value for text in panel._grid._texts)
        panel._wrong.click()
        assert panel.selection["label"].notna().all()

    def test_no_label_column_leaves_one_row(self, predictions):
        told = EvaluationPanel(dataclasses.replace(predictions, table=predictions.table.drop(columns="label")))
        assert told._cells.counts.sum() == 40
        assert told._cells.rows[-1] == UNLABELLED

    def test_ten_thousand_clips_are_listed_as_far_as_anybody_reads(self, predictions):
        table = pd.concat([predictions.table] * 250, ignore_index=True)
        table["clip_id"] = [f"c{k:05d}" for k in range(len(table))]
        many = Predictions(np.tile(predictions.logits, (250, 1)), table, CLASSES)
        panel = EvaluationPanel(many)
        chosen = panel.select(None, None)
        assert len(chosen) == 10_000
        assert len(panel._list._list.options) == MOST_LISTED
        assert "10,000 clips, the first 400 listed" in panel._list._said.value


class TestPictures:
    def test_the_static_twin_holds_matrix_scores_floor_and_ceilings(self, summary, predictions):
        figure = view.plot_evaluation(summary)
        said = " ".join(str(note.text) for note in figure.layout.annotations)
        for n in evaluate.confusion_matrix(predictions).to_numpy().ravel():
            assert f"<b>{n}</b>" in said
        score = next(trace for trace in figure.data if "score" in str(trace.name))
        assert np.allclose(score.x, summary.scores["value"])
        assert np.allclose(score.x + score.error_x.array, summary.scores["high"])
        floor = next(trace for trace in figure.data if trace.name == "AU-only floor")
        assert np.allclose(floor.x, summary.scores["floor"])
        assert "AUs &amp; cue<br>1.00" in said

    def test_without_scores_the_twin_says_why(self, predictions):
        bare = dataclasses.replace(predictions, table=predictions.table.drop(columns="label"))
        figure = view.plot_evaluation(evaluate.evaluation_summary(bare))
        assert "no column 'label'" in " ".join(str(note.text) for note in figure.layout.annotations)
        with pytest.raises(ValueError, match="no clips"):
            view.plot_evaluation(evaluate.evaluation_summary(bare.__class__(bare.logits[:0], bare.table[:0], CLASSES)))

    def test_cells_and_shares_are_those_of_the_predictions(self, predictions):
        cells = confusion_cells(predictions)
        assert cells.counts.tolist() == evaluate.confusion_matrix(predictions).to_numpy().tolist()
        assert np.allclose(np.nansum(cells.shares, axis=1), 1)

    def test_a_table_is_escaped_sorted_and_cut(self):
        table = pd.DataFrame({"who": ["<b>", "AU10", "AU2"], "part": [0.5, np.nan, 0.25]})
        told = table_html(
            table, {"who": ("who", plain), "part": ("part", share), "none": ("no", plain)}, by="part", most=2
        )
        assert told.index("AU2") < told.index("&lt;b&gt;")
        assert "1 more rows are not shown" in told
        assert "AU10" not in told

    def test_a_value_stands_at_its_place_between_the_ends_of_the_axis(self):
        drawn = null_drawing(0.5, band=(0.0, 0.25), allowed=np.nan, axis=(0.0, 1.0), found=True, width=112)
        assert "cx='56.0'" in drawn
        assert "x='6.0'" in drawn
        assert "width='25.0'" in drawn
