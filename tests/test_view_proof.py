"""The picture of several variants holds the table's numbers, and says what is missing."""

import numpy as np
import pandas as pd
import pytest

from medn_lab.view import plot_variants


def scores():
    table = pd.DataFrame(
        {
            "variant": ["none", "bottleneck", "none", "bottleneck"],
            "test": ["same", "same", "reversed", "reversed"],
            "accuracy": [0.96, 0.93, 0.62, np.nan],
        }
    )
    return table.assign(accuracy_low=table["accuracy"] - 0.02, accuracy_high=table["accuracy"] + 0.03)


def test_variants_keep_their_order_from_top_to_bottom_and_their_intervals():
    figure = plot_variants(scores().iloc[:2], ceilings={"au_only": 0.42, "joint": 1.0})
    (trace,) = figure.data
    assert list(figure.layout.yaxis.ticktext) == ["none", "bottleneck"]
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first is on top
    assert (list(trace.y), list(trace.x)) == ([0, 1], [0.96, 0.93])
    assert trace.error_x.array == pytest.approx([0.03, 0.03])
    assert trace.error_x.arrayminus == pytest.approx([0.02, 0.02])
    assert [line.x0 for line in figure.layout.shapes] == [0.42, 1.0]


def test_each_variant_has_a_trace_where_another_column_gives_the_lines():
    figure = plot_variants(scores(), by="test")
    assert list(figure.layout.yaxis.ticktext) == ["same", "reversed"]
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["none"].x) == [0.96, 0.62]
    # Nearest to their own line, and apart from each other.
    assert np.round(by_name["none"].y).tolist() == np.round(by_name["bottleneck"].y).tolist() == [0, 1]
    assert (np.asarray(by_name["none"].y) < np.asarray(by_name["bottleneck"].y)).all()


def test_a_measure_without_an_interval_is_drawn():
    figure = plot_variants(scores().assign(accuracy_low=np.nan, accuracy_high=np.nan), by="test")
    assert list(figure.data[0].x) == [0.96, 0.62]
    assert figure.to_json()


def test_the_axis_ends_where_the_measure_does():
    table = scores().assign(accuracy_low=-3.0, accuracy_high=4.0)
    low, high = plot_variants(table, by="test").layout.xaxis.range
    assert -0.1 <= low <= 0
    assert 1 <= high <= 1.1
    low, high = plot_variants(scores().iloc[:2]).layout.xaxis.range
    assert 0.85 < low < 0.91
    assert 0.99 < high <= 1.1


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="no column accuracy_low"):
        plot_variants(scores().drop(columns="accuracy_low"))
    with pytest.raises(ValueError, match="no column n_subjects"):
        plot_variants(scores(), by="n_subjects")
    with pytest.raises(ValueError, match="no rows"):
        plot_variants(scores().iloc[:0])


def test_names_from_a_table_are_shown_as_text():
    table = scores().assign(variant="<img src=x>", test="<b>x")
    assert "<img" not in plot_variants(table, by="test").to_json()
    assert "<img" not in plot_variants(table).to_json()
    assert "<b>x" not in plot_variants(table, by="test").to_json()
