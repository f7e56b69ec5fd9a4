"""The detection of single AUs, with the positives that stand behind each figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.view import theme
from medn_lab.view.theme import as_text

PANELS = (("auc", "AUC", 0.5), ("f1", "F1 at probability ½", None))
"""Column, title, and the value of chance where it is the same for all AUs."""


def plot_au_detection(table: pd.DataFrame, *, width: int = 900) -> go.Figure:
    """Draw AUC and F1 of each AU with their intervals, and beside each AU its positives.

    The clips and subjects beside each AU's name are the positives that its figure rests on. An AU that stays out of the
    macro means for want of positives has an open marker; one without a figure says why. The dotted line is chance, for
    the AUC.

    Parameters
    ----------
    table : DataFrame
        ``au, n_positive, n_subjects, auc, auc_low, auc_high, f1, f1_low, f1_high, in_macro, reason``, as
        ``medn.evaluate.au_detection(...)``.
    width : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no AUs, or a column is missing.

    See Also
    --------
    plot_au_scores : the AU scores of one clip.

    Examples
    --------
    >>> row = {"au": "AU12", "n_positive": 30, "n_subjects": 8, "auc": 0.9, "auc_low": 0.8, "auc_high": 0.95}
    >>> table = pd.DataFrame([row | {"f1": 0.8, "f1_low": 0.7, "f1_high": 0.9, "in_macro": True, "reason": ""}])
    >>> figure = plot_au_detection(table)
    >>> figure.layout.title.text
    '<b>AU detection</b>'
    """
    needed = ("au", "n_positive", "n_subjects", "auc", "auc_low", "auc_high", "f1", "f1_low", "f1_high", "in_macro")
    missing = [name for name in needed if name not in table]
    if missing or not len(table):
        raise ValueError(f"the table of AUs {'lacks ' + ', '.join(missing) if missing else 'is empty'}")
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05, subplot_titles=("AUC", "F1"))
    colour = theme.branch_colour("motion")
    names = [f"<b>{as_text(row.au)}</b> · {row.n_positive} clips, {row.n_subjects} subj." for row in table.itertuples()]
    places = np.arange(len(table))
    for column, (key, title, chance) in enumerate(PANELS, start=1):
        there = table[key].notna().to_numpy()
        rows = table[there]
        figure.add_trace(
            go.Scatter(
                x=rows[key],
                y=places[there],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": (rows[f"{key}_high"] - rows[key]).fillna(0),
                    "arrayminus": (rows[key] - rows[f"{key}_low"]).fillna(0),
                    "thickness": 1.6,
                    "width": 4,
                },
                mode="markers",
                meta=key,
                marker={
                    "size": 9,
                    "color": colour,
                    "symbol": ["circle" if inside else "circle-open" for inside in rows["in_macro"]],
                    "line": {"width": 2, "color": colour},
                },
                customdata=np.stack([rows["au"], rows["n_positive"]], axis=1),
                hovertemplate="%{customdata[0]}: " + title + " %{x:.3f}, %{customdata[1]} positives<extra></extra>",
                showlegend=False,
            ),
            row=1,
            col=column,
        )
        if chance is not None:
            figure.add_vline(x=chance, line={"color": theme.INK, "width": 1, "dash": "dot"}, row=1, col=column)
        lowest = np.nanmin([1.0, *rows[key], *rows[f"{key}_low"]])
        start = 0.4 if chance is not None and lowest > 0.45 else 0.0
        figure.update_xaxes(range=[start, 1.02 + 0.02 * start], row=1, col=column)
    for place, row in zip(places, table.itertuples(), strict=True):
        if np.isnan(row.auc):
            figure.add_annotation(
                x=figure.layout.xaxis.range[0] + 0.02, y=place, xanchor="left", showarrow=False, row=1, col=1,
                text=as_text(getattr(row, "reason", "") or "no figure"), font={"size": 12, "color": theme.INK},
            )  # fmt: skip
    out = int((~table["in_macro"].astype(bool) & table["auc"].notna()).sum())
    subtitle = "beside each AU: clips that show it, and of how many subjects they are"
    subtitle += f" · open: too few for the macro mean ({out})" if out else ""
    theme.finish(
        figure,
        width=width,
        height=132 + 24 * len(table),
        title="<b>AU detection</b>",
        subtitle=subtitle,
        margin=(184, 20, 84, 36),
    )
    figure.update_yaxes(range=[len(table) - 0.4, -0.6], tickvals=places, ticktext=names, showgrid=True)
    return figure
