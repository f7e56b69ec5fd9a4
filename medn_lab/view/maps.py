"""Maps of the branches and of other layers, of one checkpoint or several, and their stability over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import BranchFeatures, Embedding, Predictions, positions
from medn_lab.view import marks, theme
from medn_lab.view.rows import colouring, hover_texts
from medn_lab.view.theme import as_text

CAUTION = "A map in two dimensions cannot keep all distances: test on the features what you see here."
MOST_SVG_POINTS = 1200  # more points than this are drawn by WebGL

_COLUMNS = 3
_BETWEEN_ROWS = 50  # pixels: room for a heading
# Parameters that the line on a map names; more neighbours were asked for where they are too many for the clips.
_NAMED = {
    "n_neighbors": "neighbours", "n_neighbors_asked": "too few clips for", "min_dist": "min. distance",
    "metric": "metric", "seed": "seed",
}  # fmt: skip


def map_names(embedding: Embedding) -> list[str]:
    """Which branches have a map, in the order motion, emotion, fused; maps of other layers are not among them."""
    return [name for name in theme.BRANCH_COLOURS if name in embedding.maps]


def joined_table(
    embedding: Embedding, predictions: Predictions | None, *, features: BranchFeatures | None = None
) -> pd.DataFrame:
    """The embedding's table with ``predicted``, ``fold`` and ``gate`` joined by clip_id.

    ``attrs["classes"]`` are the classes that the predictions know: a label that is none of them is neither right nor
    wrong.
    """
    ids, columns = embedding.table["clip_id"], {}
    if features is not None and features.gate is not None:
        columns["gate"] = pd.Series(features.gate.mean(axis=1, dtype=float), index=features.table["clip_id"])
    if predictions is not None:
        known = predictions.table["clip_id"]
        if not ids.isin(known).any():
            found = f"none of the {len(ids)} clips of the embedding is among the {len(known)} predictions"
            raise ValueError(f"{found}; both must come from the same clips")
        columns["predicted"] = pd.Series(predictions.predicted, index=known, dtype=object)
        if predictions.fold is not None:
            columns["fold"] = pd.Series(predictions.fold, index=known, dtype=object)
    table = embedding.table.assign(**{name: ids.map(values) for name, values in columns.items()})
    if predictions is not None:
        table.attrs["classes"] = tuple(predictions.classes)
    return table


def marker_look(count: int) -> dict[str, Any]:
    """Size and opacity of the points: smaller and lighter the more there are."""
    size = 9 if count <= 150 else 7.5 if count <= 600 else 6 if count <= 2000 else 4.5
    return {"size": size, "opacity": 0.9 if count <= 600 else 0.75, "line": {"width": 0}}


def plot_embedding(
    embedding: Embedding, *, colour_by: str = "label", predictions: Predictions | None = None,
    features: BranchFeatures | None = None, selected: Sequence[str] | pd.Series | None = None, width: int | None = None,
) -> go.Figure:  # fmt: skip
    """Draw the maps of the branches side by side, and those of other layers below them.

    Each map has its own axes without unit. Two dimensions cannot keep all distances: on a map made by UMAP, distances
    between clusters are not evidence. The numbers above each map show how well it keeps neighbours: trustworthiness
    falls with each neighbour on the map that is none in the features, continuity with each lost one.

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
    width : int or None
        In pixels; it follows the number of maps where None.

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
    names, lines, chosen = list(embedding.maps), [], table["clip_id"]
    if selected is not None:
        chosen = chosen.iloc[np.unique(positions(table, selected, owner="this Embedding"))]
        lines = [f"{len(chosen)} of {marks.counted(len(table), 'clip')} selected; the others are faint."]
    figure = _draw(
        {"": embedding}, table, names=names, columns=min(_COLUMNS, len(names)), colour_by=colour_by, lines=lines,
        width=width, title="Feature map" + "s" * (len(names) > 1),
    )  # fmt: skip
    for trace in figure.data if selected is not None else ():
        trace.update(selectedpoints=np.flatnonzero(np.isin(trace.customdata, chosen)), unselected_marker_opacity=0.1)
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
        If they are not of the same clips, have no map in common, or cannot be coloured so.

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
    if not embeddings:
        raise ValueError("there is no embedding to draw; give at least one by name")
    keys, first = list(embeddings), next(iter(embeddings.values()))
    for name, each in embeddings.items():
        if differ := {*first.table["clip_id"]} ^ {*each.table["clip_id"]}:
            raise ValueError(f"{name} and the first differ in {len(differ)} clips; map the same clips of each")
    names = [name for name in first.maps if all(name in each.maps for each in embeddings.values())]
    if not names:
        raise ValueError(f"the embeddings {', '.join(keys)} have no map in common")
    aligned = all(each.params.get("aligned_to") == keys[0] for each in embeddings.values())
    lines = ["Computed separately: places cannot be compared between rows (aligned_umap makes them comparable)."]
    if aligned:
        lines = ["Shift: median distance of a clip from its place in the first row, in radii of that map."]
        if first.params.get("method") == "umap":
            lines.append("Each map is aligned to the first row. UMAP itself causes many of the shifts.")
    same = {key: each.select(first.table["clip_id"]) for key, each in embeddings.items()}
    return _draw(
        same, first.table, names=names, columns=len(names), colour_by=colour_by, lines=lines, width=width,
        title=f"Feature maps of {marks.counted(len(embeddings), 'checkpoint')}", common_axes=aligned,
    )  # fmt: skip


