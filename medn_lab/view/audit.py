"""What choosing the epoch does to a score: the curve there was to choose from, and the three scores side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.view import theme

RULES = {
    "last_epoch": ("last epoch", "#2F7FD0", "circle"),
    "validation": ("best on subjects kept back", "#0B7A57", "square"),
    "best_on_test": ("best on the test: optimistic", "#E2553F", "diamond-open"),
}
"""What each rule is called, its colour and its marker."""


def plot_selection_audit(table: pd.DataFrame, *, epochs: pd.DataFrame | None = None, width: int = 960) -> go.Figure:
    """Draw the scores under three ways of choosing the epoch and, beside them, the curve that was chosen from.

    The first two rules never look at the held-out clips. The third takes for each subject the epoch that is best on
    that very subject; its open marker says that it is no score to report.

    Parameters
    ----------
    table : DataFrame
        ``rule, measure, value, low, high, floor``, as ``medn.evaluate.selection_audit(...).table``.
    epochs : DataFrame, optional
        ``fold, epoch, validation_accuracy, held_out_accuracy, n_validation, n_held_out``, as the audit's ``epochs``.
        Without it the curve is left out.
    width : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a column is missing, or a rule is not one of the three.

    Examples
    --------
    >>> table = pd.DataFrame({"rule": ["last_epoch", "best_on_test"], "measure": "accuracy", "value": [0.7, 0.8]})
    >>> figure = plot_selection_audit(table.assign(low=0.6, high=0.9, floor=0.5))
    >>> figure.layout.title.text
    '<b>Selection audit</b>'
    """
    missing = [name for name in ("rule", "measure", "value", "low", "high", "floor") if name not in table]
    if missing:
        raise ValueError(f"the table of the audit lacks {', '.join(missing)}")
    strange = sorted(set(table["rule"]) - set(RULES))
    if strange:
        raise ValueError(f"no rule {', '.join(strange)}; there are {', '.join(RULES)}")
    curved = epochs is not None
    figure = make_subplots(
        rows=1,
        cols=2 if curved else 1,
        column_widths=[0.5, 0.5] if curved else None,
        horizontal_spacing=0.09,
        subplot_titles=("What there was to choose from", "What each rule reports") if curved else None,
    )
    column = 1
    if curved:
        _draw_curves(figure, epochs)
        column = 2
    measures = list(dict.fromkeys(table["measure"]))
    rules = [name for name in RULES if name in set(table["rule"])]
    for place, rule in enumerate(rules):
        name, colour, symbol = RULES[rule]
        rows = table[table["rule"] == rule].set_index("measure").loc[measures]
        figure.add_trace(
            go.Scatter(
                x=np.arange(len(measures)) + 0.2 * (place - (len(rules) - 1) / 2),
                y=rows["value"],
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": rows["high"] - rows["value"],
                    "arrayminus": rows["value"] - rows["low"],
                    "thickness": 1.6,
                    "width": 5,
                },
                mode="markers",
                name=name,
                meta=rule,
                marker={"color": colour, "symbol": symbol, "size": 11, "line": {"width": 2, "color": colour}},
                customdata=np.stack([rows["low"], rows["high"]], axis=1),
                hovertemplate="%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<extra>" + name + "</extra>",
            ),
            row=1,
            col=column,
        )
    floors = table.drop_duplicates("measure").set_index("measure").loc[measures, "floor"]
    for place, floor in enumerate(floors):
        figure.add_shape(
            type="line", x0=place - 0.38, x1=place + 0.38, y0=floor, y1=floor, row=1, col=column,
            line={"color": theme.INK, "width": 1.5, "dash": "dash"},
        )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=[None], y=[None], mode="lines", name=table.attrs.get("floor", "AU-only floor"), hoverinfo="skip",
            line={"color": theme.INK, "width": 1.5, "dash": "dash"},
        ),
        row=1,
        col=column,
    )  # fmt: skip
    title = "<b>Selection audit</b>"
    theme.finish(figure, width=width, height=400, title=title, subtitle=_summary(table), margin=(56, 20, 84, 96))
    lowest = float(np.nanmin([table["low"].min(), table["value"].min(), floors.min()]))
    figure.update_yaxes(range=[max(0.0, np.floor(lowest * 10 - 0.5) / 10), 1.02], tickformat=".0%", row=1, col=column)
    figure.update_xaxes(
        tickvals=list(range(len(measures))), ticktext=measures, showgrid=False, zeroline=False, row=1,
        col=column, range=[-0.6, len(measures) - 0.4],
    )  # fmt: skip
    figure.update_layout(legend={"x": 0.5, "xanchor": "center", "y": -0.16, "yanchor": "top"})
    return figure


def _summary(table: pd.DataFrame) -> str:
    rows = table[table["measure"].str.lower() == "accuracy"].set_index("rule")["value"]
    if not {"last_epoch", "best_on_test"} <= set(rows.index):
        return ""
    gain = rows["best_on_test"] - rows["last_epoch"]
    return f"choosing on the held-out subject alone adds {gain:+.3f} of accuracy; that is a choice, not a skill"


def _draw_curves(figure: go.Figure, epochs: pd.DataFrame) -> None:
    """Accuracy pooled over the folds, an epoch a point: of the held-out subjects and of those kept back."""
    sides = {
        "held-out subjects": ("held_out_accuracy", "n_held_out", "#2F7FD0", "solid"),
        "subjects kept back": ("validation_accuracy", "n_validation", "#0B7A57", "dot"),
    }
    for name, (value, count, colour, dash) in sides.items():
        right = (epochs[value] * epochs[count]).groupby(epochs["epoch"]).sum()
        pooled = right / epochs.groupby("epoch")[count].sum()
        figure.add_trace(
            go.Scatter(
                x=pooled.index,
                y=pooled.to_numpy(),
                mode="lines+markers",
                name=name,
                meta=value,
                line={"color": colour, "width": 2, "dash": dash},
                marker={"size": 5},
                hovertemplate="epoch %{x}: %{y:.1%}<extra>" + name + "</extra>",
            ),
            row=1,
            col=1,
        )
    last = int(epochs["epoch"].max())
    figure.update_xaxes(title_text="epoch", range=[0.5, last + 0.5], dtick=1 if last <= 12 else None, row=1, col=1)
    figure.update_yaxes(title_text="clips right, pooled", range=[0, 1.02], tickformat=".0%", row=1, col=1)
