"""The maps of several checkpoints under each other: a checkpoint a row, a branch a column, a clip in its place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import Embedding
from medn_lab.view import theme
from medn_lab.view.colouring import colouring, made_lines, map_title, reading_lines
from medn_lab.view.maps import BETWEEN_ROWS, draw_points, frame_panel, legend_room, put_legend_below
from medn_lab.view.rows import hover_texts
from medn_lab.view.sheets import wrapped
from medn_lab.view.theme import as_text


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
        One trace a category and map; ``customdata`` holds the clip ids.

    Raises
    ------
    ValueError
        If none is given, they are not of the same clips, have no map in common, or cannot be coloured so.

    See Also
    --------
    plot_embedding : one checkpoint.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "label": ["fear", "others"] * 2})
    >>> early, late = (Embedding(*rng.normal(size=(3, 4, 2)), table) for _ in range(2))
    >>> figure = plot_embeddings({"early": early, "late": late})
    >>> figure.layout.title.text
    '<b>The same 4 clips in 2 checkpoints</b> · coloured by emotion'
    """
    names, columns = _shared_maps(embeddings)
    first = embeddings[names[0]]
    table = first.table
    colours = colouring(table, colour_by)
    texts = hover_texts(table)
    width = width or (620, 760, 1000)[min(len(columns), 3) - 1]
    aligned = all(each.params.get("aligned_to") == names[0] for each in embeddings.values())
    comparable = [line for said in _comparable(first, aligned=aligned) for line in wrapped(said, width - 40, 6.3)]
    lines = [*made_lines(first, width=width), *comparable, *reading_lines(first, width=width)]
    top, bottom = 84 + 17 * len(lines), legend_room(colours, width=width)
    side = min(400, 0.93 * (width - 28) / len(columns))
    inner = len(names) * side + BETWEEN_ROWS * (len(names) - 1)
    figure = make_subplots(
        rows=len(names),
        cols=len(columns),
        subplot_titles=[_heading(embeddings[name], name, column) for name in names for column in columns],
        horizontal_spacing=0.024 if len(columns) > 1 else 0,
        vertical_spacing=BETWEEN_ROWS / inner if len(names) > 1 else 0,
    )
    for row, name in enumerate(names, start=1):
        maps = embeddings[name].select(table["clip_id"]).maps
        for column, branch in enumerate(columns, start=1):
            heading = figure.layout.annotations[(row - 1) * len(columns) + column - 1]
            heading.update(x=figure.get_subplot(row, column).xaxis.domain[0], xanchor="left", align="left")
            together = [embeddings[other].maps[branch] for other in names] if aligned else [maps[branch]]
            frame_panel(figure, np.concatenate(together), branch, row=row, column=column)
            named = row == column == 1
            draw_points(figure, maps[branch], table, colours=colours, texts=texts, row=row, column=column, legend=named)
    title = f"<b>The same {len(table)} clips in {len(names)} checkpoints</b> · coloured by {as_text(colours.title)}"
    subtitle = "<br>".join(lines)
    height = round(top + bottom + inner)
    theme.finish(figure, width=width, height=height, title=title, subtitle=subtitle, margin=(14, 14, top, bottom))
    put_legend_below(figure)
    return figure


def _comparable(first: Embedding, *, aligned: bool) -> list[str]:
    """What may be compared between the rows."""
    if not aligned:
        return ["Made one by one: places cannot be compared between rows (aligned_umap makes them so)."]
    how = {
        "aligned_umap": "Made together, one pair of axes a column: a clip in another place has other neighbours.",
        "procrustes": "Each laid over the first row as it fits best: much of what moves is UMAP's own doing.",
    }
    said = how.get(str(first.params.get("method")), "Each laid over the first row as it fits best.")
    return [said, "Shift: median distance of a clip from its place in the first row, in radii of that map."]


def _heading(embedding: Embedding, name: str, branch: str) -> str:
    branch_name, _, figures = map_title(embedding, branch, full=True).partition("<br>")
    return f"{branch_name} · {as_text(name)}<br>{figures}"


def _shared_maps(embeddings: Mapping[str, Embedding]) -> tuple[list[str], list[str]]:
    if not embeddings:
        raise ValueError("no embedding to draw: give at least one by name")
    names = list(embeddings)
    first = embeddings[names[0]]
    ids = set(first.table["clip_id"])
    for name in names[1:]:
        differ = ids ^ set(embeddings[name].table["clip_id"])
        if differ:
            raise ValueError(
                f"{names[0]} and {name} differ in {len(differ)} clips, such as {min(differ)!r}; "
                "map the same clips of every checkpoint"
            )
    columns = [branch for branch in first.maps if all(branch in each.maps for each in embeddings.values())]
    if not columns:
        raise ValueError(f"the embeddings {', '.join(names)} have no map in common")
    return names, columns
