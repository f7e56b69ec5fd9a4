"""Figures of trainings: the curves of one, and the scores of several variants with their intervals."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from figure_contents import words
from sample_records import sample_history

from medn_lab.records import History
from medn_lab.view import plot_history, plot_variants, theme


def curves(history):
    return {trace.meta: trace for trace in plot_history(history).data}


class TestHistory:
    def test_every_curve_is_drawn_and_named(self):
        history = sample_history()
        drawn = curves(history)
        assert set(drawn) == set(history.table.columns) - {"epoch", "seconds", "learning_rate"}
        assert np.allclose(drawn["au"].y, history.table["au"])
        assert all(trace.name for trace in drawn.values())
        assert {drawn[name].yaxis for name in ("accuracy", "validation_accuracy")} == {"y2"}

    def test_a_validation_curve_has_the_colour_of_its_training_curve_and_is_dashed(self):
        drawn = curves(sample_history())
        assert drawn["validation_loss"].line.color == drawn["loss"].line.color
        assert (drawn["loss"].line.dash, drawn["validation_loss"].line.dash) == ("solid", "dash")

    def test_measures_of_decoupling_have_their_panels_and_what_is_allowed_is_dotted(self):
        history = sample_history(epochs=4)
        watched = {"dependence_linear_cka": 0.2, "leak_aus_from_emotion": 0.8, "leak_aus_from_emotion_allowed": 0.55}
        drawn = curves(dataclasses.replace(history, table=history.table.assign(**watched)))
        assert [drawn[name].yaxis for name in watched] == ["y3", "y4", "y4"]
        leak, allowed = drawn["leak_aus_from_emotion"], drawn["leak_aus_from_emotion_allowed"]
        assert (leak.line.dash, allowed.line.dash) == ("solid", "dot")
        assert leak.line.color == allowed.line.color == theme.branch_colour("emotion")
        assert {trace.yaxis for trace in curves(history).values()} == {"y", "y2"}

    def test_terms_without_a_colour_get_different_ones(self):
        history = sample_history(epochs=3)
        drawn = curves(dataclasses.replace(history, table=history.table.assign(first_term=1.0, second_term=2.0)))
        assert len({drawn[name].line.color for name in ("orthogonal", "first_term", "second_term")}) == 3

    def test_a_history_without_epochs_says_so(self):
        empty = History(pd.DataFrame({"epoch": [], "loss": [], "accuracy": []}), status="waiting")
        assert "no epoch has ended yet" in words(plot_history(empty))


def scores():
    table = pd.DataFrame(
        {
            "variant": ["none", "bottleneck", "none", "bottleneck"],
            "test": ["same", "same", "reversed", "reversed"],
            "accuracy": [0.96, 0.93, 0.62, np.nan],
        }
    )
    return table.assign(accuracy_low=table["accuracy"] - 0.02, accuracy_high=table["accuracy"] + 0.03)


class TestVariants:
    def test_they_keep_their_order_from_top_to_bottom_and_their_intervals(self):
        figure = plot_variants(scores().iloc[:2], ceilings={"au_only": 0.42, "joint": 1.0})
        (trace,) = figure.data
        assert list(figure.layout.yaxis.ticktext) == ["none", "bottleneck"]
        assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first is on top
        assert (list(trace.y), list(trace.x)) == ([0, 1], [0.96, 0.93])
        assert trace.error_x.array == pytest.approx([0.03, 0.03])
        assert trace.error_x.arrayminus == pytest.approx([0.02, 0.02])
        assert [line.x0 for line in figure.layout.shapes] == [0.42, 1.0]

    def test_each_has_a_trace_where_another_column_gives_the_lines(self):
        figure = plot_variants(scores(), by="test")
        assert list(figure.layout.yaxis.ticktext) == ["same", "reversed"]
        by_name = {trace.name: trace for trace in figure.data}
        assert list(by_name["none"].x) == [0.96, 0.62]
        # Nearest to their own line, and apart from each other.
        assert np.round(by_name["none"].y).tolist() == np.round(by_name["bottleneck"].y).tolist() == [0, 1]
        assert (np.asarray(by_name["none"].y) < np.asarray(by_name["bottleneck"].y)).all()

    def test_a_measure_without_an_interval_is_drawn(self):
        figure = plot_variants(scores().assign(accuracy_low=np.nan, accuracy_high=np.nan), by="test")
        assert list(figure.data[0].x) == [0.96, 0.62]
        assert not figure.data[0].error_x.visible

    def test_the_axis_ends_where_the_measure_does(self):
        table = scores().assign(accuracy_low=-3.0, accuracy_high=4.0)
        low, high = plot_variants(table, by="test").layout.xaxis.range
        assert -0.1 <= low <= 0
        assert 1 <= high <= 1.1
        low, high = plot_variants(scores().iloc[:2]).layout.xaxis.range
        assert 0.85 < low < 0.91
        assert 0.99 < high <= 1.1

    def test_what_is_missing_is_named(self):
        for table, by, missing in (
            (scores().drop(columns="accuracy_low"), "variant", "accuracy_low"),
            (scores(), "n_subjects", "n_subjects"),
            (scores().iloc[:0], "variant", "no rows"),
        ):
            with pytest.raises(ValueError, match=missing):
                plot_variants(table, by=by)

    def test_names_from_a_table_are_shown_as_text(self):
        table = scores().assign(variant="<img src=x>", test="<b>x")
        assert "<img" not in plot_variants(table, by="test").to_json()
        assert "<img" not in plot_variants(table).to_json()
        assert "<b>x" not in plot_variants(table, by="test").to_json()
