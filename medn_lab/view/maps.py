"""Maps of the branches and of other layers, of one checkpoint or several, and their stability over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import BranchFeatures, Embedding, Predictions, positions
from medn_lab.view import marks, theme
from medn_lab.view.colouring import Colouring, colouring
from medn_lab.view.rows import hover_texts
from medn_lab.view.theme import as_text

CAUTION = "Neighbours mean something here; distances between clusters, and their sizes, do not."
FEW = 15
"""Below this many clips a map is called a map of few clips."""
MOST_SVG_POINTS = 1200
"""More points than this are drawn by WebGL."""

_COLUMNS = 3
_FAINT = 0.1  # opacity of a clip that is not selected
_BETWEEN_ROWS = 50  # pixels: room for a heading
_SMALL = f"<span style='font-size:{marks.SMALLEST}px'>"
_COLOURED = "<b>{}</b> · coloured by {}"
_NOT_LISTED = (
    "n_neighbors_asked", "n_clips", "drawn_from", "quality_neighbors", "quality_chance", "variance", "aligned_to",
    "shift", "reason",
)  # fmt: skip
"""Parameters that have a sentence; the others are listed by name and value."""


def map_names(embedding: Embedding) -> list[str]:
    """Which branches have a map, in the order motion, emotion, fused; maps of other layers are not among them."""
    return [name for name in theme.BRANCHES if name in embedding.maps]


def joined_table(
    embedding: Embedding, predictions: Predictions | None, *, features: BranchFeatures | None = None
) -> pd.DataFrame:
    """The embedding's table with ``predicted``, ``fold`` and ``gate`` joined by clip_id.

    ``attrs["classes"]`` are the classes that the predictions know: a label that is none of them is neither right nor
    wrong.
    """
    table, ids = embedding.table, embedding.table["clip_id"]
    if features is not None and features.gate is not None:
        gates = pd.Series(features.gate.mean(axis=1, dtype=float), index=features.table["clip_id"])
        table = table.assign(gate=ids.map(gates))
    if predictions is None:
        return table
    known = predictions.table["clip_id"]
    if not ids.isin(known).any():
        raise ValueError(
            f"none of the {len(ids)} clips of the embedding is among the {len(known)} predictions; "
            "both must come from the same clips"
        )
    table = table.assign(predicted=ids.map(pd.Series(predictions.predicted, index=known, dtype=object)))
    table.attrs["classes"] = tuple(predictions.classes)
    if predictions.fold is not None:
        table = table.assign(fold=ids.map(pd.Series(predictions.fold, index=known, dtype=object)))
    return table


def marker_look(count: int) -> dict[str, Any]:
    """Size and opacity of the points: smaller and lighter the more there are."""
    size = 9 if count <= 150 else 7.5 if count <= 600 else 6 if count <= 2000 else 4.5
    return {"size": size, "opacity": 0.9 if count <= 600 else 0.75, "line": {"width": 0}}


def plot_embedding(
    embedding: Embedding,
    *,
    colour_by: str = "label",
    predictions: Predictions | None = None,
    features: BranchFeatures | None = None,
    selected: Sequence[str] | pd.Series | None = None,
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
    selected : sequence of str, optional
        Ids of the clips to show at full strength, such as ``explorer.selection["clip_id"]``; the others are faint.
    width, height : int
        In pixels; they follow the number of maps where None.

    Returns
    -------
    Figure
        One trace a category and map; ``customdata`` holds the clip ids, ``meta`` the name of the map.

    Raises
    ------
    ValueError
        If there is nothing to colour by under that name, `predictions` share no clip with the embedding, or a selected
        clip is not on the maps.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "label": ["fear", "others"] * 2})
    >>> embedding = Embedding(*rng.normal(size=(3, 4, 2)), table)
    >>> sorted({trace.name for trace in plot_embedding(embedding).data if trace.name})
    ['fear (2)', 'others (2)']
    """
    table = joined_table(embedding, predictions, features=features)
    panels = [_Panel(_heading(embedding, name), name, xy) for name, xy in embedding.maps.items()]
    lines = [params_line(embedding), *_reading(embedding)]
    if selected is not None:
        rows = np.unique(positions(table, selected, owner="this Embedding"))
        lines.insert(0, f"{len(rows)} of {marks.counted(len(table), 'clip')} selected; the others are faint.")
    figure = _draw(
        panels, table, colours=colouring(table, colour_by), texts=hover_texts(table),
        columns=min(_COLUMNS, len(panels)), title="Feature map" if len(panels) == 1 else "Feature maps",
        lines=lines, width=width, height=height,
    )  # fmt: skip
    if selected is not None:
        ids = table["clip_id"].to_numpy(dtype=object)[rows]
        for trace in figure.data:
            at = np.flatnonzero(np.isin(trace.customdata, ids))
            trace.update(selectedpoints=at, unselected={"marker": {"opacity": _FAINT}})
    return figure


