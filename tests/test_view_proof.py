"""The proof's pictures hold the table's numbers, and say what is missing."""

import pandas as pd
import pytest

from medn_lab.view import plot_frontier, plot_training_size, plot_variants


def summary():
    rows = [
        {"variant": "none", "weight": float("nan"), "n_subjects": 24, "accuracy": 0.96, "emotion_aus_excess": 0.12},
        {"variant": "bottleneck", "weight": 0.4, "n_subjects": 24, "accuracy": 0.93, "emotion_aus_excess": 0.01},
        {"variant": "bottleneck", "weight": 0.1, "n_subjects": 4, "accuracy": 0.62, "emotion_aus_excess": 0.05},
    ]
    table = pd.DataFrame(rows)
    for name in ("accuracy", "emotion_aus_excess"):
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.02, table[name] + 0.03
    return table


def test_variants_keep_their_order_from_top_to_bottom_and_their_intervals():
    figure = plot_variants(summary().iloc[:2], ceilings={"au_only": 0.42, "joint": 1.0})
    trace = figure.data[0]
    assert list(trace.y) == ["bottleneck", "none"]
    assert list(trace.x) == [0.93, 0.96]
    assert trace.error_x.array == pytest.approx([0.03, 0.03])
    assert trace.error_x.arrayminus == pytest.approx([0.02, 0.02])
    assert [line.x0 for line in figure.layout.shapes] == [0.42, 1.0]


def test_the_frontier_joins_the_weights_of_a_switch_in_their_order():
    figure = plot_frontier(summary(), goal=0.05)
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["bottleneck"].x) == [0.05, 0.01]
    assert list(by_name["bottleneck"].text) == ["0.1", "0.4"]
    assert list(by_name["none"].y) == [0.96]
    assert figure.layout.shapes[0].x0 == 0.05


def test_training_sizes_are_drawn_at_their_numbers():
    figure = plot_training_size(summary(), variants=["bottleneck"])
    assert list(figure.data[0].customdata) == [4, 24]
    assert list(figure.data[0].y) == [0.62, 0.93]
    assert list(figure.layout.xaxis.ticktext) == ["4", "24"]
    with pytest.raises(ValueError, match="no variant 'dense'; there are none, bottleneck"):
        plot_training_size(summary(), variants=["dense"])


@pytest.mark.parametrize("plot", [plot_variants, plot_frontier, plot_training_size])
def test_what_is_missing_is_named(plot):
    with pytest.raises(ValueError, match="the table has no column"):
        plot(summary().drop(columns="accuracy_low"))
    with pytest.raises(ValueError, match="the table has no rows"):
        plot(summary().iloc[:0])


def test_names_from_a_table_are_shown_as_text():
    table = summary().assign(variant="<img src=x>")
    for plot in (plot_variants, plot_training_size, plot_frontier):
        assert "<img" not in plot(table).to_json()
