"""Pictures of folds, audits, comparisons and AU figures, judged by the data they hold."""

import numpy as np
import pandas as pd
import pytest

from medn_lab import view
from medn_lab.view.folds import without_common_start


def texts(figure):
    notes = " ".join(str(note.text) for note in figure.layout.annotations)
    return f"{notes} {figure.layout.title.text} {figure.layout.title.subtitle.text}"


@pytest.fixture
def folds():
    return pd.DataFrame(
        {
            "held_out": ["a/01", "a/02", "b/01", "b/02"],
            "dataset": ["a", "a", "b", "b"],
            "subject": ["01", "02", "01", "02"],
            "n_test": [4, 30, 12, 7],
            "accuracy": [0.25, 0.9, 0.5, np.nan],
            "error": ["", "", "", "no training clip of <fear>"],
        }
    )


@pytest.fixture
def scores():
    row = {"part": "all", "measure": "accuracy", "value": 0.74, "low": 0.5, "high": 0.9, "floor": 0.42}
    return pd.DataFrame([row | {"n_clips": 46, "n_subjects": 3}, row | {"part": "a", "value": 0.1}])


class TestFolds:
    def test_each_fold_is_a_bar_sorted_by_accuracy_with_its_clips(self, folds):
        figure = view.plot_folds(folds)
        bars = [trace for trace in figure.data if trace.type == "bar"]
        heights = {place: height for bar in bars for place, height in zip(bar.x, bar.y, strict=True)}
        assert heights == {0: 0.9, 1: 0.5, 2: 0.25}
        counts = next(trace for trace in figure.data if trace.meta == "n_test")
        assert list(counts.text) == ["30", "12", "4"]
        assert list(figure.layout.xaxis.ticktext) == ["02", "01", "01", "02"]
        assert [bar.name for bar in bars] == ["a", "b"]  # a colour each

    def test_a_failed_fold_is_marked_and_its_sentence_is_escaped(self, folds):
        failed = next(trace for trace in view.plot_folds(folds).data if trace.name == "failed")
        assert list(failed.x) == [3]
        assert failed.customdata[0].tolist() == ["b/02", "no training clip of &lt;fear&gt;"]

    def test_the_pooled_score_its_interval_and_the_floor_are_drawn(self, folds, scores):
        figure = view.plot_folds(folds, scores=scores)
        band = next(shape for shape in figure.layout.shapes if shape.type == "rect")
        assert (band.y0, band.y1) == (0.5, 0.9)
        assert [shape.y0 for shape in figure.layout.shapes if shape.type == "line"] == [0.74, 0.42]
        for part in ("pooled 0.740", "AU-only floor 0.420", "[0.500, 0.900]", "46 clips of 3 subjects"):
            assert part in texts(figure)

    def test_the_labels_of_score_and_floor_do_not_cover_each_other(self, folds, scores):
        figure = view.plot_folds(folds, scores=scores.assign(floor=0.73))
        heights = [note.y for note in figure.layout.annotations if "0.7" in str(note.text)]
        assert abs(heights[0] - heights[1]) > 0.08

    def test_of_many_folds_the_pointer_tells_the_names(self, folds):
        many = pd.concat([folds] * 25, ignore_index=True)
        figure = view.plot_folds(many)
        assert not figure.layout.xaxis.tickvals
        assert figure.layout.width <= 980

    def test_one_data_set_has_no_legend(self, folds):
        assert not view.plot_folds(folds[:2]).layout.showlegend

    def test_nonsense_is_refused(self, folds, scores):
        with pytest.raises(ValueError, match="no folds to draw"):
            view.plot_folds(folds[:0])
        with pytest.raises(ValueError, match="lacks n_test, accuracy; it has held_out"):
            view.plot_folds(folds[["held_out"]])
        with pytest.raises(ValueError, match="no row of accuracy over all clips"):
            view.plot_folds(folds, scores=scores[scores["part"] == "a"])

    def test_common_words_are_taken_off_the_names(self):
        assert without_common_start(["x-1_s10", "x-1_s11"]) == ["s10", "s11"]
        assert without_common_start(["casme2", "casme3"]) == ["casme2", "casme3"]
        assert without_common_start(["s01"]) == ["s01"]


class TestAudit:
    @pytest.fixture
    def table(self):
        rows = [
            {"rule": rule, "measure": measure, "value": value, "low": value - 0.1, "high": value + 0.1, "floor": 0.4}
            for rule, value in (("last_epoch", 0.6), ("validation", 0.62), ("best_on_test", 0.8))
            for measure in ("accuracy", "UF1")
        ]
        return pd.DataFrame(rows)

    @pytest.fixture
    def epochs(self):
        return pd.DataFrame(
            {
                "fold": [0, 0, 1, 1],
                "epoch": [1, 2, 1, 2],
                "validation_accuracy": [0.5, 1.0, 0.5, 0.5],
                "held_out_accuracy": [0.0, 1.0, 0.5, 0.5],
                "n_validation": [10, 10, 10, 10],
                "n_held_out": [1, 1, 3, 3],
            }
        )

    def test_the_three_scores_stand_side_by_side_and_the_third_is_called_optimistic(self, table):
        figure = view.plot_selection_audit(table)
        rules = {trace.meta: trace for trace in figure.data if trace.meta}
        assert list(rules) == ["last_epoch", "validation", "best_on_test"]
        assert list(rules["best_on_test"].y) == [0.8, 0.8]
        assert "optimistic" in rules["best_on_test"].name
        assert "open" in rules["best_on_test"].marker.symbol
        assert "optimistic" not in rules["last_epoch"].name
        assert np.allclose(rules["last_epoch"].error_y.array, 0.1)
        assert "adds +0.200 of accuracy" in texts(figure)
        assert {shape.y0 for shape in figure.layout.shapes} == {0.4}

    def test_the_curve_is_pooled_over_clips_and_not_over_folds(self, table, epochs):
        curves = {trace.meta: trace for trace in view.plot_selection_audit(table, epochs=epochs).data if trace.meta}
        assert list(curves["held_out_accuracy"].y) == pytest.approx([0.375, 0.625])
        assert list(curves["validation_accuracy"].y) == pytest.approx([0.5, 0.75])

    def test_nonsense_is_refused(self, table):
        with pytest.raises(ValueError, match="lacks floor"):
            view.plot_selection_audit(table.drop(columns="floor"))
        with pytest.raises(ValueError, match="no rule luck; there are last_epoch, validation, best_on_test"):
            view.plot_selection_audit(table.assign(rule="luck"))