def plot_embeddings(
    embeddings: Mapping[str, Embedding], *, colour_by: str = "label", width: int | None = None
) -> go.Figure:
    """Draw the maps of several checkpoints, a checkpoint a row, on one pair of axes a column.

    Made for the result of ``medn.diagnose.aligned_umap``: there a clip that lies elsewhere in another row has other
    neighbours in that checkpoint. Maps that were made one by one may be drawn too; the figure then says that their
    places cannot be compared.

    Parameters
    ----------
    embeddings : dict of Embedding
        By the checkpoint's name, all of the same clips.
    colour_by : str
        As in :func:`plot_embedding`; the first embedding's table decides.
    width : int or None
        In pixels; it follows the number of columns where None.

    Returns
    -------
    Figure
        One trace a category and map; ``customdata`` holds the clip ids, ``meta`` the name of the map.

    Raises
    ------
    ValueError
        If none is given, they are not of the same clips, have no map in common, or cannot be coloured so.

    See Also
    --------
    plot_embedding : one checkpoint.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "label": ["fear", "others"] * 2})
    >>> early, late = (Embedding(*rng.normal(size=(3, 4, 2)), table) for _ in range(2))
    >>> plot_embeddings({"early": early, "late": late}).layout.title.text
    '<b>Feature maps of 2 checkpoints</b> · coloured by emotion'
    """
    names = _shared_maps(embeddings)
    keys = list(embeddings)
    first = embeddings[keys[0]]
    table = first.table
    aligned = all(each.params.get("aligned_to") == keys[0] for each in embeddings.values())
    panels = []
    for key, each in embeddings.items():
        maps = each.select(table["clip_id"]).maps
        for name in names:
            held = np.concatenate([other.maps[name] for other in embeddings.values()]) if aligned else maps[name]
            panels.append(_Panel(_heading(each, name, of=f" · {as_text(key)}"), name, maps[name], held))
    return _draw(
        panels, table, colours=colouring(table, colour_by), texts=hover_texts(table), columns=len(names),
        title=f"Feature maps of {marks.counted(len(embeddings), 'checkpoint')}", width=width,
        lines=[params_line(first), *_comparable(first, aligned=aligned), *_reading(first)],
    )  # fmt: skip


def plot_map_stability(table: pd.DataFrame, *, width: int = 900, height: int | None = None) -> go.Figure:
    """Draw how far maps of the same features agree whose seeds alone differ, a dot a pair of seeds.

    On the left the share of nearest clips that two maps have in common: right is good, the dashed line is chance. On
    the right what is left between two maps after the best shift, turn and scale: left is good. Where neighbours agree
    and places do not, the map may be read for its neighbourhoods and for nothing else.

    Parameters
    ----------
    table : DataFrame
        ``map, seed_a, seed_b, overlap, chance, disparity, n_neighbors, n_clips``, a row a pair of seeds, as
        ``medn.diagnose.map_stability(...).table``.
    width, height : int
        In pixels; the height follows the number of maps where None.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the table is empty or lacks a column.

    Examples
    --------
    >>> table = pd.DataFrame({"map": "motion", "seed_a": [0], "seed_b": [1], "overlap": [0.8], "chance": [0.1]})
    >>> figure = plot_map_stability(table.assign(disparity=0.2, n_neighbors=15, n_clips=200))
    >>> figure.layout.title.text
    '<b>Stability of the maps over seeds</b>'
    """
    columns = ("map", "seed_a", "seed_b", "overlap", "chance", "disparity", "n_neighbors", "n_clips")
    marks.need(table, columns, maker="diagnose.map_stability")
    names = list(dict.fromkeys(table["map"]))
    colours = [theme.BRANCH_COLOURS.get(name, theme.INK) for name in names]
    titles = {"overlap": "Neighbours in common · 1 is best", "disparity": "Disparity of places · 0 is best"}
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=list(titles.values()), shared_yaxes=True, horizontal_spacing=0.05
    )
    place = table["map"].map(names.index)
    for column, measure in enumerate(titles, start=1):
        figure.add_trace(
            go.Scatter(
                x=table[measure], y=place, customdata=table[["seed_a", "seed_b"]], mode="markers", showlegend=False,
                marker={"size": 9, "opacity": 0.45, "color": [colours[one] for one in place]}, meta=f"{measure} a pair",
                hovertemplate="seeds %{customdata[0]} and %{customdata[1]}: %{x:.3f}<extra></extra>",
            ),
            row=1, col=column,
        )  # fmt: skip
        means = table.groupby("map", sort=False)[measure].mean()
        marks.forest(
            figure, pd.DataFrame({"value": means}), labels=[as_text(name) for name in names], name=f"mean {measure}",
            colour=colours, texts=[f"{mean:.2f}" for mean in means], legend=False, row=1, col=column,
        )  # fmt: skip
    first = table.iloc[0]
    marks.level(figure, float(first["chance"]), text=f"chance {first['chance']:.2f}", row=1, col=1)
    n_seeds = len({*table["seed_a"], *table["seed_b"]})
    theme.finish(
        figure, width=width, height=height or 172 + 62 * len(names), title="<b>Stability of the maps over seeds</b>",
        subtitle=f"{first['n_clips']} clips · {n_seeds} seeds, a dot a pair · {first['n_neighbors']} neighbours",
        margin=(marks.room_for(map(as_text, names)), 24, 112, 48),
    )  # fmt: skip
    figure.update_xaxes(range=[-0.03, 1.03], tickformat=".1f")
    figure.update_xaxes(title_text="share of nearest clips in common", row=1, col=1)
    figure.update_xaxes(title_text="share of the spread left", row=1, col=2)
    figure.update_annotations(yshift=16, selector=lambda note: note.text in titles.values())
    return figure


