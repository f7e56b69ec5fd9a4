"""How far maps agree over seeds: neighbours kept, and what is left after the best superposition."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.view import theme
from medn_lab.view.theme import as_text

_COLUMNS = ("map", "seed_a", "seed_b", "overlap", "chance", "disparity", "n_neighbors", "n_clips")


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
    '<b>How far the maps agree over seeds</b>'
    """
    missing = [name for name in _COLUMNS if name not in table]
    if missing or table.empty:
        raise ValueError(f"the table of stability {'lacks ' + ', '.join(missing) if missing else 'is empty'}")
    names = list(dict.fromkeys(table["map"]))
    figure = make_subplots(
        rows=1,
        cols=2,
        subplot_titles=("Neighbours in common · 1 is best", "Disparity of places · 0 is best"),
        shared_yaxes=True,
        horizontal_spacing=0.05,
    )
    for name in names:
        rows = table[table["map"] == name]
        colour = theme.BRANCH_COLOURS.get(name, theme.INK)
        pairs = np.stack([rows["seed_a"], rows["seed_b"]], axis=1)
        for column, measure in enumerate(("overlap", "disparity"), start=1):
            dots = go.Scatter(
                x=rows[measure],
                y=[_tick(name)] * len(rows),
                customdata=pairs,
                mode="markers",
                marker={"size": 9, "color": colour, "opacity": 0.55},
                hovertemplate="seeds %{customdata[0]} and %{customdata[1]}: %{x:.3f}<extra></extra>",
                showlegend=False,
                name=f"{name} {measure}",
            )
            mean = go.Scatter(
                x=[rows[measure].mean()],
                y=[_tick(name)],
                mode="markers+text",
                text=[f"{rows[measure].mean():.2f}"],
                textposition="top center",
                textfont={"color": colour},
                marker={"symbol": "line-ns", "size": 22, "line": {"width": 3, "color": colour}},
                hovertemplate="mean %{x:.3f}<extra></extra>",
                cliponaxis=False,
                showlegend=False,
                name=f"{name} mean {measure}",
            )
            figure.add_traces([dots, mean], rows=[1, 1], cols=[column, column])
    first = table.iloc[0]
    chance = float(first["chance"])
    figure.add_vline(x=chance, line={"color": theme.INK, "width": 1.5, "dash": "dash"}, row=1, col=1)
    figure.add_annotation(
        x=chance, y=1, xref="x", yref="y domain", text=f"chance {chance:.2f}", showarrow=False, xanchor="left",
        yanchor="top", xshift=4, font={"size": 11},
    )  # fmt: skip
    n_seeds = len(set(table["seed_a"]) | set(table["seed_b"]))
    longest = max(len(_tick(name)) for name in names)
    theme.finish(
        figure,
        width=width,
        height=height or 156 + 58 * len(names),
        title="<b>How far the maps agree over seeds</b>",
        subtitle=f"{first['n_clips']} clips · {n_seeds} seeds, a dot a pair · {first['n_neighbors']} neighbours",
        margin=(30 + 7 * longest, 24, 96, 48),
    )
    figure.update_xaxes(range=[-0.03, 1.03], tickformat=".1f")
    figure.update_xaxes(title_text="share of nearest clips in common", row=1, col=1)
    figure.update_xaxes(title_text="share of the spread left", row=1, col=2)
    figure.update_yaxes(range=[len(names) - 0.4, -0.6], showgrid=False, type="category")
    return figure


def _tick(name: object) -> str:
    return as_text(name)