def plot_map_stability(table: pd.DataFrame, *, width: int = 900) -> go.Figure:
    """Draw how far maps of the same features agree whose seeds alone differ: the mean of all pairs, lowest to highest.

    First panel: the share of nearest clips that two maps have in common; 1 is best, the dashed line is chance. Second
    panel: the share of the spread in which two maps differ after the best shift, turn and scale; 0 is best. Where
    neighbours agree and places do not, read the map for its neighbourhoods and for nothing else.

    Parameters
    ----------
    table : DataFrame
        ``map, seed_a, seed_b, overlap, chance, disparity, n_neighbors, n_clips``, a row a pair of seeds, as
        ``medn.diagnose.map_stability(...).table``.
    width : int
        In pixels.

    Returns
    -------
    Figure

    Examples
    --------
    >>> table = pd.DataFrame({"map": "motion", "seed_a": [0], "seed_b": [1], "overlap": [0.8], "chance": [0.1]})
    >>> figure = plot_map_stability(table.assign(disparity=0.2, n_neighbors=15, n_clips=200))
    >>> figure.layout.title.text
    '<b>Stability of the maps over seeds</b>'
    """
    columns = ("map", "seed_a", "seed_b", "overlap", "chance", "disparity", "n_neighbors", "n_clips")
    marks.need(table, columns, maker="diagnose.map_stability(...).table")
    names = list(table["map"].unique())
    labels, colours = [as_text(name) for name in names], [theme.BRANCH_COLOURS.get(name, theme.INK) for name in names]
    titles = "Neighbours in common · 1 is best", "Disparity of places · 0 is best"
    figure = marks.side_by_side(*titles, gap=0.05, shared_yaxes=True)
    for column, measure in enumerate(("overlap", "disparity"), start=1):
        means = table.groupby("map", sort=False)[measure].agg(value="mean", low="min", high="max")
        look: dict[str, Any] = {"texts": [f"{mean:.2f}" for mean in means["value"]], "colour": colours, "legend": False}
        marks.forest(figure, means, labels=labels, name=f"mean {measure}", **look, row=1, col=column)
    first = table.iloc[0]
    marks.level(figure, float(first["chance"]), row=1, col=1)
    figure.update_xaxes(range=[-0.03, 1.03], tickformat=".1f", title_text="share of nearest clips in common")
    figure.update_xaxes(title_text="share of the spread that differs", row=1, col=2)
    n_seeds, title = len({*table["seed_a"], *table["seed_b"]}), "<b>Stability of the maps over seeds</b>"
    facts = [marks.counted(first["n_clips"], "clip"), marks.counted(n_seeds, "seed"), "line: lowest to highest pair"]
    facts += [f"dashed: chance {first['chance']:.2f}", f"{first['n_neighbors']} neighbours"]
    return theme.finish(figure, width=width, body=62 * len(names), title=title, subtitle=" · ".join(facts))


def params_line(embedding: Embedding) -> str:
    """How the maps were made, as one line: method, parameters, seed, and where the clips were too few for them."""
    params, made_of = embedding.params, embedding.params.get("n_clips", len(embedding))
    listing = ", ".join(f"{title} {params[name]}" for name, title in _NAMED.items() if name in params)
    clips = f"{len(embedding)} of " * (made_of != len(embedding)) + marks.counted(made_of, "clip")
    clips += f" sampled from {params['drawn_from']}" if "drawn_from" in params else ""
    clips += f" · aligned to {params['aligned_to']}" if "aligned_to" in params else ""
    method = str(params.get("method", "map")).replace("_", " ").replace("umap", "UMAP").replace("pca", "PCA")
    return f"{method[:1].upper()}{method[1:]} · {listing or 'parameters not recorded'} · {clips}"