class TestComparison:
    @pytest.fixture
    def table(self):
        rows = [("MEDN", "motion", "accuracy", 0.2, 0.1, 0.3), ("MEDN", "motion", "UF1", -0.05, -0.2, 0.1)]
        return pd.DataFrame(rows, columns=["model_a", "model_b", "measure", "difference", "low", "high"])

    @pytest.fixture
    def subjects(self):
        return pd.DataFrame(
            {"subject": ["x/1", "x/2", "x/3"], "n_clips": [5, 5, 5], "a": [0.2, 0.8, 0.5], "b": [0.4, 0.4, 0.5]}
        )

    def test_only_a_difference_clear_of_zero_is_filled(self, table):
        figure = view.plot_comparison(table)
        dots = figure.data[0]
        assert list(dots.x) == [0.2, -0.05]
        assert list(dots.marker.symbol) == ["circle", "circle-open"]
        assert np.allclose(dots.error_x.arrayminus, [0.1, 0.15])
        assert list(dots.y) == ["accuracy", "UF1"]
        assert "MEDN minus motion" in texts(figure)
        assert figure.layout.shapes[0].x0 == 0

    def test_several_pairs_of_models_are_named(self, table):
        other = table.assign(model_a="dense <all>")
        names = view.plot_comparison(pd.concat([table, other])).data[0].y
        assert names[0] == "MEDN<br>− motion, accuracy"
        assert names[3] == "dense &lt;all&gt;<br>− motion, UF1"

    def test_each_persons_two_accuracies_are_joined(self, table, subjects):
        figure = view.plot_comparison(table[:1], subjects=subjects)
        sides = {trace.meta: trace for trace in figure.data if trace.meta}
        assert list(sides["a"].y) == [0.8, 0.5, 0.2]  # from the largest gain to the largest loss
        assert list(sides["b"].y) == [0.4, 0.5, 0.4]
        assert (sides["a"].name, sides["b"].name) == ("MEDN", "motion")
        assert list(figure.layout.xaxis2.ticktext) == ["2", "3", "1"]
        assert len(set(sides["a"].marker.color)) == 3  # better, equal, worse

    def test_nonsense_is_refused(self, table):
        with pytest.raises(ValueError, match="is empty"):
            view.plot_comparison(table[:0])
        with pytest.raises(ValueError, match="lacks low, high"):
            view.plot_comparison(table.drop(columns=["low", "high"]))


class TestAUDetection:
    @pytest.fixture
    def table(self):
        rows = [
            ("AU1", 40, 9, 0.9, 0.8, 0.95, 0.7, 0.6, 0.8, True, ""),
            ("AU4", 3, 1, 0.7, np.nan, np.nan, 0.2, np.nan, np.nan, False, "all positives are of one subject"),
            ("AU9", 0, 0, *[np.nan] * 6, False, "no positive among 50 coded clips"),
        ]
        columns = [
            "au",
            "n_positive",
            "n_subjects",
            "auc",
            "auc_low",
            "auc_high",
            "f1",
            "f1_low",
            "f1_high",
            "in_macro",
        ]
        return pd.DataFrame(rows, columns=[*columns, "reason"])

    def test_each_figure_has_its_positives_beside_it(self, table):
        figure = view.plot_au_detection(table)
        auc, f1 = (next(trace for trace in figure.data if trace.meta == name) for name in ("auc", "f1"))
        assert list(auc.x) == [0.9, 0.7]
        assert list(f1.x) == [0.7, 0.2]
        assert list(auc.marker.symbol) == ["circle", "circle-open"]
        assert np.allclose(auc.error_x.array, [0.05, 0.0])
        names = figure.layout.yaxis.ticktext
        assert names[0] == "<b>AU1</b> · 40 clips, 9 subj."

    def test_an_au_without_a_figure_says_why(self, table):
        assert "no positive among 50 coded clips" in texts(view.plot_au_detection(table))

    def test_chance_is_in_the_picture(self, table):
        figure = view.plot_au_detection(table.assign(auc_low=0.3))
        assert figure.layout.shapes[0].x0 == 0.5
        assert figure.layout.xaxis.range[0] == 0

    def test_nonsense_is_refused(self, table):
        with pytest.raises(ValueError, match="is empty"):
            view.plot_au_detection(table[:0])
        with pytest.raises(ValueError, match="lacks f1"):
            view.plot_au_detection(table.drop(columns="f1"))
