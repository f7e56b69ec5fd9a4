"""The confusion matrix as a picture: counts and shares, rows are the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.view import theme
from medn_lab.view.theme import as_text


def plot_confusion_matrix(
    matrix: pd.DataFrame, *, title: str = "Confusion matrix", width: int | None = None
) -> go.Figure:
    """Draw a confusion matrix: how the clips of each true class were called.

    Each cell holds the count and its share of the row; the diagonal of shares is the recall of each class. Shares hide
    small rows, so the number of clips stands beside each true class.

    Parameters
    ----------
    matrix : DataFrame
        Counts, index the true classes and columns the predicted ones, as ``medn.evaluate.confusion_matrix`` returns.
    title : str
    width : int or None
        In pixels; chosen by the number of classes where None.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the matrix is empty, or holds negative or missing counts.

    Examples
    --------
    >>> matrix = pd.DataFrame([[8, 2], [1, 9]], index=["fear", "others"], columns=["fear", "others"])
    >>> plot_confusion_matrix(matrix).data[0].type
    'heatmap'
    """
    if matrix.empty:
        raise ValueError("the confusion matrix is empty: it has no classes")
    counts = matrix.to_numpy(dtype=float)
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError("a confusion matrix holds counts of clips; this one has negative or missing values")
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    truth = [as_text(name) for name in matrix.index]
    called = [as_text(name) for name in matrix.columns]
    cell = 76 if len(called) <= 5 else 64
    longest = max(len(name) for name in [*truth, *called])
    left = 60 + 7 * (longest + 2)
    figure = go.Figure(
        go.Heatmap(
            z=np.nan_to_num(shares),
            x=called,
            y=truth,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            colorscale=[list(stop) for stop in theme.SHARE_SCALE],
            customdata=counts,
            hovertemplate="true %{y}, called %{x}<br>%{customdata:.0f} clips, %{z:.1%} of the row<extra></extra>",
            colorbar={"title": {"text": "share<br>of row"}, "tickformat": ".0%", "thickness": 12, "len": 0.9},
        )
    )
    for row in range(len(truth)):
        for column in range(len(called)):
            share = shares[row, column]
            said = "" if np.isnan(share) else f"<br><span style='font-size:11px'>{share:.0%}</span>"
            dark = not np.isnan(share) and share > 0.45
            figure.add_annotation(
                x=column,
                y=row,
                text=f"<b>{counts[row, column]:.0f}</b>{said}",
                showarrow=False,
                font={"size": 14, "color": "#FFFFFF" if dark else "#1D2733"},
            )
    right = np.trace(counts) if list(matrix.index) == list(matrix.columns) else np.nan
    whole = counts.sum()
    scored = f", {right / whole:.1%} on the diagonal" if whole and np.isfinite(right) else ""
    theme.finish(
        figure,
        width=width or left + cell * len(called) + 110,
        height=112 + cell * len(truth) + 40,
        title=f"<b>{as_text(title)}</b>",
        subtitle=f"{whole:.0f} clips{scored}",
        margin=(left, 20, 66, 62),
    )
    labels = [f"{name}<br>n = {total:.0f}" for name, total in zip(truth, totals[:, 0], strict=True)]
    figure.update_yaxes(
        autorange="reversed", title_text="true", tickvals=list(range(len(truth))), ticktext=labels, showgrid=False
    )
    figure.update_xaxes(title_text="predicted", showgrid=False, tickangle=0 if longest <= 11 else -30)
    return figure