def _draw(
    embeddings: Mapping[str, Embedding], table: pd.DataFrame, *, names: Sequence[str], columns: int, colour_by: str,
    lines: list[str], title: str, width: int | None, common_axes: bool = False,
) -> go.Figure:  # fmt: skip
    """The maps of these names, one embedding after another, with the lines below the title and one legend below."""
    first, reading = next(iter(embeddings.values())), CAUTION
    if "quality_neighbors" in first.params:
        of, chance = first.params["quality_neighbors"], first.params["quality_chance"]
        reading = f"Quality over {of} neighbours: 1 is best, a random map has {chance:.2f}. {CAUTION}"
    panels = [(key, each, name) for key, each in embeddings.items() for name in names]
    colours, rows = colouring(table, colour_by), -(-len(panels) // columns)
    texts, ids = colours.named(hover_texts(table)), table["clip_id"].to_numpy(dtype=object)
    width = width or (620, 760, 1000)[min(columns, 3) - 1]
    lines = [*lines, params_line(first), reading]
    inner = rows * min(400, 0.93 * (width - 28) / columns) + _BETWEEN_ROWS * (rows - 1)
    figure = make_subplots(
        rows=rows, cols=columns, subplot_titles=[_heading(each, name, of=key) for key, each, name in panels],
        horizontal_spacing=0.024 if columns > 1 else 0, vertical_spacing=_BETWEEN_ROWS / inner if rows > 1 else 0,
    )  # fmt: skip
    kind = go.Scattergl if len(table) > MOST_SVG_POINTS else go.Scatter
    for place, ((_, each, name), note) in enumerate(zip(panels, figure.layout.annotations, strict=True)):
        where: dict[str, Any] = {"row": place // columns + 1, "col": place % columns + 1}
        xy, plot, top_plot = each.maps[name], figure.get_subplot(**where), figure.get_subplot(1, where["col"])
        note.update(x=plot.xaxis.domain[0], xanchor="left", align="left")
        frame = where | {"showline": True, "mirror": True, "linewidth": 1.5, "showticklabels": False, "zeroline": False}
        frame["linecolor"] = theme.BRANCH_COLOURS.get(name, theme.INK)
        figure.update_xaxes(**frame).update_yaxes(**frame)
        if common_axes and place >= columns:
            plot.xaxis.matches, plot.yaxis.matches = top_plot.yaxis.anchor, top_plot.xaxis.anchor
        for value, (colour, symbol) in colours.styles.items():
            own = np.flatnonzero(colours.values == value)
            trace = kind(
                x=xy[own, 0], y=xy[own, 1], customdata=ids[own], hovertext=texts[own], hoverinfo="text",
                mode="markers", name=f"{as_text(value)} ({own.size})", legendgroup=str(value), showlegend=place == 0,
                marker={"color": colour, "symbol": symbol, **marker_look(len(table))}, meta=name,
            )  # fmt: skip
            figure.add_traces([trace] if own.size else [], rows=[where["row"]], cols=[where["col"]])
    figure.update_layout(legend_itemsizing="constant")  # many clips have small points
    return theme.finish(
        figure, width=width, body=inner, subtitle="<br>".join(map(as_text, lines)),
        title=f"<b>{title}</b> · coloured by {as_text(colours.title)}", l=14, r=14,
    )  # fmt: skip


def _heading(embedding: Embedding, name: str, *, of: str) -> str:
    """The name of one map in the branch's colour, and what was measured of it, as two lines."""
    branch, params = name + " branch" * (name in ("motion", "emotion")), embedding.params
    heading = f"<b style='color:{theme.BRANCH_COLOURS.get(name, theme.INK)}'>{as_text(branch)}</b>"
    heading += f" · {as_text(of)}" if of else ""
    if np.isnan(embedding.trustworthiness.get(name, 0.0)):
        return f"{heading}<br>{marks.small('constant')}"
    measured = {"trustworthiness": embedding.trustworthiness, "continuity": embedding.continuity}
    figures = [f"{what} {own[name]:.3f}" if name in own else f"{what} not measured" for what, own in measured.items()]
    if shift := params.get("shift", {}).get(name):
        figures.append(f"shift {shift:.2f}")
    if share := params.get("variance", {}).get(name):  # next to the name: the line below is full
        heading += f"  {marks.small(f'{share:.0%} of the variance')}"
    return f"{heading}<br>{marks.small(' · '.join(figures))}"
