"""Figures of trainings: the curves of one, and the scores of several variants with their intervals."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from figure_contents import texts
from sample_records import sample_history

from medn_lab.records import History
from medn_lab.view import plot_history, plot_variants


def curves(history, **columns):
    watched = dataclasses.replace(history, table=history.table.assign(**columns))
    return {trace.meta: trace for trace in plot_history(watched).data}


def test_every_curve_of_a_history_is_drawn_in_its_panel():
    history = sample_history(epochs=4)
    drawn = curves(history)
    assert set(drawn) == set(history.table.columns) - {"epoch", "seconds", "learning_rate"}
    assert np.allclose(drawn["au"].y, history.table["au"])
    assert {trace.yaxis for trace in drawn.values()} == {"y", "y2"}
    assert "UF1" not in texts(plot_history(history))
    watched = {"dependence_linear_cka": 0.2, "leak_aus_from_emotion": 0.8, "leak_aus_from_emotion_allowed": 0.55}
    drawn = curves(history, **watched, first_term=1.0, second_term=2.0)
    assert [drawn[name].yaxis for name in watched] == ["y3", "y4", "y4"]
    leak, allowed = drawn["leak_aus_from_emotion"], drawn["leak_aus_from_emotion_allowed"]
    assert (leak.line.dash, allowed.line.dash, leak.line.color) == ("solid", "dot", allowed.line.color)
    assert len({drawn[name].line.color for name in ("orthogonal", "first_term", "second_term")}) == 3
    empty = History(pd.DataFrame({"epoch": [], "loss": [], "accuracy": []}), status="waiting")
    assert "no epoch has ended yet, waiting" in plot_history(empty).layout.title.text


def test_variants_keep_their_order_and_each_has_a_trace_where_another_column_gives_the_lines():
    columns = {"variant": ["none", "bottleneck"] * 2, "test": ["same", "same", "reversed", "reversed"]}
    scores = pd.DataFrame(columns | {"accuracy": [0.96, 0.93, 0.62, np.nan]})
    scores = scores.assign(accuracy_low=scores["accuracy"] - 0.02, accuracy_high=scores["accuracy"] + 0.03)
    figure = plot_variants(scores.iloc[:2], ceilings={"au_only": 0.42, "joint": 1.0})
    (trace,) = figure.data
    assert list(figure.layout.yaxis.ticktext) == ["none", "bottleneck"]
    assert (list(trace.y), list(trace.x)) == ([0, 1], [0.96, 0.93])
    assert [line.x0 for line in figure.layout.shapes] == [0.42, 1.0]
    assert [note.yshift for note in figure.layout.annotations] == [0, 14]  # ceilings that are near stay readable
    figure = plot_variants(scores.assign(accuracy_low=-3.0, accuracy_high=4.0), by="test")
    assert list(figure.layout.yaxis.ticktext) == ["same", "reversed"]
    none, bottleneck = figure.data
    assert (none.name, list(none.x)) == ("none", [0.96, 0.62])
    # Nearest to their own line, and apart from each other.
    assert np.round(none.y).tolist() == np.round(bottleneck.y).tolist() == [0, 1]
    assert (np.subtract(none.y, bottleneck.y) < 0).all()
    assert figure.layout.xaxis.range == pytest.approx((-0.02, 1.02))  # the axis ends where the measure does
    evil = scores.assign(variant="<img src=x>", test="<b>x")
    drawn = plot_variants(evil, by="test").to_json() + plot_variants(evil).to_json()
    assert not any(tag in drawn for tag in ("<img", "<b>x"))
