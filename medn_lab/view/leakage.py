"""Leakage as a matrix: the AUC of each target from each branch, and its excess over what is allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.records import DecouplingReport
from medn_lab.view import theme
from medn_lab.view.theme import as_text

EXCESS_SCALE = ((0.0, "#9DBFE6"), (0.4, "#DCE8F5"), (0.5, "#F4F4F2"), (0.6, "#FBDCD3"), (1.0, "#E2553F"))
"""Blue below what is allowed, white at it, red above it: all light enough for dark figures but the last."""

EXCESS_RANGE = 0.4
"""The excess at which the colours end."""

UNKNOWN_CELL = "#ECECEC"
ON_CELL = "#1D2733"
NEEDED = ("branch", "target", "value", "allowed", "excess", "n_positive")

_ROW = 34
_CELL = 118


def plot_leakage(
    leakage: pd.DataFrame | DecouplingReport, *, each_au: bool = True, width: int | None = None
) -> go.Figure:
    """Draw what each branch still tells: the AUC large, beside it what its own factor's truth allows.

    The colour is the excess over what is allowed: red is a leak, white is no more than may be, blue is less (a branch
    that does not even hold what it should). A triangle marks an excess whose interval over subjects lies above 0. A
    motion branch should be white at the AUs, an emotion branch white at the cue, and neither red anywhere. The number
    of clips with the target stands beside its name: few clips, wide intervals.

    Parameters
    ----------
    leakage : DataFrame or DecouplingReport
        As ``medn.diagnose.leakage`` returns; of several models where it has a column ``model``.
    each_au : bool
        Also each AU under the means.
    width : int, optional
        In pixels; chosen by the number of columns where None.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the table is empty or lacks a column.

    See Also
    --------
    medn_lab.diagnose.leakage, plot_dependence

    Examples
    --------
    >>> from medn_lab.diagnose import leakage
    >>> from medn_lab.records import BranchFeatures
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(80)], "subject": list("abcdefgh") * 10})
    >>> table["AU12"] = rng.integers(0, 2, 80)
    >>> features = BranchFeatures(*rng.normal(size=(3, 80, 3)), table)
    >>> figure = plot_leakage(leakage(features, targets=["AU12"], n_shuffles=5, n_resamples=50))
    >>> figure.layout.title.text
    '<b>What each branch tells</b>'
    """
    table = leakage.leakage if isinstance(leakage, DecouplingReport) else leakage
    missing = [name for name in NEEDED if name not in table]
    if missing or not len(table):
        raise ValueError(f"the table of leakage {'lacks ' + ', '.join(missing) if missing else 'is empty'}")
    table = table.assign(model=table.get("model", ""))
    targets = _targets(table, each_au)
    columns = list(dict.fromkeys(zip(table["model"], table["branch"], strict=True)))
    cells = {(row.model, row.branch, row.target): row for row in table.itertuples()}
    excess = np.full((len(targets), len(columns)), np.nan)
    hover = np.full(excess.shape, "", dtype=object)
    figure = go.Figure()
    for y, target in enumerate(targets):
        for x, (model, branch) in enumerate(columns):
            cell = cells.get((model, branch, target))
            if cell is None:
                continue
            hover[y, x] = _hover(cell)
            if np.isfinite(cell.value) and np.isfinite(cell.excess):
                excess[y, x] = cell.excess
            figure.add_annotation(x=x, y=y, text=_said(cell), showarrow=False, font={"size": 13, "color": ON_CELL})
    figure.add_trace(
        go.Heatmap(
            z=np.zeros_like(excess), x=np.arange(len(columns)), y=np.arange(len(targets)), xgap=2, ygap=2,
            colorscale=[[0, UNKNOWN_CELL], [1, UNKNOWN_CELL]], showscale=False, hoverinfo="skip",
        )
    )  # fmt: skip
    figure.add_trace(
        go.Heatmap(
            z=excess,
            x=np.arange(len(columns)),
            y=np.arange(len(targets)),
            zmin=-EXCESS_RANGE,
            zmax=EXCESS_RANGE,
            xgap=2,
            ygap=2,
            colorscale=[list(stop) for stop in EXCESS_SCALE],
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
            colorbar={
                "title": {"text": "excess"},
                "tickformat": "+.1f",
                "thickness": 12,
                "len": min(1.0, 240 / (_ROW * len(targets))),
                "y": 1,
                "yanchor": "top",
            },
        )
    )
    _finish(figure, table, targets, columns, width)
    return figure


def _targets(table: pd.DataFrame, each_au: bool) -> list[str]:
    """What is drawn, from above: the AUs' mean, everything else, then each AU."""
    there = list(dict.fromkeys(table["target"]))
    single = [name for name in there if name.startswith("AU") and name[2:].isdigit()]
    others = [name for name in there if name not in single and name != "AUs"]
    return [*(["AUs"] if "AUs" in there else []), *others, *(single if each_au or len(single) == len(there) else [])]


