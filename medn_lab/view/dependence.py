"""Dependence between the branches as a picture: every value against what the same clips give when exchanged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import DecouplingReport
from medn_lab.view import theme
from medn_lab.view.theme import as_text

ABOVE, WITHIN = "#E2553F", "#0B7A57"
"""A value above the 95 % of its null, and one within."""

NULL_BAND = "rgba(128, 128, 128, 0.35)"
NEEDED = ("measure", "value", "null_mean", "null_95", "p")
NAMES = {
    "linear_cka": "linear CKA",
    "distance_correlation": "distance correlation, squared",
    "hsic": "HSIC",
    "canonical_correlations": "first canonical correlation",
    "branch_correlation": "mean squared correlation",
    "absolute_cosine": "mean |cosine| within a clip",
}

_ROW = 26
_AROUND = 62
_TOP = 132
_RIGHT = 60


def plot_dependence(report: DecouplingReport | pd.DataFrame, *, width: int = 960) -> go.Figure:
    """Draw each measure of dependence against its permutation null.

    The grey band runs from the mean of the null to its 95th percentile, whose end is the threshold: a filled red dot
    beyond it is a dependence that chance does not explain, an open green dot within it is not one that this number of
    clips can show. A diamond is the same measure of what the branches should hold, the AUs and the cue (or the label).
    Each measure has an axis of its own, as their sizes cannot be compared.

    Parameters
    ----------
    report : DecouplingReport or DataFrame
        A report, or its ``dependence``.
    width : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no rows on dependence, or a column is missing.

    See Also
    --------
    medn_lab.diagnose.decoupling_report, plot_leakage

    Examples
    --------
    >>> row = {"measure": "linear_cka", "given": "", "within": "", "value": 0.3, "null_mean": 0.0}
    >>> table = pd.DataFrame([row | {"null_95": 0.02, "p": 0.01, "n_clips": 80, "n_subjects": 8, "direction": "lower"}])
    >>> figure = plot_dependence(table)
    >>> figure.layout.title.text
    '<b>Dependence between the branches, against its null</b>'
    """
    table = report.dependence if isinstance(report, DecouplingReport) else report
    missing = [name for name in NEEDED if name not in table]
    if missing or not len(table):
        raise ValueError(f"the table of dependence {'lacks ' + ', '.join(missing) if missing else 'is empty'}")
    defaults = {"model": "", "given": "", "within": "", "allowed": np.nan, "reason": ""}
    table = table.assign(**{name: table.get(name, value) for name, value in defaults.items()})
    measures = list(dict.fromkeys(table["measure"]))
    keys = list(dict.fromkeys(zip(table["model"], table["given"], strict=True)))
    labels = _labels(keys)
    n_rows = (len(measures) + 1) // 2
    left = int(34 + 6.4 * max(len(label) for label in labels))
    height = _TOP + 24 + n_rows * (_ROW * len(keys) + _AROUND)
    figure = make_subplots(
        rows=n_rows,
        cols=2,
        subplot_titles=[f"<b>{as_text(NAMES.get(name, name))}</b>" for name in measures],
        horizontal_spacing=80 / (width - left - _RIGHT),
        vertical_spacing=_AROUND / (height - _TOP - 44) if n_rows > 1 else 0,
    )
    for place, name in enumerate(measures):
        rows = table[table["measure"] == name]
        places = [keys.index(key) for key in zip(rows["model"], rows["given"], strict=True)]
        where = {"row": place // 2 + 1, "col": place % 2 + 1}
        _draw(figure, rows, np.array(places), labels, first=place == 0, **where)
        figure.update_yaxes(
            tickvals=list(range(len(keys))), ticktext=[as_text(label) for label in labels],
            range=[len(keys) - 0.5, -0.5], showgrid=False, zeroline=False, showticklabels=place % 2 == 0, **where,
        )  # fmt: skip
    clips = f"{table['n_clips'].max():.0f} clips · " if "n_clips" in table else ""
    inside = ", ".join(dict.fromkeys(name for name in table["within"] if name)).replace("aus", "AU set")
    exchanged = f"clips exchanged inside {as_text(inside)}" if inside else "all clips exchanged"
    exchanged += ", or over all" if inside and (table["within"] == "").any() else ""
    theme.finish(
        figure,
        width=width,
        height=height,
        title="<b>Dependence between the branches, against its null</b>",
        subtitle=f"{clips}{exchanged}",
        margin=(left, _RIGHT, _TOP, 44),
    )
    figure.update_layout(
        legend={
            "x": 0.01,
            "xref": "container",
            "y": 1 - 58 / height,
            "yref": "container",
            "yanchor": "top",
            "itemsizing": "trace",
        }
    )
    return figure


def _labels(keys: list[tuple[str, str]]) -> list[str]:
    """The rows of every panel in words: the model where there are several, and what is given."""
    several, conditional = len({model for model, _ in keys}) > 1, any(given for _, given in keys)
    labels = []
    for model, given in keys:
        said = [str(model)] if several else []
        if conditional:
            said.append(f"given {'AU set' if given == 'aus' else given}" if given else "as it is")
        labels.append(" · ".join(said) or "value")
    return labels


def _p(value: float) -> str:
    if not np.isfinite(value):
        return ""
    return "p = 1" if value >= 0.9995 else f"p {value:.3f}".replace("p 0.", "p .")


def _draw(
    figure: go.Figure, rows: pd.DataFrame, places: np.ndarray, labels: list[str], *, first: bool, row: int, col: int
) -> None:
    """One measure: bands, thresholds, what the factors have, and the values, each at its row's place."""
    where = {"row": row, "col": col}
    value, mean, top = (rows[name].to_numpy(dtype=float) for name in ("value", "null_mean", "null_95"))
    allowed, p = rows["allowed"].to_numpy(dtype=float), rows["p"].to_numpy(dtype=float)
    figure.add_trace(
        go.Bar(
            x=top - mean, base=mean, y=places, orientation="h", width=0.62, name="null: mean to 95 %",
            marker={"color": NULL_BAND}, showlegend=first,
            customdata=np.stack([mean, top], axis=1),
            hovertemplate="null: mean %{customdata[0]:.4g}, 95th percentile %{customdata[1]:.4g}<extra></extra>",
        ),
        **where,
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=top, y=places, mode="markers", name="threshold", showlegend=first, hoverinfo="skip",
            marker={"symbol": "line-ns", "size": 15, "line": {"width": 2.5, "color": theme.INK}},
        ),
        **where,
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=allowed, y=places, mode="markers", name="what they should hold",
            showlegend=first and bool(np.isfinite(allowed).any()),
            marker={"symbol": "diamond-open", "size": 9, "color": theme.PARTNER_RING, "line": {"width": 1.8}},
            hovertemplate="AUs and cue (or label) themselves: %{x:.4g}<extra></extra>",
        ),
        **where,
    )  # fmt: skip
    for found, colour, symbol, name in (
        (True, ABOVE, "circle", "above the null"),
        (False, WITHIN, "circle-open", "within the null"),
    ):
        chosen = (p <= 0.05) == found
        figure.add_trace(
            go.Scatter(
                x=np.where(chosen, value, np.nan), y=places, mode="markers", name=name, showlegend=first,
                marker={"symbol": symbol, "size": 11, "color": colour, "line": {"width": 2.2, "color": colour}},
                customdata=[as_text(labels[place]) for place in places],
                hovertemplate="%{customdata}: %{x:.4g}<extra></extra>",
            ),
            **where,
        )  # fmt: skip
    small = {"size": 11, "color": theme.INK}
    for place, reason, one in zip(places, rows["reason"], p, strict=True):
        told = {"x": 0, "xanchor": "left"} if reason else {"x": 1, "xanchor": "left", "xshift": 6}
        figure.add_annotation(
            y=place,
            xref="x domain",
            text=as_text(reason) or _p(one),
            showarrow=False,
            font=small,
            **told,
            **where,
        )
    known = np.concatenate([value, mean, top, allowed, [0.0]])
    known = known[np.isfinite(known)]
    low, high = float(known.min()), float(known.max())
    pad = 0.08 * (high - low) or 0.1
    figure.update_xaxes(
        range=[low - pad, high + pad], zeroline=True, zerolinewidth=1.5, nticks=6, exponentformat="none", **where
    )