def params_line(embedding: Embedding) -> str:
    """How the maps were made, as one line: method, parameters, seed, and where the clips were too few for them."""
    names = {"n_neighbors": "neighbours", "min_dist": "min. distance"}
    params = dict(embedding.params)
    made_of = params.get("n_clips", len(embedding))
    method = str(params.pop("method", "map")).replace("_", " ").upper()
    parts = []
    for name, value in params.items():
        if name not in _NOT_LISTED:
            parts.append(f"{names.get(name, name.replace('_', ' '))} {value}")
        if name == "n_neighbors" and "n_neighbors_asked" in params:
            few = f": {made_of} clips are few for a map" if made_of < FEW else ""
            parts[-1] += f" (lowered from {params['n_neighbors_asked']}{few})"
    clips = f"{made_of} clips" if made_of == len(embedding) else f"{len(embedding)} of {made_of} clips"
    if "drawn_from" in params:
        clips += f" drawn from {params['drawn_from']}"
    aligned = f" · aligned to {params['aligned_to']}" if "aligned_to" in params else ""
    return f"{method} · {', '.join(parts) or 'parameters not recorded'} · {clips}{aligned}"


@dataclass(frozen=True)
class _Panel:
    """One map: its heading, the branch or layer, the places (n, 2), and the places that the axes must hold."""

    heading: str
    name: str
    xy: np.ndarray
    held: np.ndarray | None = None


