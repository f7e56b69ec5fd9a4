"""Figures of trainings: the curves of one, and the scores of several variants."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import History
from medn_lab.view import theme
from medn_lab.view.marks import counted, forest, level, need, rows_from_the_top
from medn_lab.view.theme import as_text

# The fused branch's colour stands for dependence, which is of both branches.
_CURVES = {
    "loss": ("total loss", theme.GREY),
    "emotion": ("emotion (cross-entropy)", theme.BRANCH_COLOURS["emotion"]),
    "au": ("AUs (binary cross-entropy)", theme.BRANCH_COLOURS["motion"]),
    "accuracy": ("accuracy", "#2F7FD0"),
    "uf1": ("UF1", theme.BRANCH_COLOURS["fused"]),
    "dependence_linear_cka": ("linear CKA", theme.BRANCH_COLOURS["fused"]),
    "dependence_distance_correlation": ("distance correlation", "#E08214"),
    "dependence_absolute_cosine": ("mean |cosine|", "#7A8F2A"),
    "leak_aus_from_emotion": ("AUs from the emotion branch", theme.BRANCH_COLOURS["emotion"]),
    "leak_emotion_from_motion": ("emotion from the motion branch", theme.BRANCH_COLOURS["motion"]),
}
_CEILINGS = {"au_only": "AUs alone", "cue_only": "cue alone", "joint": "both"}


def curve_columns(table: pd.DataFrame) -> dict[str, list[str]]:
    """The columns of a history by the panel that shows them: loss, score (in [0, 1]), dependence or leak.

    Examples
    --------
    >>> curves = curve_columns(pd.DataFrame(columns=["epoch", "loss", "accuracy", "leak_aus_from_emotion"]))
    >>> curves["loss"], curves["score"], curves["leak"]
    (['loss'], ['accuracy'], ['leak_aus_from_emotion'])
    """
    panels: dict[str, list[str]] = {"loss": [], "score": [], "dependence": [], "leak": []}
    for name in table.columns.drop(["epoch", "seconds", "learning_rate"], errors="ignore"):
        first, score = name.partition("_")[0], name.removeprefix("validation_") in ("accuracy", "uf1", "uar")
        panels[first if first in ("dependence", "leak") else "score" if score else "loss"].append(name)
    return panels


def plot_history(history: History, *, width: int = 960) -> go.Figure:
    """Draw a training: loss terms, accuracy and, where they were measured, dependence and leakage after each epoch.

    A validation curve has the colour of its training curve and is dashed. Read loss and accuracy together: a loss that
    falls while its accuracy stands still is confidence, not knowledge. Where the history has columns of
    :func:`medn_lab.diagnose.decoupling_watch`, a second row shows the dependence between the branches and the AUC of
    each branch for the other's factor; a dotted line is the AUC that the branch's own factor allows.

    Parameters
    ----------
    history : History
        Of a finished or running training; an empty one gives empty panels.
    width : int
        In pixels.

    Returns
    -------
    Figure
        One trace a curve; its ``meta`` is the name of the column.

    Examples
    --------
    >>> epochs = pd.DataFrame({"epoch": [1, 2], "seconds": [0.5, 0.4], "loss": [1.6, 1.2], "accuracy": [0.3, 0.5]})
    >>> plot_history(History(epochs)).data[0].y.tolist()
    [1.6, 1.2]
    """
    table, panels = history.table, curve_columns(history.table)
    rows, body = (2, 528) if panels["dependence"] or panels["leak"] else (1, 248)
    titles = (
        "Loss terms (dashed: validation clips)", "Accuracy and UF1 (dashed: validation clips)",
        "Dependence of the branches", "Leakage (dotted: what is allowed)",
    )  # fmt: skip
    gaps = {"horizontal_spacing": 0.09, "vertical_spacing": 90 / body}
    figure = make_subplots(rows=rows, cols=2, subplot_titles=titles[: 2 * rows], **gaps)
    for place, columns in enumerate(list(panels.values())[: 2 * rows]):
        where = {"row": place // 2 + 1, "col": place % 2 + 1}
        bases = [name.removeprefix("validation_").removesuffix("_allowed") for name in columns]
        for name, base in zip(columns, bases, strict=True):
            # A curve of validation clips, or of what is allowed, has the colour of its curve and another line.
            second, allowed = name.startswith("validation_"), name.endswith("_allowed")
            other = as_text(base.replace("_", " ")), theme.category_style(1 + bases.index(base))[0]
            title, colour = _CURVES.get(base, other)
            figure.add_scatter(
                x=table["epoch"], y=table[name], name=title + ", validation" * second, meta=name, connectgaps=True,
                mode="lines" if allowed else "lines+markers", hovertemplate="%{y:.3f}", **where,
                showlegend=not allowed and not (second and base in columns),
                line={"color": colour, "width": 3 if name == "loss" else 2},
                line_dash="dash" if second else "dot" if allowed else "solid", marker_size=6,
                marker_symbol="circle-open" if second else "circle",
            )  # fmt: skip
    figure.update_xaxes(title_text="epoch", rangemode="tozero", dtick=1 if len(history) <= 12 else None)
    figure.update_yaxes(title_text="loss", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title_text="share of clips, or UF1", range=[0, 1.02], tickformat=".0%", row=1, col=2)
    if rows == 2:
        figure.update_yaxes(title_text="0 independent, 1 a copy", range=[-0.1, 1.04], row=2, col=1)
        figure.update_yaxes(title_text="AUC (0.5 is chance)", range=[0.38, 1.02], row=2, col=2)
    title = f"<b>Training</b> · {as_text(summary(history))}"
    figure.update_layout(hovermode="x unified", legend_itemsizing="trace")
    return theme.finish(figure, width=width, body=body, title=title)


def summary(history: History) -> str:
    """One line on a training: epochs, time, last loss and accuracy, status."""
    if not len(history):
        return f"no epoch has ended yet, {history.status}"
    table, last = history.table, history.table.iloc[-1]
    parts = [counted(len(history), "epoch"), f"{table['seconds'].sum():.0f} s" if "seconds" in table else ""]
    scores = [name for name in ("loss", "accuracy", "validation_accuracy") if pd.notna(last.get(name))]
    parts += [f"{name.replace('_', ' ')} {last[name]:.3f}" for name in scores]
    return ", ".join(filter(None, [*parts, history.status]))


def plot_variants(
    table: pd.DataFrame, *, measure: str = "accuracy", by: str = "variant", ceilings: dict[str, float] | None = None,
    width: int = 960,
) -> go.Figure:  # fmt: skip
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

    Returns
    -------
    Figure
        One trace a variant; a single trace where the variants are the lines.

    Examples
    --------
    >>> table = pd.DataFrame({"variant": ["none", "bottleneck"], "accuracy": [0.968, 0.962]})
    >>> table = table.assign(accuracy_low=0.95, accuracy_high=0.98)
    >>> figure = plot_variants(table, ceilings={"au_only": 0.42, "joint": 1.0})
    >>> list(figure.layout.yaxis.ticktext)
    ['none', 'bottleneck']
    """
    columns = [measure, f"{measure}_low", f"{measure}_high"]
    need(table, dict.fromkeys(["variant", by, *columns]), maker="evaluate, one row a variant")
    lines, names = [as_text(one) for one in dict.fromkeys(table[by])], as_text(measure.replace("_", " "))
    groups = [("", table)] if by == "variant" else list(table.groupby("variant", sort=False))
    figure = go.Figure()
    for place, (variant, rows) in enumerate(groups):
        shown = rows[columns].set_axis(["value", "low", "high"], axis=1).assign(reason=" ")
        label = [one if by == "variant" else f"{as_text(variant)}, {one}" for one in map(as_text, rows[by])]
        colour, several = theme.category_style(place)[0], len(groups) > 1
        forest(figure, shown, labels=label, name=str(variant), colour=colour, legend=several)
        on_its_line = rows[by].map(as_text).map(lines.index).to_numpy()
        figure.data[-1].y = on_its_line + 0.7 * ((place + 0.5) / len(groups) - 0.5)
    ends = [*(ceilings or {}).values(), *table[columns].to_numpy(dtype=float).ravel()]
    for name, value in (ceilings or {}).items():
        level(figure, value, text=f"{_CEILINGS.get(name, name)} {value:.2f}", dash="dot")
    figure.update_xaxes(title_text=names, range=[max(np.nanmin(ends), 0.0) - 0.02, min(np.nanmax(ends), 1.0) + 0.02])
    rows_from_the_top(figure, lines)
    return theme.finish(
        figure, width=width, body=4 + 18 * len(table) + 14 * len(lines), r=30,
        title=f"<b>{names[:1].upper()}{names[1:]}</b> on unseen subjects, mean and 95 % interval over seeds",
    )  # fmt: skip
