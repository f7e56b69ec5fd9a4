"""CoFM's gate: how much of the fused feature each side supplies."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from medn_lab.records import BranchFeatures
from medn_lab.view import theme
from medn_lab.view.theme import as_text


def plot_gate(features: BranchFeatures, *, by: str = "label", width: int = 820, height: int | None = None) -> go.Figure:
    """Draw the gate of every clip, grouped by a column of the table.

    A point is a clip: the mean of its gate over the fused feature's dimensions, 1 all motion, 0 all emotion. The bar is
    the group's median. A gate near 0.5 everywhere says that both sides are always used; it does not say that they
    are used for different things.

    Parameters
    ----------
    features : BranchFeatures
        Of a network with both branches and CoFM.
    by : str
        Column to group by, such as ``label`` or ``action_units``.
    width : int
        In pixels.
    height : int, optional
        In pixels; by default 34 a group.

    Returns
    -------
    Figure
        One trace a group, the most motion-led first.

    Raises
    ------
    ValueError
        If there is no gate (one branch, or concatenation and sum), or no such column.

    See Also
    --------
    medn_lab.evaluate.extract_features

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "label": ["fear", "others"] * 2})
    >>> fused = np.zeros((4, 8))
    >>> features = BranchFeatures(fused, fused, fused, table, gate=np.full((4, 8), 0.7))
    >>> figure = plot_gate(features)
    >>> figure.layout.title.text
    "<b>CoFM's gate</b> · 4 clips by label"
    """
    if features.gate is None:
        raise ValueError("these features have no gate: only a network with both branches and CoFM has one")
    if by not in features.table:
        raise ValueError(f"the table has no column {by!r}; it has {', '.join(map(str, features.table.columns))}")
    gates = features.gate.mean(axis=1)
    groups = features.table[by].astype(object).where(features.table[by].notna(), "unknown").astype(str).to_numpy()
    order = sorted(set(groups), key=lambda name: (np.median(gates[groups == name]), name))
    scatter = np.random.default_rng(0).uniform(-0.26, 0.26, len(gates))  # so that points do not hide each other
    figure = go.Figure()
    for place, name in enumerate(order):
        rows = np.flatnonzero(groups == name)
        colour = theme.emotion_colour(name) if by in ("label", "emotion") else theme.category_style(place)[0]
        figure.add_trace(
            go.Scatter(
                x=gates[rows],
                y=place + scatter[rows],
                mode="markers",
                marker={"size": 5, "color": colour, "opacity": 0.6},
                name=as_text(name),
                customdata=[as_text(name) for name in features.table["clip_id"].to_numpy()[rows]],
                hovertemplate="%{customdata}: %{x:.3f}<extra>%{fullData.name}</extra>",
                showlegend=False,
            )
        )
        median = float(np.median(gates[rows]))
        figure.add_shape(
            type="line", x0=median, x1=median, y0=place - 0.36, y1=place + 0.36, line={"color": colour, "width": 3}
        )
    theme.finish(
        figure,
        width=width,
        height=height or 116 + 34 * len(order),
        title=f"<b>CoFM's gate</b> · {len(gates)} clips by {as_text(by.replace('_', ' '))}",
        margin=(110, 24, 48, 52),
    )
    names = [f"{as_text(name)} ({(groups == name).sum()})" for name in order]
    figure.update_yaxes(tickvals=list(range(len(order))), ticktext=names, range=[-0.6, len(order) - 0.4])
    figure.update_xaxes(title_text="mean gate: emotion side ← → motion side")
    return figure
