"""Scores of several variants with their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.view import theme
from medn_lab.view.theme import as_text

_COLOURS = {
    "motion only": theme.BRANCH_COLOURS["motion"],
    "emotion only": theme.BRANCH_COLOURS["emotion"],
    "none": "#8E8E8E",
    "orthogonal": "#2F7FD0",
    "bottleneck": "#7D55CC",
}
_LIMITS = {"au_only": "AUs alone", "cue_only": "cue alone", "joint": "both"}


def plot_variants(
    table: pd.DataFrame,
    *,
    measure: str = "accuracy",
    by: str = "variant",
    ceilings: dict[str, float] | None = None,
    width: int = 960,
    height: int | None = None,
) -> go.Figure:
    """Draw a measure of each variant with its interval.

    Parameters
    ----------
    table : DataFrame
        One row a variant, or a variant and value of `by`, from top to bottom: ``variant``, the column `measure`, and
        its ``_low`` and ``_high``, NaN where there is no interval.
    measure : str
        The column to draw, in [0, 1]; the axis ends there, even where an interval does not.
    by : str
        The column whose values are the lines of the figure. With another column than ``variant``, each variant has its
        colour and an entry in the legend.
    ceilings : dict of str to float, optional
        Values drawn as dotted lines, such as ``au_only, cue_only, joint``.
    width : int
        In pixels.
    height : int, optional
        In pixels; by default it grows with the number of rows.

    Returns
    -------
    Figure
        One trace a variant; a single trace where the variants are the lines.

    Raises
    ------
    ValueError
        If a column is missing or there are no rows.

    Examples
    --------
    >>> table = pd.DataFrame({"variant": ["none", "bottleneck"], "accuracy": [0.968, 0.962]})
    >>> table = table.assign(accuracy_low=0.95, accuracy_high=0.98)
    >>> figure = plot_variants(table, ceilings={"au_only": 0.42, "joint": 1.0})
    >>> list(figure.layout.yaxis.ticktext)
    ['none', 'bottleneck']
    """
    columns = [measure, f"{measure}_low", f"{measure}_high"]
    missing = [name for name in ("variant", by, *columns) if name not in table]
    if missing:
        raise ValueError(f"the table has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
    if not len(table):
        raise ValueError("there is nothing to draw: the table has no rows")
    lines = list(dict.fromkeys(table[by]))
    groups = [("", table)] if by == "variant" else list(table.groupby("variant", sort=False))
    figure = go.Figure()
    for place, (variant, rows) in enumerate(groups):
        values, low, high = rows[columns].to_numpy(dtype=float).T
        colour = _COLOURS.get(str(variant), theme.category_style(place)[0])
        figure.add_trace(
            go.Scatter(
                x=values,
                y=rows[by].map(lines.index) + 0.7 * ((place + 0.5) / len(groups) - 0.5),
                error_x={"array": high - values, "arrayminus": values - low, "thickness": 1.6, "width": 4},
                mode="markers",
                marker={"size": 9, "color": colour},
                name=as_text(variant),
                showlegend=len(groups) > 1,
                customdata=np.stack([low, high], axis=1),
                text=[as_text(f"{row.variant}, {getattr(row, by)}") for row in rows.itertuples()],
                hovertemplate="%{text}: %{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<extra></extra>",
            )
        )
    for name, value in (ceilings or {}).items():
        figure.add_vline(x=value, line={"dash": "dot", "color": theme.INK, "width": 1.4})
        figure.add_annotation(
            x=value, y=1.0, yref="paper", yanchor="bottom", showarrow=False, font_size=11,
            text=as_text(f"{_LIMITS.get(name, name)} {value:.2f}"),
        )  # fmt: skip
    said = as_text(measure.replace("_", " "))
    theme.finish(
        figure,
        width=width,
        height=height or 150 + 14 * len(table) + 14 * len(lines),
        title=f"<b>{said[:1].upper()}{said[1:]}</b> on unseen persons, mean and 95 % interval over seeds",
        margin=(200, 30, 72, 84 if len(groups) > 1 else 48),
    )
    shown = np.append(table[columns].to_numpy(dtype=float), list((ceilings or {}).values()))
    figure.update_xaxes(title_text=said, range=[max(np.nanmin(shown), 0.0) - 0.02, min(np.nanmax(shown), 1.0) + 0.02])
    names = [as_text(str(line)) for line in lines]
    figure.update_yaxes(tickvals=list(range(len(lines))), ticktext=names, range=[len(lines) - 0.5, -0.5])
    figure.update_layout(legend={"y": -46 / (figure.layout.height - 156), "yanchor": "top"})
    return figure
