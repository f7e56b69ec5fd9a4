"""The marks: what is given is drawn at its place, and what is not known is named."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from figure_contents import by_meta, words

from medn_lab.view import marks


def test_a_forest_draws_values_intervals_nulls_references_and_reasons():
    rows = {
        "value": [0.4, 0.1, np.nan], "low": [0.3, np.nan, np.nan], "high": [0.6, np.nan, np.nan],
        "null_mean": [0.0, 0.1, np.nan], "null_95": [0.2, 0.3, np.nan], "allowed": [np.nan, 0.25, 0.5],
        "reason": ["", "", "one <class>"],
    }  # fmt: skip
    table, figure = pd.DataFrame(rows), go.Figure()
    marks.forest(figure, table, labels=["a", "b", "c"], references={"allowed": "allowed"}, open_marker=[0, 1, 1])
    value = by_meta(figure, "value")
    np.testing.assert_array_equal(value.x, table["value"])
    assert list(value.y) == [0, 1, 2]
    np.testing.assert_allclose([value.error_x.arrayminus[0], *value.error_x.array[:2]], [0.1, 0.2, np.nan])
    assert list(value.marker.symbol) == ["circle", "circle-open", "circle-open"]
    assert list(value.customdata[:2]) == ["a: 0.4000 [0.3000, 0.6000]", "b: 0.1000"]
    band = next(trace for trace in figure.data if isinstance(trace, go.Bar))
    np.testing.assert_allclose([band.base[0], band.base[0] + band.x[0]], [0.0, 0.2])
    np.testing.assert_allclose(next(t for t in figure.data if t.name == "threshold").x, [0.2, 0.3])
    np.testing.assert_array_equal(by_meta(figure, "allowed").x, table["allowed"])
    assert (figure.layout.yaxis.ticktext, words(figure)) == (("a", "b", "c"), ["one &lt;class&gt;"])
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first line is at the top


def test_a_heat_matrix_has_grey_cells_where_nothing_is_known_and_readable_texts():
    values, figure = np.array([[0.0, 1.0], [np.nan, 0.5]]), go.Figure()
    scale, texts = ((0.0, "#ffffff"), (1.0, "#000000")), np.array([["p", "q"], ["r", "s"]])
    look = {"scale": scale, "limits": (0, 1), "dark_from": 0.6, "texts": texts}
    marks.heat(figure, values, rows=["a", "b"], columns=["c", "d"], **look)
    np.testing.assert_array_equal(by_meta(figure, "value").z, values)
    assert (figure.data[0].z == 0).all()  # below, in grey
    inks = {note.text: note.font.color for note in figure.layout.annotations}
    assert inks == {"p": marks.ON_LIGHT, "q": marks.ON_DARK, "r": marks.ON_LIGHT, "s": marks.ON_LIGHT}
    assert list(figure.layout.xaxis.ticktext) == ["c", "d"]


def test_texts_are_broken_escaped_and_get_room_and_a_wrong_table_is_refused():
    (text,) = words(marks.empty_sheet("no pair <b> " * 30, title="Pairs", width=400))
    assert ("<b>" in text, text.count("<br>") > 4) == (False, True)
    assert [marks.decimals(one) for one in ([0.0, 0.5], [0.006, -0.003, np.nan], [4e-5])] == [3, 4, 5]
    for table, fact in (
        ({"value": [1]}, r"lacks high; give the table of medn\.evaluate\.uar"),
        ({"high": []}, "no rows"),
    ):
        with pytest.raises(ValueError, match=fact):
            marks.need(pd.DataFrame(table), ("high",), maker="evaluate.uar")
