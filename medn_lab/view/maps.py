"""The maps of the branches side by side: motion | emotion | fused, the same clip in each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import BranchFeatures, Embedding, Predictions
from medn_lab.view import theme
from medn_lab.view.colouring import Colouring, colouring, made_lines, map_colour, map_title, reading_lines
from medn_lab.view.rows import hover_texts
from medn_lab.view.theme import as_text

MOST_SVG_POINTS = 1200
"""More points than this are drawn by WebGL."""

BETWEEN_ROWS = 50
"""Pixels between two rows of maps: room for a heading."""

_COLUMNS = 3


def map_names(embedding: Embedding) -> list[str]:
    """Which branches have a map, in the order motion, emotion, fused; maps of other layers are not among them."""
    return [name for name in theme.BRANCHES if getattr(embedding, f"{name}_xy") is not None]


def map_figure(
    embedding: Embedding,
    *,
    width: int,
    height: int,
    margin: tuple[int, int, int, int],
    names: list[str] | None = None,
    full_titles: bool = False,
) -> go.Figure:
    """Empty square-ish panels, one a map, named and framed in the branch's colour.

    Parameters
    ----------
    embedding : Embedding
    width, height : int
        In pixels.
    margin : (left, right, top, bottom)
        In pixels.
    names : list of str, optional
        Which maps, three a row; by default the branches'.
    full_titles : bool
        Two lines above each map with all its figures, rather than one.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the embedding has maps of other layers alone and none is named.
    """
    names = map_names(embedding) if names is None else names
    if not names:
        raise ValueError(
            f"this Embedding maps no branch, only {', '.join(embedding.maps)}; draw it with plot_embedding"
        )
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=[map_title(embedding, name, full=full_titles) for name in names],
        horizontal_spacing=0.024 if columns > 1 else 0,
        vertical_spacing=BETWEEN_ROWS / (height - margin[2] - margin[3]) if rows > 1 else 0,
    )
    theme.finish(figure, width=width, height=height, margin=margin)
    for place, (name, heading) in enumerate(zip(names, figure.layout.annotations, strict=True)):
        row, column = panel(place)
        heading.update(x=figure.get_subplot(row, column).xaxis.domain[0], xanchor="left", align="left")
        frame_panel(figure, embedding.maps[name], name, row=row, column=column)
    for place in range(len(names), rows * columns):
        row, column = panel(place)
        figure.update_xaxes(visible=False, row=row, col=column)
        figure.update_yaxes(visible=False, row=row, col=column)
    return figure


def panel(place: int) -> tuple[int, int]:
    """Row and column, from 1, of the map at this place from 0."""
    return place // _COLUMNS + 1, place % _COLUMNS + 1


def frame_panel(figure: go.Figure, xy: np.ndarray, name: str, *, row: int, column: int) -> None:
    """Give one panel the frame of its branch and axes without ticks that hold all of `xy`."""
    frame = {"showline": True, "mirror": True, "linewidth": 1.5, "linecolor": map_colour(name)}
    quiet = {"showgrid": True, "zeroline": False, "showticklabels": False, "ticks": "", "title": None}
    figure.update_xaxes(**quiet, **frame, range=_span(xy[:, 0]), row=row, col=column)
    figure.update_yaxes(**quiet, **frame, range=_span(xy[:, 1]), row=row, col=column)


def draw_points(
    figure: go.Figure,
    xy: np.ndarray,
    table: pd.DataFrame,
    *,
    colours: Colouring,
    texts: np.ndarray,
    row: int,
    column: int,
    legend: bool,
) -> None:
    """Draw the clips of one map, a trace a category, with their ids in ``customdata``."""
    ids, texts = table["clip_id"].to_numpy(dtype=object), colours.named(texts)
    kind = go.Scattergl if len(table) > MOST_SVG_POINTS else go.Scatter
    for value, (colour, symbol) in colours.styles.items():
        chosen = np.flatnonzero(colours.values == value)
        if not chosen.size:
            continue
        figure.add_trace(
            kind(
                x=xy[chosen, 0],
                y=xy[chosen, 1],
                customdata=ids[chosen],
                hovertext=texts[chosen],
                hoverinfo="text",
                mode="markers",
                name=f"{as_text(value)} ({chosen.size})",
                legendgroup=str(value),
                showlegend=legend,
                marker={"color": colour, "symbol": symbol, **marker_look(len(table))},
            ),
            row=row,
            col=column,
        )


def plot_embedding(
    embedding: Embedding,
    *,
    colour_by: str = "label",
    predictions: Predictions | None = None,
    features: BranchFeatures | None = None,
    width: int | None = None,
    height: int | None = None,
) -> go.Figure:
    """Draw the maps of the branches side by side, and those of other layers below them.

    Each map has its own axes without unit. Look at which clips are neighbours; distances between clusters are not
    evidence of anything. The figures above each map say how far even the neighbourhoods can be believed:
    trustworthiness falls with every neighbour that the map invents, continuity with every one that it tears away.

    Parameters
    ----------
    embedding : Embedding
        Maps that are None are left out.
    colour_by : str
        ``label`` (the emotion), ``predicted``, ``correctness``, ``subject``, ``au_set``, an AU such as ``AU12``,
        ``cue``, ``fold``, ``gate`` or any column of the table.
    predictions : Predictions or None
        Needed for ``predicted``, ``correctness`` and ``fold``; joined by clip_id.
    features : BranchFeatures or None
        Needed for ``gate``; joined by clip_id.
    width, height : int
        In pixels; they follow the number of maps where None.

    Returns
    -------
    Figure
        One trace a category and map; ``customdata`` holds the clip ids.

    Raises
    ------
    ValueError
        If there is nothing to colour by under that name, or `predictions` share no clip with the embedding.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "label": ["fear", "others"] * 2})
    >>> embedding = Embedding(*rng.normal(size=(3, 4, 2)), table)
    >>> sorted({trace.name for trace in plot_embedding(embedding).data if trace.name})
    ['fear (2)', 'others (2)']
    """
    table, predicted = joined_table(embedding, predictions, features=features)
    colours = colouring(table, colour_by)
    texts = hover_texts(table, predicted=predicted)
    names = list(embedding.maps)
    columns, rows = min(_COLUMNS, len(names)), -(-len(names) // _COLUMNS)
    width = width or (620, 760, 1000)[columns - 1]
    lines = [*made_lines(embedding, width=width), *reading_lines(embedding, width=width)]
    top, bottom = 84 + 17 * len(lines), legend_room(colours, width=width)
    height = height or round(top + bottom + rows * min(400, 0.93 * (width - 28) / columns) + BETWEEN_ROWS * (rows - 1))
    margin = (14, 14, top, bottom)
    figure = map_figure(embedding, width=width, height=height, margin=margin, names=names, full_titles=True)
    for place, name in enumerate(names):
        row, column = panel(place)
        xy = embedding.maps[name]
        draw_points(figure, xy, table, colours=colours, texts=texts, row=row, column=column, legend=place == 0)
    together = f"The same {len(embedding)} clips in each map" if len(names) > 1 else f"{len(embedding)} clips"
    title = f"<b>{together}</b> · coloured by {as_text(colours.title)}"
    subtitle = "<br>".join(lines)
    theme.finish(figure, width=width, height=height, title=title, subtitle=subtitle, margin=margin)
    put_legend_below(figure)
    return figure


def put_legend_below(figure: go.Figure) -> None:
    """The legend in the room that :func:`legend_room` left below the maps."""
    margin = figure.layout.margin
    below = -12 / (figure.layout.height - margin.t - margin.b)
    figure.update_layout(legend={"y": below, "yanchor": "top", "x": 0, "xanchor": "left"})


def legend_room(colours: Colouring, *, width: int) -> int:
    """The pixels that a legend of all categories takes below the maps."""
    longest = max((len(str(name)) for name in colours.styles), default=0)
    a_row = max(1, int((width - 28) // (56 + 7 * (longest + 5))))
    return 26 + 29 * -(-len(colours.styles) // a_row)


def joined_table(
    embedding: Embedding, predictions: Predictions | None, *, features: BranchFeatures | None = None
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """The embedding's table with ``predicted``, ``fold`` and ``gate`` joined by clip_id, and the predicted alone.

    ``attrs["classes"]`` are the classes that the predictions know: a label that is none of them is neither right nor
    wrong.
    """
    table = embedding.table
    if features is not None and features.gate is not None:
        means = pd.Series(features.gate.mean(axis=1, dtype=float), index=features.table["clip_id"])
        table = table.assign(gate=means.reindex(table["clip_id"]).to_numpy())
    if predictions is None:
        predicted = table["predicted"].to_numpy(dtype=object) if "predicted" in table.columns else None
        return table, predicted
    said = dict(zip(predictions.table["clip_id"], predictions.predicted, strict=True))
    predicted = np.asarray([said.get(name) for name in table["clip_id"]], dtype=object)
    if not any(value is not None for value in predicted):
        raise ValueError(
            f"none of the {len(table)} clips of the embedding is among the {len(said)} predictions; "
            "both must come from the same clips"
        )
    table = table.assign(predicted=predicted)
    table.attrs["classes"] = tuple(predictions.classes)
    if predictions.fold is not None:
        folds = dict(zip(predictions.table["clip_id"], predictions.fold, strict=True))
        table = table.assign(fold=[folds.get(name) for name in table["clip_id"]])
    return table, predicted


def marker_look(count: int) -> dict[str, Any]:
    """Size and opacity of the points: smaller and lighter the more there are."""
    size = 9 if count <= 150 else 7.5 if count <= 600 else 6 if count <= 2000 else 4.5
    return {"size": size, "opacity": 0.9 if count <= 600 else 0.75, "line": {"width": 0}}


def _span(values: np.ndarray) -> list[float]:
    if not np.isfinite(values).any():
        return [-1.0, 1.0]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = 0.07 * (high - low) or 1.0
    return [low - room, high + room]
