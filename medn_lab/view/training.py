"""The curves of a training: every loss term and the accuracy, an epoch a step."""

from __future__ import annotations

import html

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import History
from medn_lab.view import theme

_NOT_CURVES = ("epoch", "seconds", "learning_rate")
_NAMES = {
    "loss": "total loss",
    "emotion": "emotion (cross-entropy)",
    "au": "AU detection (binary cross-entropy)",
    "orthogonal": "orthogonal (squared cosine)",
    "decoupling": "decoupling",
    "bottleneck": "bottleneck (nats)",
    "kl": "bottleneck (nats)",
    "accuracy": "accuracy, training clips",
    "validation_accuracy": "accuracy, validation clips",
    "validation_loss": "total loss, validation clips",
    "validation_uf1": "UF1, validation clips",
}
_COLOURS = {
    "loss": "#8A8A8A",
    "emotion": theme.BRANCH_COLOURS["emotion"],
    "au": theme.BRANCH_COLOURS["motion"],
    "accuracy": "#2F7FD0",
}
_SPARE_COLOURS = (theme.BRANCH_COLOURS["fused"], "#E08214", "#7A8F2A", "#A0685A", "#4AB3D8")


def curve_columns(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The columns of a history that are losses, and those that are scores in [0, 1].

    Examples
    --------
    >>> curve_columns(pd.DataFrame(columns=["epoch", "seconds", "loss", "au", "accuracy", "validation_accuracy"]))
    (['loss', 'au'], ['accuracy', 'validation_accuracy'])
    """
    names = [name for name in table.columns if name not in _NOT_CURVES and pd.api.types.is_numeric_dtype(table[name])]
    names = names or [name for name in table.columns if name not in _NOT_CURVES]
    scores = [name for name in names if name.removeprefix("validation_") in ("accuracy", "uf1", "uar")]
    return [name for name in names if name not in scores], scores


def curve_name(column: str) -> str:
    """What a column of a history is called in the legend."""
    if column in _NAMES:
        return _NAMES[column]
    if column.startswith("validation_"):
        return f"{curve_name(column.removeprefix('validation_'))}, validation clips"
    return html.escape(column.replace("_", " "))


def plot_history(history: History, *, width: int = 960, height: int = 360) -> go.Figure:
    """Draw a training: the loss terms on the left, accuracy on the right.

    A validation curve has the colour of its training curve and is dashed. Read the two panels together: a loss that
    falls while its accuracy stands still is confidence, not knowledge.

    Parameters
    ----------
    history : History
        Of a finished or running training; an empty one gives empty panels that say so.
    width, height : int
        In pixels.

    Returns
    -------
    Figure
        One trace a curve, named in its ``meta`` by the column it shows.
    """
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=("Loss terms, mean over the epoch", "Accuracy"), horizontal_spacing=0.09
    )
    losses, scores = curve_columns(history.table)
    for column in losses:
        figure.add_trace(_curve(history.table, column, losses, legend="legend"), row=1, col=1)
    for column in scores:
        figure.add_trace(_curve(history.table, column, scores, legend="legend2"), row=1, col=2)
    title = f"<b>Training</b> · {html.escape(summary(history))}"
    theme.finish(figure, width=width, height=height, title=title, margin=(56, 20, 64, 48))
    figure.update_xaxes(title_text="epoch", rangemode="tozero", showspikes=False, dtick=_epoch_step(len(history)))
    figure.update_yaxes(title_text="loss", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title_text="share of clips right", range=[0, 1.02], tickformat=".0%", row=1, col=2)
    # Losses fall and accuracies rise, so these corners are the empty ones.
    look = {"orientation": "v", "itemsizing": "trace", "bgcolor": theme.CLEAR, "tracegroupgap": 0}
    figure.update_layout(
        legend={**look, "x": 0.45, "xanchor": "right", "y": 1.0, "yanchor": "top"},
        legend2={**look, "x": 1.0, "xanchor": "right", "y": 0.02, "yanchor": "bottom"},
        hovermode="x unified",
    )
    if not len(history):
        figure.add_annotation(text="no epoch has ended yet", showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5)
    return figure


def summary(history: History) -> str:
    """One line on where a training stands: epochs, time, last loss and accuracy, how it ended."""
    if not len(history):
        return f"no epoch has ended yet, {history.status}"
    last = history.table.iloc[-1]
    said = [f"{len(history)} epochs"]
    if "seconds" in history.table:
        said.append(f"{history.table['seconds'].sum():.0f} s")
    for column, name in (("loss", "loss"), ("accuracy", "accuracy"), ("validation_accuracy", "validation accuracy")):
        if column in history.table and pd.notna(last[column]):
            said.append(f"{name} {last[column]:.3f}")
    return ", ".join([*said, history.status])


def _curve(table: pd.DataFrame, column: str, beside: list[str], *, legend: str) -> go.Scatter:
    base = column.removeprefix("validation_")
    bases = [name for name in dict.fromkeys(n.removeprefix("validation_") for n in beside) if name not in _COLOURS]
    colour = _COLOURS[base] if base in _COLOURS else _SPARE_COLOURS[bases.index(base) % len(_SPARE_COLOURS)]
    held_out = column.startswith("validation_")
    return go.Scatter(
        x=table["epoch"] if "epoch" in table else list(range(1, len(table) + 1)),
        y=table[column],
        name=curve_name(column),
        meta=column,
        mode="lines+markers",
        line={"color": colour, "width": 3 if column == "loss" else 2, "dash": "dash" if held_out else "solid"},
        marker={"size": 6 if held_out else 5, "symbol": "circle-open" if held_out else "circle"},
        hovertemplate="%{y:.3f}",
        legend=legend,
    )


def _epoch_step(epochs: int) -> int | None:
    return 1 if epochs <= 12 else None
