"""The marks of which the figures consist: intervals on a line, a heat matrix, image tiles, bars, and an empty sheet.

A mark adds traces to a figure, or to the subplot that ``row`` and ``col`` name. Texts that come from data are escaped
here, except the labels of axes and the headings of tiles, which may hold plotly's tags.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records.table import counted as counted
from medn_lab.view import theme
from medn_lab.view.images import to_webp
from medn_lab.view.theme import as_text, room_for, wrapped

ABOVE, WITHIN = "#E2553F", "#12946B"  # a value above the 95 % of its null, and one within
ESTIMATE = "#2F7FD0"  # a value with its interval, where it is no branch's or emotion's
REFERENCE = theme.PARTNER_RING
NULL_BAND, UNKNOWN_CELL = "rgba(128, 128, 128, 0.35)", "#ECECEC"
SMALLEST = 11  # pixels of the smallest letters in a figure


def need(table: pd.DataFrame, columns: Iterable[str], *, maker: str) -> None:
    """Raise ValueError where the table lacks a column or has no rows; `maker` is the function that returns it."""
    missing = [name for name in columns if name not in table]
    if missing or not len(table):
        problem = f"lacks {', '.join(missing)}" if missing else "has no rows"
        raise ValueError(f"the table {problem}; give the table of medn.{maker}")


def decimals(values: Iterable[float]) -> int:
    """Decimals of all numbers of a panel: 3; 4 where their median size is below 0.01, 5 where it is below 0.001."""
    sizes = np.abs(np.asarray(list(values), dtype=float))
    middle = np.median(sizes[sizes > 0]) if (sizes > 0).any() else 1.0
    return 3 + int(middle < 0.00995) + int(middle < 0.000995)


def interval_text(value: float, low: float = np.nan, high: float = np.nan, *, digits: int = 3, sign: str = "") -> str:
    """A value with its interval, as in tables and hover texts.

    Examples
    --------
    >>> interval_text(0.5, 0.25, 0.75, digits=2), interval_text(0.5), interval_text(float("nan"))
    ('0.50 [0.25, 0.75]', '0.500', '–')
    """
    if not np.isfinite(value):
        return "–"
    form = f"{sign}z.{digits}f"
    return f"{value:{form}}" + (f" [{low:{form}}, {high:{form}}]" if np.isfinite(low) else "")


def small(text: str) -> str:
    """The text in the smallest letters."""
    return f"<span style='font-size:{SMALLEST}px'>{text}</span>"


def heading(figure: go.Figure, text: str, *, size: int = 13, **where: Any) -> None:
    """Add a text above the upper left corner of a subplot."""
    place = {"x": 0, "y": 1, "xref": "x domain", "yref": "y domain", "xanchor": "left", "yanchor": "bottom"}
    figure.add_annotation(text=text, showarrow=False, font={"size": size}, **place, **where)


def side_by_side(*titles: str, gap: float, **how: Any) -> go.Figure:
    """A figure with a row of panels, each below its title; `gap` is the share of the width between two."""
    return make_subplots(rows=1, cols=len(titles), horizontal_spacing=gap, subplot_titles=titles, **how)


def forest(
    figure: go.Figure, table: pd.DataFrame, *, labels: Sequence[str], name: str = "value",
    colour: str | Sequence[str] = ESTIMATE, open_marker: Sequence[bool] | np.ndarray | bool = False,
    texts: Sequence[str] | None = None, references: Mapping[str, str] | None = None,
    reference_colour: str | Sequence[str] = REFERENCE, legend: bool = True, **where: Any,
) -> None:  # fmt: skip
    """Add values with their intervals on a line each, against what they are compared with.

    Parameters
    ----------
    figure : Figure
    table : DataFrame
        ``value`` and, where there are, ``low, high`` (the interval), ``null_mean, null_95`` (a grey band, whose upper
        end is the threshold), ``reason`` (in the place of a value that is not known).
    labels : sequence of str
        Of the lines, from top to bottom.
    name : str
        In the legend.
    colour : str or sequence of str
        Of the markers.
    open_marker : sequence of bool, optional
        Which markers are open.
    texts : sequence of str, optional
        Above each marker; may hold tags.
    references : mapping of str to str, optional
        Up to four more columns, each a mark on its line: column to legend name. A diamond, a tick, an open circle, an
        open triangle.
    reference_colour : str or sequence of str
        Of the diamonds.
    legend : bool
        Whether this mark's traces stand in the legend.
    row, col : int, optional
        The subplot (`where`).
    """
    columns = ["value", "low", "high", "null_mean", "null_95"]
    value, low, high, mean, top = table.reindex(columns=columns).astype(float).to_numpy().T
    places, known = np.arange(len(table)), np.isfinite(top)
    tick = {"symbol": "line-ns", "size": 22, "line": {"width": 3, "color": theme.INK}}
    if known.any():
        figure.add_bar(
            x=(top - mean)[known], base=mean[known], y=places[known], orientation="h", width=0.62,
            name="null: mean to 95 %", marker={"color": NULL_BAND}, showlegend=legend, legendgroup="null",
            customdata=np.stack([mean, top], axis=1)[known], **where,
            hovertemplate="null: mean %{customdata[0]:.4g}, 95th percentile %{customdata[1]:.4g}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=top[known], y=places[known], mode="markers", name="threshold", showlegend=legend, hoverinfo="skip",
            marker=tick | {"size": 15}, legendgroup="threshold", **where,
        )  # fmt: skip
    diamond = {"symbol": "diamond-open", "size": 10, "color": reference_colour, "line": {"width": 2}}
    circle = {"symbol": "circle-open", "size": 14, "color": theme.INK, "line": {"width": 2}}
    references, triangle = references or {}, circle | {"symbol": "triangle-up-open", "size": 11}
    others = table.reindex(columns=list(references)).astype(float)
    for (key, title), look in zip(references.items(), (diamond, tick, circle, triangle), strict=False):
        figure.add_scatter(
            x=others[key], y=places, mode="markers", name=as_text(title), marker=look, meta=key, legendgroup=key,
            showlegend=legend and bool(others[key].notna().any()),
            hovertemplate=f"{as_text(title)}: %{{x:.4g}}<extra></extra>", **where,
        )  # fmt: skip
    dot = {"size": 10, "color": colour, "line": {"width": 2, "color": colour}}
    hollow = np.broadcast_to(np.asarray(open_marker, dtype=bool), len(table))
    ends = zip(labels, value, low, high, strict=True)
    bar = {"array": high - value, "arrayminus": value - low, "visible": bool(np.isfinite(high - low).any())}
    bar |= {"thickness": 2, "width": 5, "color": colour if isinstance(colour, str) else theme.INK}
    figure.add_scatter(
        x=value, y=places, mode="markers" if texts is None else "markers+text", text=texts, name=as_text(name),
        textposition="top center", showlegend=legend, cliponaxis=False, meta="value",
        marker=dot | {"symbol": np.where(hollow, "circle-open", "circle")}, error_x=bar | {"symmetric": False},
        customdata=[f"{label.replace('<br>', ' ')}: {interval_text(*one, digits=4)}" for label, *one in ends],
        hovertemplate="%{customdata}<extra></extra>", **where,
    )  # fmt: skip
    reasons = table.get("reason", pd.Series("", table.index)).fillna("").astype(str).to_numpy()
    lower = np.where(others.notna().any(axis=1), -14, 0)  # the reason stands below the other marks of its line
    look = {"x": 0, "xref": "x domain", "xanchor": "left", "xshift": 5, "showarrow": False, "font_size": SMALLEST}
    start, end = figure.get_subplot(**where).xaxis.domain if where else (0, 1)
    for row in np.flatnonzero(np.isnan(value)):
        text = wrapped(as_text(reasons[row] or "not known"), 700 * (end - start), letter=5.9)
        figure.add_annotation(text=text, align="left", y=row, yshift=lower[row], **look, **where)
    rows_from_the_top(figure, labels, **where)


def rows_from_the_top(figure: go.Figure, labels: Sequence[str], **where: Any) -> None:
    """Name the places 0 to n - 1 of the y axis, the first at the top."""
    ticks = {"tickvals": list(range(len(labels))), "ticktext": list(labels), "range": [len(labels) - 0.4, -0.6]}
    figure.update_yaxes(showgrid=False, zeroline=False, ticklabelstandoff=6, **ticks, **where)


def level(
    figure: go.Figure, value: float, *, text: str = "", axis: Literal["x", "y"] = "x", dash: str = "dash", **where: Any
) -> None:
    """Add a line across the panel at a value of the axis, and the name of a vertical one above."""
    label = {"text": as_text(text), "font": {"size": SMALLEST, "color": theme.INK}}
    note: dict[str, Any] = {"annotation": label, "annotation_position": "top"} if text else {}
    add = figure.add_vline if axis == "x" else figure.add_hline
    add(value, line={"color": theme.INK, "width": 1.5, "dash": dash}, **note, **where)


def heat(
    figure: go.Figure, values: np.ndarray, *, rows: Sequence[str], columns: Sequence[str],
    scale: Sequence[tuple[float, str]], limits: tuple[float, float], texts: np.ndarray | None = None,
    hover: np.ndarray | None = None, bar: str = "", **where: Any,
) -> None:  # fmt: skip
    """Add a matrix of coloured cells.

    Parameters
    ----------
    figure : Figure
    values : (p, q) float
        Grey where NaN.
    rows, columns : sequence of str
        Their names, from the top and from the left.
    scale : sequence of (share, colour)
    limits : (lowest, highest)
        Values at which the colours end.
    texts, hover : (p, q) array of str, optional
        In each cell, and under the pointer (names and text where there is none); may hold tags.
    bar : str
        Title of the colour bar; none where empty.
    row, col : int, optional
        The subplot (`where`).
    """
    p, q = values.shape
    shared: dict[str, Any] = {"x": np.arange(q), "y": np.arange(p), "xgap": 2, "ygap": 2, **where}
    over = "%{y}, %{x}<br>%{text}<extra></extra>" if hover is None else "%{customdata}<extra></extra>"
    look = {"texttemplate": None if texts is None else "%{text}", "textfont": {"size": 13}}
    unknown = {"colorscale": [[0, UNKNOWN_CELL], [1, UNKNOWN_CELL]], "showscale": False, "hoverinfo": "skip"}
    missing = None if texts is None else np.where(np.isnan(values), texts, "")
    figure.add_heatmap(z=np.zeros((p, q)), text=missing, **unknown, **look, **shared)
    figure.add_heatmap(
        z=values, zmin=limits[0], zmax=limits[1], colorscale=[list(stop) for stop in scale], customdata=hover,
        text=texts, hovertemplate=over, showscale=bool(bar), meta="value", hoverongaps=True, **look, **shared,
        colorbar={"title": {"text": bar}, "thickness": 12, "len": 1, "y": 1, "yanchor": "top"},
    )  # fmt: skip
    figure.update_xaxes(tickvals=np.arange(q), ticktext=list(columns), showgrid=False, zeroline=False, **where)
    rows_from_the_top(figure, rows, **where)
    figure.update_yaxes(range=[p - 0.5, -0.5], **where)


def share_bars(figure: go.Figure, drawn: Mapping[str, Any], **where: Any) -> None:
    """Add bars of shares from 0 to 1, the first at the top, each with its percentage, under their name.

    `drawn` holds ``values, labels, colours, name`` and, where some bars have an outline, ``outlined`` (of bool).
    """
    edge = [2 * int(one) for one in drawn.get("outlined", ())] or 0
    figure.add_bar(
        x=drawn["values"], y=drawn["labels"], orientation="h", name=drawn["name"], textposition="outside", meta="value",
        text=[f"{share:.0%}" for share in drawn["values"]], constraintext="none", cliponaxis=False,
        marker={"color": drawn["colours"], "line": {"color": theme.INK, "width": edge}},
        hovertemplate="%{y}: %{x:.3f}<extra></extra>", **where,
    )  # fmt: skip
    axis = {"tickvals": [0, 0.5, 1], "tickformat": ".0%", "tickangle": 0, "tickfont": {"size": SMALLEST}}
    figure.update_xaxes(range=[0, 1.32], **axis, **where)
    axis = {"autorange": "reversed", "tickfont": {"size": SMALLEST}, "ticklabelstandoff": 4, "dtick": 1}
    figure.update_yaxes(showgrid=False, **axis, **where)
    heading(figure, drawn["name"], size=12, **where)


class Tile(NamedTuple):
    """A picture (h, w, 3) uint8 with a heading above and a note below; without a picture the note is in its place.

    Heading and note may hold plotly's tags.
    """

    picture: np.ndarray | None
    heading: str = ""
    note: str = ""


def tile(figure: go.Figure, one: Tile, *, row: int, col: int) -> None:
    """Add one picture to a subplot, with its heading and its note."""
    where: dict[str, Any] = {"row": row, "col": col}
    if one.picture is None:
        figure.add_scatter(x=[None], y=[None], showlegend=False, hoverinfo="skip", **where)
        figure.update_xaxes(visible=False, **where).update_yaxes(visible=False, **where)
    else:
        packed = base64.b64encode(to_webp(one.picture, quality=84)).decode()
        figure.add_image(source=f"data:image/webp;base64,{packed}", hoverinfo="skip", **where)
        height, width = one.picture.shape[:2]
        bare: dict[str, Any] = dict.fromkeys(("showticklabels", "showgrid", "zeroline"), False)
        bare |= {"ticks": "", "showline": True, "mirror": True, "linewidth": 1, "constrain": "domain", **where}
        anchor = figure.get_subplot(row, col).xaxis.plotly_name.replace("axis", "")
        figure.update_xaxes(range=[-0.5, width - 0.5], **bare)
        figure.update_yaxes(range=[height - 0.5, -0.5], scaleanchor=anchor, **bare)
    middle = {"xref": "x domain", "yref": "y domain", "x": 0.5, "showarrow": False, **where}
    if one.heading:
        figure.add_annotation(text=one.heading, y=1, yanchor="bottom", font={"size": 13}, **middle)
    if one.note:
        below = {"y": 0.5, "yanchor": "middle"} if one.picture is None else {"y": 0, "yanchor": "top"}
        figure.add_annotation(text=one.note, font={"size": 12}, **below, **middle)


def tiles(
    columns: Sequence[Tile | Sequence[Tile | dict[str, Any] | None]], *, title: str, cell: float, subtitle: str = "",
    last: float = 1.0,
) -> go.Figure:  # fmt: skip
    """A figure of tiles: columns from the left, each from the top; `cell` is the width of a column in pixels.

    A column that is one tile spans all rows. A dict is drawn by `share_bars`. Cells that are None stay
    empty. The last column is `last` times as wide.
    """

    def height(one: Tile | dict[str, Any] | None) -> float:
        """Pixels that a cell needs."""
        if isinstance(one, dict):
            return 15 * len(one["labels"])
        return cell - 12 if one is None or one.picture is not None else 17 * (one.note.count("<br>") + 2)

    grid = [[column] if isinstance(column, Tile) else list(column) for column in columns]
    n, count, drawn = len(grid), max(map(len, grid)), [one for column in grid for one in column if one]
    pictures = [one for one in drawn if isinstance(one, Tile) and one.picture is not None]
    lines = [one.note.count("<br>") + 1 for one in pictures if one.note]
    foot = max(12 + 18 * max(lines, default=0), 40 * (len(pictures) < len(drawn)))  # names of the bars
    own = [column for column, given in zip(grid, columns, strict=True) if not isinstance(given, Tile)]
    heights = [max(height(one) for one in row) for row in itertools.zip_longest(*own, fillvalue=Tile(None))]
    body, width = sum(heights) + (count - 1) * (foot + 32), int((n - 1 + last) * cell)
    body = max(body, (cell - 12) * (len(own) < n))
    spans: list[Any] = [{"rowspan": count} if isinstance(column, Tile) else {} for column in columns]
    figure = make_subplots(
        rows=count, cols=n, specs=[spans, *[[None if one else {} for one in spans]] * (count - 1)],
        row_heights=heights, column_widths=[1.0] * (n - 1) + [last], horizontal_spacing=12 / width,
        vertical_spacing=(foot + 32) / body if count > 1 else 0,
    )  # fmt: skip
    figure.update_layout(width=width + 24, showlegend=False)
    for col, panels in enumerate(grid, 1):
        names = [name for one in panels if isinstance(one, dict) for name in one["labels"]]
        for row, one in enumerate(panels, 1):
            if isinstance(one, Tile):
                tile(figure, one, row=row, col=col)
            elif one:
                share_bars(figure, one, row=row, col=col)
                indent(figure, min(room_for(names, size=SMALLEST), 0.6 * last * cell), row=row, col=col)
    return theme.finish(figure, width=width + 24, body=body, title=title, subtitle=subtitle, l=12, r=12, b=foot)


def indent(figure: go.Figure, pixels: float, *, row: int, col: int) -> None:
    """Leave room for the labels of an axis within its subplot of a figure with a width."""
    axis = figure.get_subplot(row, col).xaxis
    axis.domain = (axis.domain[0] + pixels / figure.layout.width, axis.domain[1])


def empty_sheet(text: str, *, title: str, width: int, note: str = "") -> go.Figure:
    """A figure without data and the sentence that says why."""
    lines = [f"<b>{wrapped(as_text(text), width - 60, letter=7)}</b>", small(wrapped(as_text(note), width - 40))]
    return tiles([[Tile(None, note="<br>".join(lines))]], title=title, cell=width - 24)
