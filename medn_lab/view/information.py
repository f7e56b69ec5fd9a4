"""What the emotion code carries beside what it is there to hold, in nats."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.records import DecouplingReport
from medn_lab.view import theme
from medn_lab.view.theme import as_text


def plot_information(report: DecouplingReport | pd.DataFrame, *, width: int = 760) -> go.Figure:
    """Draw the mean information of each model's emotion code, with its interval over subjects.

    The diamond is the entropy of the factor that the code should hold (the cue, or the label). A code that carries more
    has room for something else; it need not use it.

    Parameters
    ----------
    report : DecouplingReport or DataFrame
        A report, or the rows of its table with kind ``information``.
    width : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no row on information: no model has a bottleneck.

    See Also
    --------
    plot_dependence, plot_leakage

    Examples
    --------
    >>> row = {"model": "tiny", "kind": "information", "measure": "nats", "value": 1.2, "low": 1.1, "high": 1.3}
    >>> figure = plot_information(pd.DataFrame([row | {"n_clips": 80, "n_subjects": 8}]))
    >>> figure.layout.title.text
    '<b>Information in the emotion code</b>'
    """
    table = report.table if isinstance(report, DecouplingReport) else report
    rows = table[table["kind"] == "information"] if "kind" in table else table
    if not len(rows):
        raise ValueError("there is no row on information: none of these models has a bottleneck")
    names = [as_text(name) for name in rows.get("model", pd.Series("the model", index=rows.index))]
    value = rows["value"].to_numpy(dtype=float)
    low, high, allowed = (rows.get(n, pd.Series(np.nan, index=rows.index)).to_numpy(float) for n in _ENDS)
    figure = go.Figure()
    figure.add_trace(
        go.Bar(
            x=value, y=names, orientation="h", width=0.5, name="nats a clip", marker={"color": _CODE},
            error_x={
                "type": "data", "symmetric": False, "array": np.nan_to_num(high - value),
                "arrayminus": np.nan_to_num(value - low), "color": theme.INK, "thickness": 1.8,
            },
            text=[f"<b>{one:.2f}</b>" if np.isfinite(one) else "" for one in value], textposition="inside",
            insidetextanchor="start",
            hovertemplate="%{y}: %{x:.3f} nats<extra></extra>",
        )
    )  # fmt: skip
    targets = ", ".join(dict.fromkeys(as_text(name) for name in rows.get("target", []) if name))
    figure.add_trace(
        go.Scatter(
            x=allowed, y=names, mode="markers", name=f"entropy of the {targets or 'factor'}",
            marker={"symbol": "diamond-open", "size": 13, "color": theme.PARTNER_RING, "line": {"width": 2.5}},
            hovertemplate="what it should hold: %{x:.3f} nats<extra></extra>",
        )
    )  # fmt: skip
    theme.finish(
        figure, width=width, height=150 + 44 * len(rows), title="<b>Information in the emotion code</b>",
        subtitle="mean of the clips, interval over resampled subjects",
        margin=(34 + 7 * max(map(len, names)), 24, 92, 44),
    )  # fmt: skip
    for name, one, why in zip(names, value, rows.get("reason", pd.Series("", index=rows.index)), strict=True):
        if not np.isfinite(one):
            figure.add_annotation(text=as_text(why or "no figure"), x=0, y=name, xanchor="left", showarrow=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(title_text="nats a clip", rangemode="tozero")
    figure.update_layout(legend={"x": 0, "y": 1.02, "yanchor": "bottom"})
    return figure


_ENDS = ("low", "high", "allowed")
_CODE = theme.branch_colour("emotion")
