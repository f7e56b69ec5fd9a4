"""The correlations between the features of two branches as a heat map."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from medn_lab.view import theme

SIGNED_SCALE = ((0.0, "#2166AC"), (0.25, "#8DBBDC"), (0.5, "#F5F5F3"), (0.75, "#F0A58A"), (1.0, "#B2182B"))
"""Blue for -1, white for 0, red for 1."""

DEAD = "#D9D9D9"
"""A feature without variation has no correlation."""


def plot_branch_correlation(
    correlation: ArrayLike | pd.DataFrame,
    *,
    n_clips: int | None = None,
    sort: bool = True,
    limit: float = 1.0,
    width: int = 620,
) -> go.Figure:
    """Draw the correlation of every motion feature with every emotion feature.

    Decoupled branches give an even grey-white field; a stripe is a feature of one branch that many of the other follow.
    With p x q correlations a few large ones are there by chance: where `n_clips` is given, the picture says how large
    95 % of them stay without any dependence.

    Parameters
    ----------
    correlation : (p, q) array-like
        In [-1, 1], NaN for a feature without variation: ``medn.diagnose.branch_correlation(motion, emotion).matrix``.
    n_clips : int, optional
        Behind each correlation.
    sort : bool
        Features by their mean absolute correlation, largest at the upper left, rather than in their own order.
    limit : float
        Correlation at which the colours end, in (0, 1].
    width : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If it is not a matrix of correlations, or the limit is out of its range.

    See Also
    --------
    medn_lab.diagnose.branch_correlation

    Examples
    --------
    >>> plot_branch_correlation(np.array([[0.9, 0.0], [0.1, -0.5]]), n_clips=50).data[0].type
    'heatmap'
    """
    matrix = np.asarray(correlation, dtype=float)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"correlations have shape {matrix.shape}; they must be a (p, q) matrix")
    known = np.abs(matrix[np.isfinite(matrix)])
    if len(known) and known.max() > 1 + 1e-9:
        raise ValueError(f"a correlation lies in [-1, 1]; this matrix holds {known.max():.3g}")
    if not 0 < limit <= 1:
        raise ValueError(f"limit is {limit}; it must lie in (0, 1]")
    rows, columns = (_order(matrix, axis) if sort else np.arange(matrix.shape[axis]) for axis in (0, 1))
    shown = matrix[np.ix_(rows, columns)]
    figure = go.Figure()
    for z, scale, skip in (
        (np.where(np.isfinite(shown), np.nan, 0.0), ((0.0, DEAD), (1.0, DEAD)), True),
        (shown, SIGNED_SCALE, False),
    ):
        figure.add_trace(
            go.Heatmap(
                z=z,
                zmin=-limit,
                zmax=limit,
                colorscale=[list(stop) for stop in scale],
                showscale=not skip,
                hoverinfo="skip" if skip else None,
                customdata=np.stack(np.broadcast_arrays(rows[:, None], columns[None, :]), axis=-1),
                hovertemplate=None
                if skip
                else "motion %{customdata[0]}, emotion %{customdata[1]}: %{z:+.3f}<extra></extra>",
                colorbar={"title": {"text": "r"}, "tickformat": "+.1f" if limit >= 0.4 else "+.2f", "thickness": 12},
            )
        )
    p, q = matrix.shape
    said = [f"mean |r| {known.mean():.3f}, largest {known.max():.2f}" if len(known) else "no feature varies"]
    if n_clips is not None:
        said.append(f"{n_clips} clips: by chance 95 % stay below {min(1.0, 1.96 / np.sqrt(max(n_clips - 1, 1))):.2f}")
    dead = int((~np.isfinite(matrix)).all(axis=1).sum() + (~np.isfinite(matrix)).all(axis=0).sum())
    lines = [" · ".join(said)]
    if dead and len(known):
        lines.append(f"grey: {dead} of {p + q} features do not vary at all")
    top = 66 + 17 * (len(lines) - 1)
    plot_width = width - 64 - 84
    theme.finish(
        figure,
        width=width,
        height=int(top + 58 + np.clip(plot_width * p / q, 140, plot_width)),
        title="<b>Correlation between the branches' features</b>",
        subtitle="<br>".join(lines),
        margin=(64, 84, top, 58),
    )
    ordered = " (sorted)" if sort else ""
    colours = {name: theme.branch_colour(name) for name in ("motion", "emotion")}
    figure.update_yaxes(
        autorange="reversed", showgrid=False, zeroline=False, showticklabels=not sort, ticks="" if sort else None,
        title_text=f"<b style='color:{colours['motion']}'>motion</b> features{ordered}",
    )  # fmt: skip
    figure.update_xaxes(
        showgrid=False, zeroline=False, showticklabels=not sort, ticks="" if sort else None,
        title_text=f"<b style='color:{colours['emotion']}'>emotion</b> features{ordered}",
    )  # fmt: skip
    return figure


def _order(matrix: np.ndarray, axis: int) -> np.ndarray:
    strength = np.nan_to_num(np.abs(matrix)).mean(axis=1 - axis)
    return np.argsort(-strength, kind="stable")
