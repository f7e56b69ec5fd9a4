"""How far each branch keeps confusable pairs apart, beside what AUs alone would do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.view import theme
from medn_lab.view.sheets import check_columns, nothing_here, rule_lines
from medn_lab.view.theme import as_text

_SEPARATED_BY = {"motion": "motion branch", "emotion": "emotion branch", "fused": "fused"}


def plot_pair_separation(table: pd.DataFrame, *, width: int = 820, height: int | None = None) -> go.Figure:
    """Draw how far each branch keeps confusable pairs apart, with the interval, against a branch that knows AUs alone.

    Parameters
    ----------
    table : DataFrame
        ``branch, value, low, high, direction, n_pairs, n_controls, n_clips, n_subjects``, a row a branch:
        ``medn.diagnose.pair_separation(...)``.
    width, height : int
        In pixels; the height follows the number of branches where None.

    Returns
    -------
    Figure
        One trace. Without a figure to show it says why.

    Raises
    ------
    ValueError
        If a column is missing.

    Examples
    --------
    >>> row = {"branch": "emotion", "value": 0.9, "low": 0.8, "high": 0.95, "n_pairs": 40, "n_controls": 30}
    >>> figure = plot_pair_separation(pd.DataFrame([row | {"direction": "higher", "n_clips": 60, "n_subjects": 8}]))
    >>> figure.layout.title.text
    '<b>Are confusable pairs kept apart?</b>'
    """
    needed = ("branch", "value", "low", "high", "direction", "n_pairs", "n_controls", "n_clips", "n_subjects")
    check_columns(table, needed, "pair_separation")
    title = "<b>Are confusable pairs kept apart?</b>"
    if table.empty:
        return nothing_here(table, title=title, width=width)
    names = [
        f"{as_text(_SEPARATED_BY.get(row.branch, row.branch))}<br>"
        f"<span style='font-size:11px'>{as_text(row.direction)}</span>"
        for row in table.itertuples()
    ]
    colours = [theme.BRANCH_COLOURS.get(name, theme.INK) for name in table["branch"]]
    figure = go.Figure()
    for name, colour, row in zip(names, colours, table.itertuples(), strict=True):
        bounded = np.isfinite([row.low, row.high]).all()
        figure.add_trace(
            go.Scatter(
                x=[row.value],
                y=[name],
                error_x={
                    "type": "data", "symmetric": False, "array": [row.high - row.value if bounded else 0],
                    "arrayminus": [row.value - row.low if bounded else 0], "color": colour, "thickness": 2, "width": 6,
                },
                mode="markers+text",
                text=[f"{row.value:.3f}" if np.isfinite(row.value) else ""],
                textposition="top right" if abs(row.value - 0.5) < 0.04 else "top center",
                textfont={"color": colour},
                marker={"size": 11, "color": colour},
                name=row.branch,
                hovertemplate=f"{row.branch}: %{{x:.3f}} [{row.low:.3f}, {row.high:.3f}]<extra></extra>",
                cliponaxis=False,
                showlegend=False,
            )
        )  # fmt: skip
    first = table.iloc[0]
    level = f" · {table.attrs['level']:.0%} interval over subjects" if "level" in table.attrs else ""
    said = (
        f"{first['n_pairs']} pairs against {first['n_controls']} of the same AU set and one emotion ·"
        f" {first['n_clips']} clips · {first['n_subjects']} subjects{level}"
    )
    subtitle = "<br>".join([said, *rule_lines(table, width)])
    top = 66 + 17 * subtitle.count("<br>")
    theme.finish(
        figure, width=width, height=height or top + 62 + 62 * len(table), title=title, subtitle=subtitle,
        margin=(200, 28, top, 54),
    )  # fmt: skip
    figure.add_vline(x=0.5, line={"color": theme.INK, "width": 1.5, "dash": "dash"})
    lowest = float(np.nanmin([0.5, *table["low"], *table["value"]]))
    figure.update_xaxes(
        range=[max(0.0, lowest - 0.1), 1.02], title_text="share of controls that lie nearer together (.5: AUs alone)"
    )
    figure.update_yaxes(range=[len(table) - 0.4, -0.6], showgrid=False, type="category")
    return figure
