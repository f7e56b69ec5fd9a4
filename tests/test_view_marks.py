"""The marks: what is given is drawn at its place, and what is not known is named."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from figure_contents import words

from medn_lab.view import marks


def test_a_forest_draws_values_intervals_nulls_references_and_reasons():
    rows = {
        "value": [0.4, 0.1, np.nan], "low": [0.3, np.nan, np.nan], "high": [0.6, np.nan, np.nan],
        "null_mean": [0.0, 0.1, np.nan], "null_95": [0.2, 0.3, np.nan], "allowed": [np.nan, 0.25, 0.5],
        "reason": ["", "", "one <class>"],
    }  # fmt: skip
    table, figure = pd.DataFrame(rows), go.Figure()
    marks.forest(figure, table, labels=["a", "b", "c"], references={"allowed": "allowed"}, open_marker=[0, 1, 1])
    band, threshold, allowed, value = figure.data
    np.testing.assert_array_equal([value.x, allowed.x, value.y], [table["value"], table["allowed"], [0, 1, 2]])
    np.testing.assert_allclose([value.error_x.arrayminus[0], *value.error_x.array[:2]], [0.1, 0.2, np.nan])
    assert list(value.marker.symbol) == ["circle", "circle-open", "circle-open"]
    assert list(value.customdata[:2]) == ["a: 0.4000 [0.3000, 0.6000]", "b: 0.1000"]
    assert (list(band.base), list(band.x), list(threshold.x)) == ([0.0, 0.1], pytest.approx([0.2, 0.2]), [0.2, 0.3])
    assert (figure.layout.yaxis.ticktext, words(figure)) == (("a", "b", "c"), ["one &lt;class&gt;"])
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first line is at the top


def test_numbers_get_decimals_by_their_size_and_a_wrong_table_is_refused():
    assert [marks.decimals(one) for one in ([0.0, 0.5], [0.006, -0.003, np.nan], [4e-5])] == [3, 4, 5]
    with pytest.raises(ValueError, match=r"lacks high; give the table of medn\.evaluate\.uar"):
        marks.need(pd.DataFrame({"value": [1]}), ("high",), maker="evaluate.uar")
