"""The curves of a training: every loss term, the accuracy, and how far the branches are decoupled, an epoch a step."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import History
from medn_lab.view import theme
from medn_lab.view.theme import as_text

_NOT_CURVES = ("epoch", "seconds", "learning_rate")
_NAMES = {
    "loss": "total loss",
    "emotion": "emotion (cross-entropy)",
    "au": "AU detection (binary cross-entropy)",
    "decoupling": "decoupling",
    "accuracy": "accuracy, training clips",
    "validation_accuracy": "accuracy, validation clips",
    "uf1": "UF1",
    "dependence_linear_cka": "linear CKA",
    "dependence_distance_correlation": "distance correlation",
    "dependence_absolute_cosine": "mean |cosine|",
    "leak_aus_from_emotion": "AUs from the emotion branch",
    "leak_emotion_from_motion": "emotion from the motion branch",
}
_COLOURS = {
    "loss": "#8A8A8A",
    "emotion": theme.BRANCH_COLOURS["emotion"],
    "au": theme.BRANCH_COLOURS["motion"],
    "accuracy": "#2F7FD0",
    "dependence_linear_cka": theme.BRANCH_COLOURS["fused"],
    "dependence_distance_correlation": "#E08214",
    "dependence_absolute_cosine": "#7A8F2A",
    "leak_aus_from_emotion": theme.BRANCH_COLOURS["emotion"],
    "leak_emotion_from_motion": theme.BRANCH_COLOURS["motion"],
}
WATCHED = ("dependence_", "leak_")
"""How columns begin that tell of decoupling, each kind in a panel of its own."""

_ALLOWED = "_allowed"
_SPARE_COLOURS = (theme.BRANCH_COLOURS["fused"], "#E08214", "#7A8F2A", "#A0685A", "#4AB3D8")


def curve_columns(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The columns of a history that are losses, and those that are scores in [0, 1].

    Examples
    --------
    >>> curve_columns(pd.DataFrame(columns=["epoch", "seconds", "loss", "au", "accuracy", "validation_accuracy"]))
    (['loss', 'au'], ['accuracy', 'validation_accuracy'])
    """
    given = [name for name in table.columns if name not in _NOT_CURVES and not name.startswith(WATCHED)]
    names = [name for name in given if pd.api.types.is_numeric_dtype(table[name])] or given
    scores = [name for name in names if name.removeprefix("validation_") in ("accuracy", "uf1", "uar")]
    return [name for name in names if name not in scores], scores


