"""Figures of scores, folds, audits, comparisons, AUs and single predictions, judged by the data they hold."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses
from figure_contents import by_meta, texts
from sample_records import sample_clips, sample_features, sample_predictions

from medn_lab import evaluate, records, view
from medn_lab.view import theme


def lines(figure):
    """What the marks of a forest show, by the labels of their lines."""
    marks = next(trace for trace in figure.data if trace.meta == "value" and trace.type == "scatter")
    return list(figure.layout[marks.yaxis.replace("y", "yaxis")].ticktext), marks


PREDICTIONS = sample_predictions(sample_clips(n=40))


def room_between(figure):
    plots = figure.layout.width - figure.layout.margin.l - figure.layout.margin.r
    return round((figure.layout.xaxis2.domain[0] - figure.layout.xaxis.domain[1]) * plots)


def test_a_confusion_matrix_has_counts_and_shares():
    matrix = pd.DataFrame([[3, 1], [0, 0]], index=["anger", "fear"], columns=["anger", "fear"])
    figure = view.plot_confusion_matrix(matrix)
    assert np.allclose(by_meta(figure, "value").z, [[0.75, 0.25], [np.nan, np.nan]], equal_nan=True)
    assert by_meta(figure, "value").text[0, 0] == "<b>3</b><br><span style='font-size:11px'>75%</span>"
    assert "4 clips, 75.0% on the diagonal" in texts(figure)
    assert list(figure.layout.yaxis.ticktext) == ["anger<br>n = 4", "fear<br>n = 0"]
    seven = pd.DataFrame(np.eye(7), *[["happiness", *"abcdef"]] * 2)
    assert [view.plot_confusion_matrix(seven, width=one).layout.xaxis.tickangle for one in (None, 500)] == [0, -30]


def test_an_evaluation_holds_matrix_scores_floor_and_ceilings_or_the_reason():
    floor = evaluate.au_only_floor(PREDICTIONS.table)
    ceilings = {"AUs alone": 0.62, "AUs & cue": 1.0}
    summary = evaluate.evaluation_summary(PREDICTIONS, floor=floor, ceilings=ceilings, n_resamples=50)
    figure = view.plot_evaluation(summary)
    shown = {text.split("</b>")[0] for text in np.ravel(figure.data[1].text)}
    assert {f"<b>{n}" for n in evaluate.confusion_matrix(PREDICTIONS).to_numpy().ravel()} <= shown
    labels, marks = lines(figure)
    assert [label.split("<br>")[-1] for label in labels] == ["accuracy", "UF1", "UAR", "AUs alone", "AUs &amp; cue"]
    assert np.allclose(marks.x, [*summary.scores["value"], 0.62, 1.0])
    assert np.allclose(by_meta(figure, "floor").x[:3], summary.scores["floor"])
    assert room_between(view.plot_evaluation(summary, width=600)) >= theme.room_for(labels)
    bare = dataclasses.replace(PREDICTIONS, table=PREDICTIONS.table.drop(columns="label"))
    assert "40 of 40 clips have no label" in texts(view.plot_evaluation(evaluate.evaluation_summary(bare)))
    assert "ceilings" not in texts(view.plot_evaluation(dataclasses.replace(summary, ceilings={})))


def test_each_fold_is_a_bar_with_its_clips_next_to_the_pooled_score_and_the_floor():
    columns = {"n_test": [4, 30, 12, 7], "accuracy": [0.25, 0.9, 0.5, np.nan], "error": ["", "", "", "no <fear>"]}
    folds = pd.DataFrame({"held_out": ["a/01", "a/02", "a/03", "a/04"], **columns})
    row = {"part": "all", "measure": "accuracy", "value": 0.74, "low": 0.5, "high": 0.9, "floor": 0.42}
    scores = pd.DataFrame([row | {"n_clips": 46, "n_subjects": 3}, row | {"part": "a", "value": 0.1}])
    figure = view.plot_folds(folds, scores=scores)
    (bars,) = figure.data
    assert (list(bars.x), list(bars.y)) == (["a/02", "a/03", "a/01", "a/04"], [0.9, 0.5, 0.25, 0])
    assert (list(bars.text), bars.customdata[3]) == (["30", "12", "4", "✕"], "failed, no &lt;fear&gt;")
    assert [(shape.y0, shape.y1) for shape in figure.layout.shapes] == [(0.5, 0.9), (0.74, 0.74), (0.42, 0.42)]
    for fact in ("pooled accuracy 0.740 [0.500, 0.900], 46 clips of 3 subjects", "AU-only floor 0.420", "failed (1)"):
        assert fact in texts(figure)
    assert "floor" not in texts(view.plot_folds(folds, scores=scores.assign(floor=np.nan)))
    (many,) = view.plot_folds(pd.concat([folds] * 11), scores=scores).data
    assert {*many.text} == {"", "✕"}  # no room for numbers, but what failed is never read as 0 %


def test_the_third_rule_of_an_audit_is_open_and_the_curve_is_pooled_over_clips():
    rules = (("last_epoch", 0.6), ("validation", 0.62), ("best_on_test", 0.8))
    rows = [(rule, name, value, value - 0.1, value + 0.1, 0.4) for rule, value in rules for name in ("accuracy", "UF1")]
    audit = pd.DataFrame(rows, columns=["rule", "measure", "value", "low", "high", "floor"])
    columns = {"held_out_accuracy": [0.0, 1.0, 0.5, 0.5], "validation_accuracy": [0.5, 1.0, 0.5, 0.5]}
    counts = {"n_held_out": [1, 1, 3, 3], "n_validation": 10}
    epochs = pd.DataFrame({"fold": [0, 0, 1, 1], "epoch": [1, 2, 1, 2], **columns, **counts})
    figure = view.plot_selection_audit(audit, epochs=epochs)
    assert list(by_meta(figure, "held_out_accuracy").y) == pytest.approx([0.375, 0.625])
    assert list(by_meta(figure, "validation_accuracy").y) == pytest.approx([0.5, 0.75])
    labels, marks = lines(figure)
    assert [label.split(",")[0] for label in labels] == ["accuracy"] * 3 + ["UF1"] * 3
    assert (list(marks.x), "optimistic" in labels[2]) == ([0.6, 0.62, 0.8] * 2, True)
    assert list(marks.marker.symbol) == ["circle", "circle", "circle-open"] * 2
    assert set(by_meta(figure, "floor").x) == {0.4}
    assert "adds +0.200 of accuracy" in texts(figure)
    assert room_between(view.plot_selection_audit(audit, epochs=epochs, width=700)) >= theme.room_for(labels)
    assert_refuses(view.plot_selection_audit, audit.assign(rule="luck"), epochs=epochs, match="luck")


def test_only_a_difference_clear_of_zero_is_filled_and_each_subjects_accuracies_are_joined():
    rows = [("MEDN", "motion", "accuracy", 0.2, 0.1, 0.3), ("MEDN", "motion", "UF1", -0.05, -0.2, 0.1)]
    comparison = pd.DataFrame(rows, columns=["model_a", "model_b", "measure", "difference", "low", "high"])
    table = {"subject": ["x/1", "x/2", "x/3"], "n_clips": 5, "a": [0.2, 0.8, 0.5], "b": [0.4, 0.4, 0.5]}
    figure = view.plot_comparison(comparison, subjects=pd.DataFrame(table))
    labels, marks = lines(figure)
    assert (labels, list(marks.x)) == (["accuracy", "UF1"], [0.2, -0.05])
    assert list(marks.marker.symbol) == ["circle", "circle-open"]
    assert "MEDN minus motion" in texts(figure)
    a, b = figure.data[-1], by_meta(figure, "b")
    assert list(a.x) == [0.8, 0.5, 0.2]  # from the largest gain to the largest loss
    assert list(b.x) == [0.4, 0.5, 0.4]
    assert np.allclose(a.x + a.error_x.array - a.error_x.arrayminus, b.x)
    assert a.error_x.width == 0  # no caps: the line is no interval
    assert (a.name, b.name, figure.layout.yaxis2.ticktext) == ("MEDN", "motion", ("x/2", "x/3", "x/1"))
    labels, _ = lines(view.plot_comparison(pd.concat([comparison, comparison.assign(model_a="dense <all>")])))
    assert labels[::3] == ["MEDN<br>− motion, accuracy", "dense &lt;all&gt;<br>− motion, UF1"]


def test_aus_have_their_positives_and_a_missing_value_its_reason():
    rows = [
        ("AU1", 40, 9, 0.9, 0.3, 0.95, 0.7, 0.6, 0.8, True, ""),
        ("AU4", 3, 1, 0.7, np.nan, np.nan, 0.2, np.nan, np.nan, False, "all positives are of one subject"),
        ("AU9", 0, 0, *[np.nan] * 6, False, "no positive among 50 coded clips"),
    ]
    names = "au n_positive n_subjects auc auc_low auc_high f1 f1_low f1_high in_macro reason"
    aus = pd.DataFrame(rows, columns=names.split())
    figure = view.plot_au_detection(aus)
    auc, f1 = by_meta(figure, "auc"), by_meta(figure, "f1")
    assert np.allclose([auc.x, f1.x], [aus["auc"], aus["f1"]], equal_nan=True)
    assert list(auc.marker.symbol) == ["circle", "circle-open", "circle-open"]
    assert figure.layout.yaxis.ticktext[0] == "<b>AU1</b> · 40 clips, 9 subj."
    assert texts(figure).count("no positive among 50 coded clips") == 1
    assert (figure.layout.shapes[0].x0, figure.layout.xaxis.range[0]) == (0.5, 0)


def test_the_key_of_the_predictions_names_the_marks_that_are_drawn():
    clips = sample_clips(n=2)
    whole, features = sample_predictions(clips), sample_features(clips)
    figure = view.plot_answers(records.LivePrediction(whole, features, sample_predictions(clips, seed=1)), clips=clips)
    key = figure.layout.title.subtitle.text
    assert ("frames alone" in key, "flow alone" in key, "the table" in key) == (True, False, False)
    dots = [trace for trace in figure.data if trace.meta == "value" and trace.type == "scatter"]
    np.testing.assert_allclose([trace.x for trace in dots], whole.probabilities)
