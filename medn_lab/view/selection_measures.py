"""Dependence and leakage of a selection of clips beside those of all: the words, and the still picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.view import theme
from medn_lab.view.dependence import NAMES
from medn_lab.view.theme import as_text

NEEDED = ("kind", "measure", "branch", "target", "value", "chance", "reason")
NOT_ON_A_SCALE = ("hsic",)
"""Measures whose size means nothing by itself: told as numbers, drawn nowhere."""

LOWEST_AUC = 0.3
_MEASURE_COLOUR = theme.BRANCH_COLOURS["fused"]


def measure_title(row: pd.Series) -> str:
    """What a row measures, in words.

    Examples
    --------
    >>> measure_title(pd.Series({"kind": "leakage", "measure": "auc", "branch": "emotion", "target": "AUs"}))
    'AUs from the emotion branch'
    """
    if row["kind"] == "leakage":
        return f"{row['target']} from the {row['branch']} branch"
    return NAMES.get(row["measure"], str(row["measure"]))


def is_leak(row: pd.Series) -> bool:
    """Whether a row tells of a branch what the other should hold."""
    return (row["branch"], row["target"]) in (("emotion", "AUs"), ("motion", "emotion"))


def measure_colour(row: pd.Series) -> str:
    """The colour of the branch that a row is about; of the fused one where it is about both."""
    return theme.branch_colour(row["branch"]) if row["kind"] == "leakage" else _MEASURE_COLOUR


def place_of(row: pd.Series, name: str) -> float:
    """Where a figure of a row lies on its scale, in [0, 1]: dependence from 0 to 1, an AUC from .3 to 1; or NaN."""
    value = float(row[name])
    if row["measure"] in NOT_ON_A_SCALE or not np.isfinite(value):
        return np.nan
    low = LOWEST_AUC if row["kind"] == "leakage" else 0.0
    return float(np.clip((value - low) / (1 - low), 0.0, 1.0))


def plot_selection_measures(
    measured: pd.DataFrame, *, of_all: pd.DataFrame | None = None, width: int = 960, height: int = 300
) -> go.Figure:
    """Draw dependence and leakage of some clips beside those of all.

    A filled dot is the selection, an open one all clips, the grey tick what chance gives with the same clips, and the
    diamond what the branch's own factor allows. A selection made by looking at a map is no sample: the picture
    describes it and tests nothing. HSIC has no scale of its own and is left out.

    Parameters
    ----------
    measured : DataFrame
        As ``medn.diagnose.selection_measures(features)(clip_ids)`` returns.
    of_all : DataFrame, optional
        The same of all clips.
    width, height : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a column is missing.

    See Also
    --------
    medn_lab.diagnose.selection_measures, plot_dependence, plot_leakage

    Examples
    --------
    >>> from medn_lab.diagnose import selection_measures
    >>> from medn_lab.records import BranchFeatures
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(40)], "subject": list("abcd") * 10})
    >>> both = np.random.default_rng(0).normal(size=(40, 3))
    >>> measure = selection_measures(BranchFeatures(both, both, both, table))
    >>> figure = plot_selection_measures(measure(table["clip_id"][:20]))
    >>> figure.layout.title.text
    '<b>20 clips</b>'
    """
    missing = [name for name in NEEDED if name not in measured]
    if missing:
        raise ValueError(f"the table of measures lacks {', '.join(missing)}")
    figure = make_subplots(
        rows=1,
        cols=2,
        horizontal_spacing=0.27,
        subplot_titles=("Dependence of the branches", "Leakage: AUC of a probe"),
    )
    for column, kind in enumerate(("dependence", "leakage"), start=1):
        rows = measured[(measured["kind"] == kind) & ~measured["measure"].isin(NOT_ON_A_SCALE)]
        titles = [measure_title(row) for _, row in rows.iterrows()]
        colours = [measure_colour(row) for _, row in rows.iterrows()]
        beside = None if of_all is None else _in_order(of_all, rows)
        layers = [
            ("chance", rows["chance"], {"symbol": "line-ns", "size": 15, "line": {"width": 2, "color": theme.INK}})
        ]
        if kind == "leakage" and "allowed" in rows:
            layers.append(("allowed", rows["allowed"], {"symbol": "diamond-open", "size": 9, "color": theme.INK}))
        if beside is not None:
            layers.append(("all clips", beside, {"symbol": "circle-open", "size": 12, "color": colours}))
        layers.append(("selected clips", rows["value"], {"symbol": "circle", "size": 9, "color": colours}))
        for name, values, marker in layers:
            figure.add_trace(
                go.Scatter(
                    x=values, y=titles, mode="markers", name=name, legendgroup=name, marker=marker,
                    showlegend=column == 2, hovertemplate=f"%{{y}}: %{{x:.3f}} ({name})<extra></extra>",
                ),
                row=1, col=column,
            )  # fmt: skip
        for place, (_, row) in enumerate(rows.iterrows()):
            if row["reason"]:
                figure.add_annotation(
                    text=as_text(row["reason"]), x=0, xref="x domain", xanchor="left", y=place,
                    showarrow=False, yshift=-11,
                    font={"size": 10}, row=1, col=column,
                )  # fmt: skip
    n_clips = int(measured["drawn_from"].max()) if len(measured) and "drawn_from" in measured else 0
    title = f"<b>{n_clips} clips</b> beside all" if of_all is not None else f"<b>{n_clips} clips</b>"
    subtitle = (
        "lower is better decoupled, but for the last two, which a branch should have; chance: clips exchanged, or"
        " labels shuffled, within each subject"
    )
    theme.finish(figure, width=width, height=height, title=title, subtitle=subtitle, margin=(190, 20, 92, 62))
    figure.update_yaxes(autorange="reversed", showgrid=True)
    figure.update_xaxes(zeroline=False)
    figure.update_xaxes(range=[-0.12, 1.04], row=1, col=1)
    figure.update_xaxes(range=[LOWEST_AUC, 1.03], row=1, col=2)
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": -0.13, "yanchor": "top", "itemsizing": "trace"})
    return figure


def _in_order(table: pd.DataFrame, rows: pd.DataFrame) -> list[float]:
    keys = ["kind", "measure", "branch", "target"]
    known = table.set_index(keys)["value"]
    return [float(known.get(tuple(row), np.nan)) for row in rows[keys].itertuples(index=False)]