def watched_columns(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The columns of a history that are dependences between the branches, and those that are leaks.

    Examples
    --------
    >>> watched_columns(pd.DataFrame(columns=["epoch", "loss", "leak_aus_from_emotion", "dependence_linear_cka"]))
    (['dependence_linear_cka'], ['leak_aus_from_emotion'])
    """
    first, second = ([name for name in table.columns if name.startswith(kind)] for kind in WATCHED)
    return first, second


def curve_name(column: str) -> str:
    """What a column of a history is called in the legend."""
    if column.endswith(_ALLOWED):
        return f"allowed: {curve_name(column.removesuffix(_ALLOWED))}"
    if column in _NAMES:
        return _NAMES[column]
    if column.startswith("validation_"):
        return f"{curve_name(column.removeprefix('validation_'))}, validation clips"
    return as_text(column.replace("_", " "))


def plot_history(history: History, *, width: int = 960, height: int | None = None) -> go.Figure:
    """Draw a training: the loss terms on the left, accuracy on the right, and below them what was watched.

    A validation curve has the colour of its training curve and is dashed. Read the two panels together: a loss that
    falls while its accuracy stands still is confidence, not knowledge. Where the history has figures of decoupling
    (:func:`medn_lab.diagnose.decoupling_watch`), a second row shows the dependence between the branches and what each
    still tells of the other's factor; a dotted line is what a branch may tell by its own.

    Parameters
    ----------
    history : History
        Of a finished or running training; an empty one gives empty panels that say so.
    width : int
        In pixels.
    height : int, optional
        In pixels; by default 360 for one row, 640 for two.

    Returns
    -------
    Figure
        One trace a curve, named in its ``meta`` by the column it shows.

    Examples
    --------
    >>> epochs = pd.DataFrame({"epoch": [1, 2], "seconds": [0.5, 0.4], "loss": [1.6, 1.2], "accuracy": [0.3, 0.5]})
    >>> plot_history(History(epochs)).data[0].y.tolist()
    [1.6, 1.2]
    """
    losses, scores = curve_columns(history.table)
    dependences, leaks = watched_columns(history.table)
    rows = 2 if dependences or leaks else 1
    height = height or (360, 640)[rows - 1]
    dashed = " (dashed: validation clips)" if any(_is_second(name, losses) for name in losses) else ""
    titles = [
        f"Loss terms, mean over the epoch{dashed}",
        "Accuracy and UF1" if "validation_uf1" in scores else "Accuracy",
    ]
    titles += (
        ["Dependence of the branches, watched clips", "Leakage, watched clips (dotted: what is allowed)"]
        if rows == 2
        else []
    )
    figure = make_subplots(
        rows=rows, cols=2, subplot_titles=titles, horizontal_spacing=0.09, vertical_spacing=110 / height
    )
    panels = [(losses, 1, 1), (scores, 1, 2), (dependences, 2, 1), (leaks, 2, 2)][: 2 * rows]
    for place, (columns, row, column) in enumerate(panels, start=1):
        legend = "legend" if place == 1 else f"legend{place}"
        for name in columns:
            figure.add_trace(_curve(history.table, name, columns, legend=legend), row=row, col=column)
    title = f"<b>Training</b> · {as_text(summary(history))}"
    theme.finish(figure, width=width, height=height, title=title, margin=(56, 20, 64, 48))
    figure.update_xaxes(title_text="epoch", rangemode="tozero", showspikes=False, dtick=_epoch_step(len(history)))
    figure.update_yaxes(title_text="loss", rangemode="tozero", row=1, col=1)
    share = "share of clips right, UF1" if "validation_uf1" in scores else "share of clips right"
    figure.update_yaxes(title_text=share, range=[0, 1.02], tickformat=".0%", row=1, col=2)
    if rows == 2:
        figure.update_yaxes(title_text="0 independent, 1 a copy", range=[-0.1, 1.04], row=2, col=1)
        figure.update_yaxes(title_text="AUC (0.5 is guessing)", range=[0.38, 1.22], row=2, col=2)
        figure.update_yaxes(tickvals=[0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], row=2, col=2)
    # Losses and dependence fall and accuracies rise, so these corners are the empty ones.
    look = {"orientation": "v", "itemsizing": "trace", "bgcolor": theme.CLEAR, "tracegroupgap": 0}
    for place, (_, row, column) in enumerate(panels, start=1):
        subplot = figure.get_subplot(row, column)
        right = subplot.xaxis.domain[1]
        bottom, top = subplot.yaxis.domain
        low = place == 2
        corner = {"x": right, "xanchor": "right", "y": bottom if low else top, "yanchor": "bottom" if low else "top"}
        figure.update_layout({"legend" if place == 1 else f"legend{place}": {**look, **corner}})
    figure.update_layout(hovermode="x unified")
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
    base = _base(column)
    bases = [name for name in dict.fromkeys(map(_base, beside)) if name not in _COLOURS]
    colour = _COLOURS[base] if base in _COLOURS else _SPARE_COLOURS[bases.index(base) % len(_SPARE_COLOURS)]
    held_out = column.startswith("validation_")
    allowed = column.endswith(_ALLOWED)
    return go.Scatter(
        x=table["epoch"] if "epoch" in table else list(range(1, len(table) + 1)),
        y=table[column],
        name=curve_name(column),
        meta=column,
        mode="lines" if allowed else "lines+markers",
        showlegend=not allowed and not (legend == "legend" and _is_second(column, beside)),
        connectgaps=True,
        line={
            "color": colour,
            "width": 3 if column == "loss" else 1.5 if allowed else 2,
            "dash": "dash" if held_out else "dot" if allowed else "solid",
        },
        marker={"size": 6 if held_out else 5, "symbol": "circle-open" if held_out else "circle"},
        hovertemplate="%{y:.3f}",
        legend=legend,
    )


def _is_second(column: str, columns: list[str]) -> bool:
    """Whether a curve is that of the validation clips and the training clips' curve is there too."""
    return column.startswith("validation_") and _base(column) in columns


def _base(column: str) -> str:
    """The curve that gives this one its colour."""
    return column.removeprefix("validation_").removesuffix(_ALLOWED)


def _epoch_step(epochs: int) -> int | None:
    return 1 if epochs <= 12 else None
