"""Pictures of a series of trainings: what each variant scores, what it leaks, and what more persons bring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.view import theme
from medn_lab.view.markup import as_text

_SWITCH_STYLE = {
    "none": ("#8E8E8E", "x"),
    "orthogonal": ("#2F7FD0", "circle"),
    "cross_covariance": ("#E08214", "square"),
    "hsic": ("#7A8F2A", "triangle-up"),
    "adversarial": ("#7D55CC", "triangle-down"),
    "bottleneck": (theme.BRANCH_COLOURS["emotion"], "diamond"),
}
_LIMITS = {"au_only": "AUs alone", "cue_only": "cue alone", "joint": "both"}


def plot_variants(
    table: pd.DataFrame,
    *,
    ceilings: dict[str, float] | None = None,
    measure: str = "accuracy",
    width: int = 960,
    height: int | None = None,
) -> go.Figure:
    """Draw what each variant scores, with its interval and the exact ceilings.

    Parameters
    ----------
    table : DataFrame
        A variant a row, in the order to be drawn: ``variant``, the column `measure`, and its ``_low`` and ``_high``.
    ceilings : dict of str to float, optional
        ``au_only, cue_only, joint``: drawn as lines.
    measure : str
        The column to draw, in [0, 1].
    width : int
        In pixels.
    height : int, optional
        In pixels; by default 26 a variant.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a column is missing or there are no rows.

    See Also
    --------
    plot_frontier

    Examples
    --------
    >>> table = pd.DataFrame({"variant": ["none", "bottleneck"], "accuracy": [0.968, 0.962]})
    >>> table = table.assign(accuracy_low=0.95, accuracy_high=0.98)
    >>> figure = plot_variants(table, ceilings={"au_only": 0.42, "joint": 1.0})
    >>> sorted(figure.data[0].y)
    ['bottleneck', 'none']
    """
    _need(table, ("variant", measure, f"{measure}_low", f"{measure}_high"))
    rows = table.iloc[::-1]
    values, low, high = (rows[name].to_numpy(dtype=float) for name in (measure, f"{measure}_low", f"{measure}_high"))
    names = [as_text(name) for name in rows["variant"]]
    figure = go.Figure(
        go.Scatter(
            x=values,
            y=names,
            error_x={"array": high - values, "arrayminus": values - low, "thickness": 1.6, "width": 4},
            mode="markers",
            marker={"size": 9, "color": theme.BRANCH_COLOURS["fused"]},
            customdata=np.stack([low, high], axis=1),
            hovertemplate="%{y}: %{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<extra></extra>",
            showlegend=False,
        )
    )
    for name, value in (ceilings or {}).items():
        said = f"{_LIMITS.get(name, name)} {value:.2f}"
        figure.add_vline(x=value, line={"dash": "dot", "color": theme.INK, "width": 1.4})
        figure.add_annotation(x=value, y=1.0, yref="paper", yanchor="bottom", text=said, showarrow=False, font_size=11)
    theme.finish(
        figure,
        width=width,
        height=height or 110 + 26 * len(rows),
        title=f"<b>{as_text(measure.replace('_', ' '))}</b> on persons not seen in training, 95 % intervals",
        margin=(230, 30, 72, 48),
    )
    figure.update_xaxes(title_text=as_text(measure.replace("_", " ")))
    return figure


def plot_frontier(table: pd.DataFrame, *, goal: float | None = 0.05, width: int = 960, height: int = 460) -> go.Figure:
    """Draw accuracy against what still leaks of the AUs into the emotion branch, a point a switch and weight.

    Up and to the left is good: right, and free of what the other branch should say.

    Parameters
    ----------
    table : DataFrame
        A setting a row: ``variant`` (the switch), ``weight``, ``accuracy`` and ``emotion_aus_excess``, each of the last
        two with ``_low`` and ``_high``.
    goal : float or None
        The largest excess asked for, drawn as a line.
    width, height : int
        In pixels.

    Returns
    -------
    Figure
        One trace a switch, its weights joined in their order.

    Raises
    ------
    ValueError
        If a column is missing or there are no rows.

    See Also
    --------
    medn_lab.diagnose.leakage, plot_variants

    Examples
    --------
    >>> row = {"variant": "bottleneck", "weight": 0.2, "accuracy": 0.96, "accuracy_low": 0.95, "accuracy_high": 0.97}
    >>> row |= {"emotion_aus_excess": 0.01, "emotion_aus_excess_low": -0.01, "emotion_aus_excess_high": 0.03}
    >>> plot_frontier(pd.DataFrame([row])).data[0].name
    'bottleneck'
    """
    columns = [f"{name}{end}" for name in ("accuracy", "emotion_aus_excess") for end in ("", "_low", "_high")]
    _need(table, ("variant", "weight", *columns))
    figure = go.Figure()
    for place, (switch, rows) in enumerate(table.groupby("variant", sort=False)):
        rows = rows.sort_values("weight")
        colour, symbol = _SWITCH_STYLE.get(str(switch), theme.category_style(place))
        x, x_low, x_high = (rows[f"emotion_aus_excess{end}"].to_numpy(dtype=float) for end in ("", "_low", "_high"))
        y, y_low, y_high = (rows[f"accuracy{end}"].to_numpy(dtype=float) for end in ("", "_low", "_high"))
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                error_x={"array": x_high - x, "arrayminus": x - x_low, "thickness": 1, "width": 3},
                error_y={"array": y_high - y, "arrayminus": y - y_low, "thickness": 1, "width": 3},
                mode="lines+markers+text",
                text=[f"{weight:g}" if weight > 0 else "" for weight in rows["weight"].fillna(0.0)],
                textposition="top right",
                textfont={"color": colour, "size": 11},
                line={"color": colour, "width": 1, "dash": "dot"},
                marker={"color": colour, "symbol": symbol, "size": 10},
                name=as_text(str(switch).replace("_", " ")),
                hovertemplate="excess %{x:.3f}, accuracy %{y:.3f}, weight %{text}<extra>%{fullData.name}</extra>",
            )
        )
    if goal is not None:
        figure.add_vline(x=goal, line={"dash": "dash", "color": theme.INK, "width": 1.4})
        figure.add_annotation(
            x=goal, y=1.0, yref="paper", yanchor="bottom", text=f"goal {goal:g}", showarrow=False, font_size=11
        )
    theme.finish(
        figure,
        width=width,
        height=height,
        title="<b>Right, and kept apart?</b> accuracy and leakage; numbers are decoupling weights",
        margin=(64, 24, 84, 54),
    )
    figure.update_xaxes(title_text="AUs read from the emotion branch: probe AUC minus what the true cue allows")
    figure.update_yaxes(title_text="accuracy, persons not seen")
    figure.update_layout(legend={"y": -0.2})
    return figure


def plot_training_size(
    table: pd.DataFrame,
    *,
    variants: Sequence[str] | None = None,
    ceilings: dict[str, float] | None = None,
    width: int = 960,
    height: int = 420,
) -> go.Figure:
    """Draw accuracy against the number of training persons.

    Parameters
    ----------
    table : DataFrame
        A variant and size a row: ``variant, n_subjects, accuracy, accuracy_low, accuracy_high``.
    variants : sequence of str, optional
        Which to draw, in this order; by default all.
    ceilings : dict of str to float, optional
        ``au_only, cue_only, joint``: drawn as lines.
    width, height : int
        In pixels.

    Returns
    -------
    Figure
        One trace a variant.

    Raises
    ------
    ValueError
        If a column is missing, there are no rows, or a variant is not there.

    Examples
    --------
    >>> table = pd.DataFrame({"variant": "bottleneck", "n_subjects": [6, 24], "accuracy": [0.7, 0.96]})
    >>> figure = plot_training_size(table.assign(accuracy_low=[0.6, 0.95], accuracy_high=[0.8, 0.97]))
    >>> figure.layout.title.text
    '<b>What do more persons bring?</b> 95 % intervals over persons not seen'
    """
    _need(table, ("variant", "n_subjects", "accuracy", "accuracy_low", "accuracy_high"))
    chosen = list(dict.fromkeys(table["variant"])) if variants is None else list(variants)
    absent = [name for name in chosen if name not in set(table["variant"])]
    if absent:
        raise ValueError(f"no variant {absent[0]!r}; there are {', '.join(dict.fromkeys(table['variant']))}")
    figure = go.Figure()
    styles = {"motion only": (theme.BRANCH_COLOURS["motion"], "square")} | _SWITCH_STYLE
    for place, name in enumerate(chosen):
        rows = table[table["variant"] == name].sort_values("n_subjects")
        colour, symbol = styles.get(name, theme.category_style(place + 1))
        y, low, high = (rows[f"accuracy{end}"].to_numpy(dtype=float) for end in ("", "_low", "_high"))
        figure.add_trace(
            go.Scatter(
                x=rows["n_subjects"] * 1.02 ** (place - len(chosen) / 2),  # a little apart, so that intervals show
                y=y,
                error_y={"array": high - y, "arrayminus": y - low, "thickness": 1.2, "width": 4},
                mode="lines+markers",
                line={"color": colour, "width": 1.6},
                marker={"color": colour, "symbol": symbol, "size": 9},
                name=as_text(name),
                customdata=rows["n_subjects"],
                hovertemplate="%{customdata} persons: %{y:.3f}<extra>%{fullData.name}</extra>",
            )
        )
    for name, value in (ceilings or {}).items():
        said = f"{_LIMITS.get(name, name)} {value:.2f}"
        figure.add_hline(y=value, line={"dash": "dot", "color": theme.INK, "width": 1.4})
        figure.add_annotation(
            x=1.0, xref="paper", y=value, text=said, showarrow=False, xanchor="right", yanchor="bottom"
        )
    theme.finish(
        figure,
        width=width,
        height=height,
        title="<b>What do more persons bring?</b> 95 % intervals over persons not seen",
        margin=(64, 24, 84, 44),
    )
    sizes = sorted(set(table["n_subjects"]))
    figure.update_xaxes(title_text="persons in training", type="log", tickvals=sizes, ticktext=[str(n) for n in sizes])
    figure.update_yaxes(title_text="accuracy")
    figure.update_layout(legend={"y": -0.2})
    return figure


def _need(table: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"the table has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
    if not len(table):
        raise ValueError("there is nothing to draw: the table has no rows")