def _said(cell: Any) -> str:
    if not np.isfinite(cell.value):
        return "constant" if str(getattr(cell, "reason", "")).endswith(" is constant") else "–"
    mark = " <span style='font-size:10px'>▲</span>" if getattr(cell, "excess_low", np.nan) > 0 else ""
    if not np.isfinite(cell.allowed):
        return f"<b>{_short(cell.value)}</b>"
    return f"<b>{_short(cell.value)}</b>{mark} <span style='font-size:11px'>of {_short(cell.allowed)}</span>"


def _short(auc: float) -> str:
    return f"{auc:.2f}".removeprefix("0") if auc < 0.995 else "1"


def _hover(cell: Any) -> str:
    head = f"{as_text(cell.branch)} branch, {as_text(cell.target)}"
    if not np.isfinite(cell.value):
        return f"{head}<br>{as_text(getattr(cell, 'reason', '') or 'not known')}"
    lines = [f"{head}<br>AUC {cell.value:.3f}"]
    for name, low, high in (("", "low", "high"), (f"<br>excess {cell.excess:+.3f}", "excess_low", "excess_high")):
        bounds = getattr(cell, low, np.nan), getattr(cell, high, np.nan)
        if name and np.isfinite(cell.allowed):
            lines.append(f"<br>allowed {cell.allowed:.3f}{name}")
        if np.isfinite(bounds[0]):
            lines.append(f" [{bounds[0]:.3f}, {bounds[1]:.3f}]")
    if np.isfinite(getattr(cell, "null_mean", np.nan)):
        lines.append(f"<br>shuffled labels {cell.null_mean:.3f}")
    if np.isfinite(getattr(cell, "worst_auc", np.nan)):
        over = f", excess {cell.worst_excess:+.3f}" if np.isfinite(cell.worst_excess) else ""
        lines.append(f"<br>worst single AU: {as_text(cell.worst_target)}, AUC {cell.worst_auc:.3f}{over}")
    return "".join(lines) + f"<br>{cell.n_positive:.0f} clips with it"


def _finish(
    figure: go.Figure, table: pd.DataFrame, targets: list[str], columns: list[tuple[str, str]], width: int | None
) -> None:
    models = list(dict.fromkeys(model for model, _ in columns))
    counts = table.groupby("target")["n_positive"].max()
    names = {"AUs": "<b>AUs, mean</b>"}
    labels = [
        f"{names.get(target, as_text(target))}  <span style='font-size:10px'>{counts[target]:.0f}</span>"
        for target in targets
    ]
    longest = max(len(target) for target in targets)
    left, top = 66 + 7 * max(longest, 9), 118 if models != [""] else 96
    wide = width or left + _CELL * len(columns) + 96
    clips = ""
    if {"n_clips", "n_subjects"} <= set(table):
        clips = f"{table['n_clips'].max():.0f} clips of {table['n_subjects'].max():.0f} subjects · "
    theme.finish(
        figure,
        width=wide,
        height=top + _ROW * len(targets) + 20,
        title="<b>What each branch tells</b>",
        subtitle=f"{clips}AUC <b>of</b> what its factor allows · ▲ above it with its whole interval",
        margin=(left, 96, top, 20),
    )
    for model in models:
        own = [x for x, (name, _) in enumerate(columns) if name == model]
        if model:
            figure.add_annotation(
                x=np.mean(own), y=1, yref="paper", yshift=46, text=f"<b>{as_text(model)}</b>",
                showarrow=False, font={"size": 12, "color": theme.INK},
            )  # fmt: skip
        if own[0] > 0:
            figure.add_vline(x=own[0] - 0.5, line={"color": theme.INK, "width": 2})
    heads = [f"<b style='color:{theme.branch_colour(branch)}'>{branch}</b>" for _, branch in columns]
    figure.update_xaxes(
        tickvals=list(range(len(columns))), ticktext=heads, side="top", showgrid=False, zeroline=False,
        range=[-0.5, len(columns) - 0.5], tickfont={"size": 13},
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(targets))), ticktext=labels, showgrid=False, zeroline=False,
        range=[len(targets) - 0.5, -0.5],
    )  # fmt: skip
    figure.add_annotation(
        x=0, xref="paper", y=1, yref="paper", xshift=-4, yshift=14, xanchor="right", text="clips with it",
        showarrow=False, font={"size": 10, "color": theme.INK},
    )  # fmt: skip
