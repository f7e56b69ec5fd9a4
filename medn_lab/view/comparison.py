"""Two models on the same clips: the difference with its interval, and the persons that it comes from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.view import theme
from medn_lab.view.folds import without_common_start
from medn_lab.view.theme import as_text

CLEAR_OF_ZERO = "#2F7FD0"
BETTER, WORSE, EQUAL = "#0B7A57", "#E2553F", theme.GREY


def plot_comparison(table: pd.DataFrame, *, subjects: pd.DataFrame | None = None, width: int = 960) -> go.Figure:
    """Draw the difference of two models' scores with its paired interval, and each person's part in it.

    A filled dot is a difference whose interval is clear of 0, an open one is not. On the right each line joins a
    person's accuracy under the two models: a difference that two persons make out of twenty is another finding than one
    that all share.

    Parameters
    ----------
    table : DataFrame
        ``model_a, model_b, measure, difference, low, high``, one row a comparison, as
        ``medn.evaluate.compare_predictions(...).table``; put several under each other with ``pandas.concat``.
    subjects : DataFrame, optional
        ``subject, n_clips, a, b``, as the comparison's ``subjects``. Without it the right panel is left out.
    width : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the table is empty or lacks a column.

    Examples
    --------
    >>> row = {"model_a": "bottleneck", "model_b": "none", "measure": "accuracy"}
    >>> table = pd.DataFrame([row | {"difference": 0.05, "low": 0.01, "high": 0.09}])
    >>> figure = plot_comparison(table)
    >>> figure.layout.title.text
    '<b>Comparison of two models</b>'
    """
    missing = [n for n in ("model_a", "model_b", "measure", "difference", "low", "high") if n not in table]
    if missing or not len(table):
        raise ValueError(f"the table of comparisons {'lacks ' + ', '.join(missing) if missing else 'is empty'}")
    beside = subjects is not None and len(subjects) > 0
    figure = make_subplots(
        rows=1,
        cols=2 if beside else 1,
        column_widths=[0.42, 0.58] if beside else None,
        horizontal_spacing=0.12,
        subplot_titles=("Difference, paired interval", "Accuracy, person by person") if beside else None,
    )
    names = _names(table)
    clear = (table["low"] > 0) | (table["high"] < 0)
    figure.add_trace(
        go.Scatter(
            x=table["difference"],
            y=names,
            error_x={
                "type": "data",
                "symmetric": False,
                "array": table["high"] - table["difference"],
                "arrayminus": table["difference"] - table["low"],
                "color": CLEAR_OF_ZERO,
                "thickness": 2,
                "width": 6,
            },
            mode="markers+text",
            text=[f"{value:+.3f}".replace("-", "−") for value in table["difference"]],
            textposition="top center",
            marker={
                "size": 11,
                "color": CLEAR_OF_ZERO,
                "symbol": ["circle" if value else "circle-open" for value in clear],
                "line": {"width": 2, "color": CLEAR_OF_ZERO},
            },
            cliponaxis=False,
            customdata=np.stack([table["low"], table["high"]], axis=1),
            hovertemplate="%{y}: %{x:+.3f} [%{customdata[0]:+.3f}, %{customdata[1]:+.3f}]<extra></extra>",
            showlegend=False,
        ),
        row=1,
        col=1,
    )
    figure.add_vline(x=0, line={"color": theme.INK, "width": 1.5, "dash": "dash"}, row=1, col=1)
    height = 160 + 44 * len(table)
    if beside:
        _draw_subjects(figure, subjects, table.iloc[0])
        height = max(height, 400)
    longest = max(len(line) for name in names for line in name.split("<br>"))
    models = {(row.model_a, row.model_b) for row in table.itertuples()}
    said = "difference = first minus second"
    if len(models) == 1:
        first, second = (as_text(name) for name in next(iter(models)))
        said = f"{first} minus {second}"
    margin = (int(30 + 6.6 * longest), 20, 104 if beside else 70, 72 if beside else 52)
    theme.finish(
        figure, width=width, height=height, title="<b>Comparison of two models</b>", subtitle=said, margin=margin
    )
    reach = 1.25 * float(np.nanmax(np.abs(table[["low", "high", "difference"]].to_numpy(dtype=float)))) or 0.1
    lowest, highest = min(float(table["low"].min()), 0.0), max(float(table["high"].max()), 0.0)
    figure.update_xaxes(
        range=[lowest - 0.15 * reach, highest + 0.15 * reach], tickformat="+.2f", title_text="difference", row=1, col=1
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, row=1, col=1)
    if len(table) == 1:
        figure.update_yaxes(range=[0.6, -0.6], autorange=False, row=1, col=1)
    figure.update_layout(legend={"x": 1.0, "xanchor": "right", "y": 1.09, "yanchor": "bottom"})
    return figure


def _names(table: pd.DataFrame) -> list[str]:
    """The rows' names: the measure where one pair of models is compared, both models otherwise."""
    pairs = {(row.model_a, row.model_b) for row in table.itertuples()}
    if len(pairs) == 1:
        return [as_text(name) for name in table["measure"]]
    return [f"{as_text(row.model_a)}<br>− {as_text(row.model_b)}, {as_text(row.measure)}" for row in table.itertuples()]


def _draw_subjects(figure: go.Figure, subjects: pd.DataFrame, first: pd.Series) -> None:
    """A line a person from the accuracy under the second model to that under the first."""
    rows = subjects.assign(difference=subjects["a"] - subjects["b"])
    rows = rows.sort_values(["difference", "a"], ascending=False, kind="stable").reset_index(drop=True)
    places = np.arange(len(rows))
    for colour, chosen in (
        (BETTER, rows["difference"] > 0),
        (WORSE, rows["difference"] < 0),
        (EQUAL, rows["difference"] == 0),
    ):
        part, place = rows[chosen], places[chosen]
        gap = np.full(len(part), np.nan)
        figure.add_trace(
            go.Scatter(
                x=np.stack([place, place, gap], axis=1).ravel(),
                y=np.stack([part["b"], part["a"], gap], axis=1).ravel(),
                mode="lines",
                line={"color": colour, "width": 2.5},
                hoverinfo="skip",
                showlegend=False,
            ),
            row=1,
            col=2,
        )
    names = [as_text(name) for name in rows["subject"]]
    colours = [BETTER if d > 0 else WORSE if d < 0 else EQUAL for d in rows["difference"]]
    for side, symbol in (("b", "circle-open"), ("a", "circle")):
        model = as_text(first[f"model_{side}"])
        figure.add_trace(
            go.Scatter(
                x=places,
                y=rows[side],
                mode="markers",
                name=model,
                meta=side,
                marker={"size": 9, "symbol": symbol, "color": colours, "line": {"width": 2, "color": colours}},
                customdata=np.stack([names, rows["n_clips"]], axis=1),
                hovertemplate="%{customdata[0]}: %{y:.1%} of %{customdata[1]} clips<extra>" + model + "</extra>",
            ),
            row=1,
            col=2,
        )
    named = len(rows) <= 30
    figure.update_xaxes(
        tickvals=places if named else [], ticktext=without_common_start(names) if named else [], showgrid=False,
        zeroline=False, title_text=f"{len(rows)} subjects", tickangle=-60, row=1, col=2,
    )  # fmt: skip
    figure.update_yaxes(range=[-0.03, 1.04], tickformat=".0%", title_text="clips right", row=1, col=2)