def _draw(
    panels: Sequence[_Panel],
    table: pd.DataFrame,
    *,
    colours: Colouring,
    texts: np.ndarray,
    columns: int,
    title: str,
    lines: Sequence[str],
    width: int | None,
    height: int | None = None,
) -> go.Figure:
    """The maps in rows of `columns`, with the lines below the title and one legend below the maps."""
    rows = -(-len(panels) // columns)
    width = width or (620, 760, 1000)[min(columns, 3) - 1]
    wrapped = [line for text in lines for line in marks.wrapped(text, width=width - 40, letter=6.3)]
    top, bottom = 84 + 17 * len(wrapped), _legend_room(colours, width=width)
    side = min(400, 0.93 * (width - 28) / columns)
    height = height or round(top + bottom + rows * side + _BETWEEN_ROWS * (rows - 1))
    inner = height - top - bottom
    figure = make_subplots(
        rows=rows, cols=columns, subplot_titles=[one.heading for one in panels],
        horizontal_spacing=0.024 if columns > 1 else 0, vertical_spacing=_BETWEEN_ROWS / inner if rows > 1 else 0,
    )  # fmt: skip
    title = _COLOURED.format(title, as_text(colours.title))
    theme.finish(
        figure, width=width, height=height, title=title, subtitle="<br>".join(wrapped), margin=(14, 14, top, bottom)
    )
    for place, (one, note) in enumerate(zip(panels, figure.layout.annotations, strict=True)):
        where = {"row": place // columns + 1, "col": place % columns + 1}
        note.update(x=figure.get_subplot(*where.values()).xaxis.domain[0], xanchor="left", align="left")
        held = one.xy if one.held is None else one.held
        frame = {
            "showline": True, "mirror": True, "linewidth": 1.5, "linecolor": _map_colour(one.name), "zeroline": False,
            "showticklabels": False, "ticks": "",
        }  # fmt: skip
        figure.update_xaxes(**frame, range=_span(held[:, 0]), **where)
        figure.update_yaxes(**frame, range=_span(held[:, 1]), **where)
        for trace in _points(one, table, colours=colours, texts=texts, legend=place == 0):
            figure.add_trace(trace, **where)
    for place in range(len(panels), rows * columns):
        figure.update_xaxes(visible=False, row=place // columns + 1, col=place % columns + 1)
        figure.update_yaxes(visible=False, row=place // columns + 1, col=place % columns + 1)
    return figure.update_layout(legend={"y": -12 / inner, "yanchor": "top", "x": 0, "xanchor": "left"})


def _points(
    panel: _Panel, table: pd.DataFrame, *, colours: Colouring, texts: np.ndarray, legend: bool
) -> list[go.Scatter | go.Scattergl]:
    """The clips of one map, a trace a category."""
    ids, texts = table["clip_id"].to_numpy(dtype=object), colours.named(texts)
    kind = go.Scattergl if len(table) > MOST_SVG_POINTS else go.Scatter
    rows = {value: np.flatnonzero(colours.values == value) for value in colours.styles}
    return [
        kind(
            x=panel.xy[own, 0], y=panel.xy[own, 1], customdata=ids[own], hovertext=texts[own], hoverinfo="text",
            mode="markers", name=f"{as_text(value)} ({own.size})", legendgroup=str(value), showlegend=legend,
            marker={"color": colours.styles[value][0], "symbol": colours.styles[value][1], **marker_look(len(table))},
            meta=panel.name,
        )
        for value, own in rows.items() if own.size
    ]  # fmt: skip


def _legend_room(colours: Colouring, *, width: int) -> int:
    """The pixels that a legend of all categories takes below the maps."""
    longest = max((len(str(name)) for name in colours.styles), default=0)
    a_row = max(1, int((width - 28) // (56 + 7 * (longest + 5))))
    return 26 + 29 * -(-len(colours.styles) // a_row)


def _heading(embedding: Embedding, name: str, *, of: str = "") -> str:
    """The name of one map in the branch's colour, and what was measured of it, as two lines."""
    branch = f"{name} branch" if name in ("motion", "emotion") else name
    heading = f"<b style='color:{_map_colour(name)}'>{as_text(branch)}</b>"
    if np.isnan(embedding.trustworthiness.get(name, 0.0)):
        return f"{heading}{of}<br>{_SMALL}constant</span>"
    figures = [
        f"{what} {getattr(embedding, what)[name]:.3f}" if name in getattr(embedding, what) else f"{what} not measured"
        for what in ("trustworthiness", "continuity")
    ]
    if embedding.params.get("shift", {}).get(name):
        figures.append(f"shift {embedding.params['shift'][name]:.2f}")
    if name in embedding.params.get("variance", {}):  # next to the name: the line below has no room left
        heading += f"  {_SMALL}{embedding.params['variance'][name]:.0%} of the variance</span>"
    return f"{heading}{of}<br>{_SMALL}{' · '.join(figures)}</span>"


def _map_colour(name: str) -> str:
    return theme.BRANCH_COLOURS.get(name, theme.INK)


def _reading(embedding: Embedding) -> list[str]:
    """How to read the figures above the maps, and what not to read from the maps."""
    params = embedding.params
    if "quality_neighbors" not in params:
        return [CAUTION]
    quality = f"Quality over {params['quality_neighbors']} neighbours: 1 is best, a random map has"
    return [f"{quality} {params['quality_chance']:.2f}. {CAUTION}"]


def _comparable(first: Embedding, *, aligned: bool) -> list[str]:
    """What may be compared between the rows."""
    if not aligned:
        return ["Made one by one: places cannot be compared between rows (aligned_umap makes them so)."]
    how = {
        "aligned_umap": "Made together, one pair of axes a column: a clip in another place has other neighbours.",
        "procrustes": "Each laid over the first row as it fits best: UMAP itself moves many of the clips that move.",
    }
    said = how.get(str(first.params.get("method")), "Each laid over the first row as it fits best.")
    return [said, "Shift: median distance of a clip from its place in the first row, in radii of that map."]


def _shared_maps(embeddings: Mapping[str, Embedding]) -> list[str]:
    """The maps that all embeddings have; ValueError where they are not of the same clips."""
    if not embeddings:
        raise ValueError("no embedding to draw: give at least one by name")
    first, *others = embeddings
    ids = set(embeddings[first].table["clip_id"])
    for name in others:
        if differ := ids ^ set(embeddings[name].table["clip_id"]):
            raise ValueError(
                f"{first} and {name} differ in {len(differ)} clips, such as {min(differ)!r}; "
                "map the same clips of every checkpoint"
            )
    shared = [name for name in embeddings[first].maps if all(name in each.maps for each in embeddings.values())]
    if not shared:
        raise ValueError(f"the embeddings {', '.join(embeddings)} have no map in common")
    return shared


def _span(values: np.ndarray) -> list[float]:
    if not np.isfinite(values).any():
        return [-1.0, 1.0]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = 0.07 * (high - low) or 1.0
    return [low - room, high + room]
