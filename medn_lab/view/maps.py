"""The maps of the branches side by side: motion | emotion | fused, the same clip in each."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import Embedding, Predictions
from medn_lab.view import theme
from medn_lab.view.colouring import colouring
from medn_lab.view.rows import hover_texts

CAUTION = "Neighbours mean something here; distances between clusters, and their sizes, do not."
MOST_SVG_POINTS = 1200
"""More points than this are drawn by WebGL."""


def map_names(embedding: Embedding) -> list[str]:
    """Which branches have a map, in the order motion, emotion, fused."""
    return [name for name in theme.BRANCHES if getattr(embedding, f"{name}_xy") is not None]


def params_line(embedding: Embedding) -> str:
    """How the maps were made, as one line: method, parameters, seed."""
    names = {"n_neighbors": "neighbours", "min_dist": "min. distance"}
    params = dict(embedding.params)
    method = str(params.pop("method", "map")).upper()
    said = [f"{names.get(name, name.replace('_', ' '))} {value}" for name, value in params.items()]
    return f"{method} · {', '.join(said) or 'parameters not recorded'} · {len(embedding)} clips"


def map_title(embedding: Embedding, branch: str) -> str:
    """The heading of one map, in the branch's colour, with its trustworthiness."""
    trust = dict(embedding.trustworthiness).get(branch)
    told = "trustworthiness not measured" if trust is None else f"trustworthiness {trust:.3f}"
    colour = theme.branch_colour(branch)
    name = "fused" if branch == "fused" else f"{branch} branch"
    return f"<b style='color:{colour}'>{name}</b>  <span style='font-size:11px'>{told}</span>"


def map_figure(embedding: Embedding, *, width: int, height: int, margin: tuple[int, int, int, int]) -> go.Figure:
    """Empty square-ish panels, one a map, named and framed in the branch's colour."""
    names = map_names(embedding)
    figure = make_subplots(
        rows=1,
        cols=len(names),
        subplot_titles=[map_title(embedding, name) for name in names],
        horizontal_spacing=0.024 if len(names) > 1 else 0,
    )
    theme.finish(figure, width=width, height=height, margin=margin)
    for place, (name, heading) in enumerate(zip(names, figure.layout.annotations, strict=True), start=1):
        heading.update(x=figure.get_subplot(1, place).xaxis.domain[0], xanchor="left")
        frame = {"showline": True, "mirror": True, "linewidth": 1.5, "linecolor": theme.branch_colour(name)}
        quiet = {"showgrid": True, "zeroline": False, "showticklabels": False, "ticks": "", "title": None}
        span = {"x": _span(getattr(embedding, f"{name}_xy")[:, 0]), "y": _span(getattr(embedding, f"{name}_xy")[:, 1])}
        figure.update_xaxes(**quiet, **frame, range=span["x"], row=1, col=place)
        figure.update_yaxes(**quiet, **frame, range=span["y"], row=1, col=place)
    return figure


def plot_embedding(
    embedding: Embedding,
    *,
    colour_by: str = "label",
    predictions: Predictions | None = None,
    width: int = 1000,
    height: int = 440,
) -> go.Figure:
    """Draw the maps of the branches side by side.

    Each map has its own axes without unit. Look at which clips are neighbours; distances between clusters are not
    evidence of anything, and the trustworthiness above each map says how far even the neighbourhoods can be believed.

    Parameters
    ----------
    embedding : Embedding
        Maps that are None are left out.
    colour_by : str
        ``label`` (the emotion), ``predicted``, ``correctness``, ``subject``, ``au_set``, an AU such as ``AU12``,
        ``cue``, or any column of the table.
    predictions : Predictions or None
        Needed for ``predicted`` and ``correctness``; joined by clip_id.
    width, height : int
        In pixels.

    Returns
    -------
    Figure
        One trace a category and map; ``customdata`` holds the clip ids.

    Raises
    ------
    ValueError
        If there is nothing to colour by under that name, or `predictions` share no clip with the embedding.
    """
    table, predicted = joined_table(embedding, predictions)
    colours = colouring(table, colour_by)
    texts = hover_texts(table, predicted=predicted)
    ids = table["clip_id"].to_numpy(dtype=object)
    names = map_names(embedding)
    figure = map_figure(embedding, width=width, height=height, margin=(14, 14, 78, 76))
    kind = go.Scattergl if len(embedding) > MOST_SVG_POINTS else go.Scatter
    for place, branch in enumerate(names, start=1):
        xy = getattr(embedding, f"{branch}_xy")
        for value, (colour, symbol) in colours.styles.items():
            rows = np.flatnonzero(colours.values == value)
            if not rows.size:
                continue
            figure.add_trace(
                kind(
                    x=xy[rows, 0],
                    y=xy[rows, 1],
                    customdata=ids[rows],
                    hovertext=texts[rows],
                    hoverinfo="text",
                    mode="markers",
                    name=f"{html.escape(str(value))} ({rows.size})",
                    legendgroup=str(value),
                    showlegend=place == 1,
                    marker={"color": colour, "symbol": symbol, **marker_look(len(embedding))},
                ),
                row=1,
                col=place,
            )
    title = f"<b>The same {len(embedding)} clips in each map</b> · coloured by {html.escape(colours.title)}"
    subtitle = html.escape(params_line(embedding))
    theme.finish(figure, width=width, height=height, title=title, subtitle=subtitle, margin=(14, 14, 78, 76))
    figure.update_layout(legend={"y": -0.035, "yanchor": "top", "x": 0, "xanchor": "left"})
    figure.add_annotation(
        text=CAUTION,
        showarrow=False,
        xref="paper",
        yref="paper",
        x=1,
        y=1,
        yshift=46,
        xanchor="right",
        font={"size": 11},
    )
    return figure


def joined_table(embedding: Embedding, predictions: Predictions | None) -> tuple[pd.DataFrame, np.ndarray | None]:
    """The embedding's table with ``predicted`` (and ``fold``) joined by clip_id, and the predicted classes alone."""
    table = embedding.table
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
    if predictions.fold is not None:
        folds = dict(zip(predictions.table["clip_id"], predictions.fold, strict=True))
        table = table.assign(fold=[folds.get(name) for name in table["clip_id"]])
    return table, predicted


def marker_look(count: int) -> dict[str, object]:
    """Size and opacity of the points: smaller and lighter the more there are."""
    size = 9 if count <= 150 else 7.5 if count <= 600 else 6 if count <= 2000 else 4.5
    return {"size": size, "opacity": 0.9 if count <= 600 else 0.75, "line": {"width": 0}}


def _span(values: np.ndarray) -> list[float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = 0.07 * (high - low) or 1.0
    return [low - room, high + room]
