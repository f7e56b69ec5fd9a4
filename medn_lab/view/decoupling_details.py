"""Figures behind a decoupling report: correlations, calibration of p values, measures of a selection, CoFM's gate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from scipy.stats import kstwo

from medn_lab.records import BranchFeatures
from medn_lab.view import theme
from medn_lab.view.decoupling import LEVEL, MEASURES
from medn_lab.view.marks import NULL_BAND, counted, forest, heat, level, need, side_by_side
from medn_lab.view.rows import colouring
from medn_lab.view.theme import as_text

SIGNED_SCALE = ((0.0, "#2166AC"), (0.25, "#8DBBDC"), (0.5, "#F5F5F3"), (0.75, "#F0A58A"), (1.0, "#B2182B"))


def plot_branch_correlation(
    correlation: ArrayLike | pd.DataFrame, *, n_clips: int | None = None, limit: float = 1.0, width: int = 620
) -> go.Figure:
    """Draw the correlation of every motion feature with every emotion feature.

    Features are sorted by their mean absolute correlation, the largest at the upper left. Decoupled branches give an
    even white field; a stripe is a feature of one branch with which many features of the other correlate. Of p x q
    correlations a few large ones occur by chance: with `n_clips`, the figure states below what size 95 % of them stay
    without any dependence.

    Parameters
    ----------
    correlation : (p, q) array-like
        In [-1, 1], NaN for a feature without variation: ``medn.diagnose.branch_correlation(motion, emotion)``.
    n_clips : int, optional
        From which each correlation was computed; known of the table that ``branch_correlation`` returns.
    limit : float
        Correlation at which the colours end, in (0, 1].
    width : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If it is not a matrix of correlations.

    See Also
    --------
    medn_lab.diagnose.branch_correlation

    Examples
    --------
    >>> plot_branch_correlation(np.array([[0.9, 0.0], [0.1, -0.5]]), n_clips=50).data[-1].z.tolist()
    [[0.9, 0.0], [0.1, -0.5]]
    """
    matrix = np.asarray(correlation, dtype=float)
    strength, largest = np.abs(matrix), np.nanmax(np.abs(matrix), initial=0.0)
    if matrix.ndim != 2 or not matrix.size or largest > 1 + 1e-9:
        found = f"this one has shape {matrix.shape}, up to {largest:.3g}"
        raise ValueError(f"give a (p, q) matrix of correlations; {found}")
    known, (p, q) = strength[np.isfinite(matrix)], matrix.shape
    n_clips = n_clips or getattr(correlation, "attrs", {}).get("n_clips")
    rows, columns = (np.argsort(-np.nan_to_num(strength).mean(axis=axis), kind="stable") for axis in (1, 0))
    figure, shown = go.Figure(), matrix[np.ix_(rows, columns)]
    heat(figure, shown, rows=[""] * p, columns=[""] * q, scale=SIGNED_SCALE, limits=(-limit, limit), bar="r")
    figure.update_traces(xgap=0, ygap=0)
    ids = np.stack(np.broadcast_arrays(rows[:, None], columns), axis=-1)
    hover = "motion %{customdata[0]}, emotion %{customdata[1]}: %{z:+.3f}<extra></extra>"
    figure.data[-1].update(customdata=ids, colorbar_tickformat="+.2~f", hovertemplate=hover)
    lines = [f"mean |r| {known.mean():.3f}, largest {largest:.2f}" if len(known) else "no feature varies"]
    if n_clips is not None:
        chance = min(1.0, 1.96 / np.sqrt(max(n_clips - 1, 1)))
        lines[0] += f" · {counted(n_clips, 'clip')}: by chance 95 % stay below {chance:.2f}"
    constant = int(sum(np.isnan(matrix).all(axis=axis).sum() for axis in (0, 1)))
    lines += [f"grey: {constant} of {p + q} features do not vary"] * (constant > 0)
    for branch, axis in (("motion", "yaxis"), ("emotion", "xaxis")):
        name = f"<b style='color:{theme.branch_colour(branch)}'>{branch}</b> features (sorted)"
        figure.layout[axis].update(title_text=name, showticklabels=False, ticks="")
    inner = width - 64 - 84
    return theme.finish(
        figure, width=width, body=float(np.clip(inner * p / q, 190, inner)), l=64, r=84,
        title="<b>Correlation between the branches' features</b>", subtitle="<br>".join(lines),
    )  # fmt: skip


def plot_p_values(p_values: pd.DataFrame, *, width: int = 560) -> go.Figure:
    """Draw the distribution function of the p values of many draws in which it is known what was planted.

    Where nothing was planted, p should be at most .05 in 5 of 100 draws, at most .5 in 50, and so on: the line follows
    the diagonal and stays in the grey band, which 95 of 100 such lines never leave (Kolmogorov-Smirnov). Above the band
    the test rejects too often, below it too rarely. Where something was planted, the height at the dotted line is the
    power: the share of draws in which it is found at .05.

    Parameters
    ----------
    p_values : DataFrame
        A column a setting, a draw a row, each in [0, 1]; NaN where there was no draw.
    width : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a column holds no draw, or a p value outside [0, 1].

    See Also
    --------
    medn_lab.diagnose.permutation_test

    Examples
    --------
    >>> draws = pd.DataFrame({"nothing planted": np.linspace(0.01, 1, 100), "planted": np.linspace(0.0, 0.1, 100)})
    >>> plot_p_values(draws).layout.title.text
    '<b>Distribution of p values</b>'
    """
    wrong = (p_values < 0).any() | (p_values > 1).any() | p_values.isna().all()
    if wrong.any():
        raise ValueError(f"p values lie in [0, 1]; the column {wrong.idxmax()!r} has none, or others")
    settings = {str(name): p_values[name].dropna().sort_values() for name in p_values}
    draws = [len(values) for values in settings.values()]
    figure, edge, half = go.Figure(), np.linspace(0, 1, 101), kstwo.ppf(0.95, min(draws))
    figure.add_scatter(
        x=np.concatenate([edge, edge[::-1]]), y=np.clip(np.concatenate([edge + half, edge[::-1] - half]), 0, 1),
        fill="toself", fillcolor=NULL_BAND, line={"width": 0}, mode="lines", hoverinfo="skip", meta="band",
        name="95 of 100 lines stay here if there is no effect",
    )  # fmt: skip
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"color": theme.INK, "width": 1})
    for place, (name, values) in enumerate(settings.items()):
        found = f"{(values <= LEVEL).mean():.3f}".removeprefix("0")
        figure.add_scatter(
            x=np.array([0, *values, 1]), y=np.append(np.linspace(0, 1, len(values) + 1), 1), mode="lines", meta=name,
            line={"shape": "hv", "width": 2.5, "color": theme.category_style(place)[0]},
            name=f"{as_text(name)}: <b>{found}</b> at or below .05",
            hovertemplate=f"{as_text(name)}<br>p at or below %{{x:.2f}}: %{{y:.0%}}<extra></extra>",
        )  # fmt: skip
    level(figure, LEVEL, text="p = .05", dash="dot")
    shares = {"range": [-0.01, 1.01], "zeroline": False}
    figure.update_xaxes(title_text="p", **shares)
    figure.update_yaxes(title_text="share of draws with at most this p", tickformat=".0%", **shares)
    counts = f"{draws[0]} draws each" if len(set(draws)) == 1 else f"{min(draws)} to {max(draws)} draws"
    title = "<b>Distribution of p values</b>"
    return theme.finish(figure, width=width, body=320, title=title, subtitle=counts)


def plot_selection_measures(
    measured: pd.DataFrame, *, of_all: pd.DataFrame | None = None, width: int = 960
) -> go.Figure:
    """Draw dependence and leakage of some clips and of all.

    A filled marker is the selection, an open one all clips, the tick what chance gives with the same clips, and the
    diamond what the branch's factor allows. A selection made on a map is no sample: the figure describes it and
    tests nothing. HSIC has no scale that the others share; its values stand as numbers.

    Parameters
    ----------
    measured : DataFrame
        As ``medn.diagnose.selection_measures(features)(clip_ids)`` returns.
    of_all : DataFrame, optional
        The same of all clips.
    width : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a column is missing or there is no row.

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
    >>> plot_selection_measures(measure(table["clip_id"][:20])).layout.title.text
    '<b>Dependence and leakage of 20 clips</b>'
    """
    keys = ["kind", "measure", "branch", "target"]
    need(measured, [*keys, "value", "chance", "reason"], maker="diagnose.selection_measures(features)(clip_ids)")
    table = measured.reset_index(drop=True).astype({"reason": object}).assign(every=np.nan)
    if of_all is not None:
        wanted = pd.MultiIndex.from_frame(table[keys])
        table["every"] = of_all.set_index(keys)["value"].reindex(wanted).to_numpy(dtype=float)
    hsic = table["measure"] == "hsic"
    known = table[hsic & table["value"].notna()]
    of_these, of_every = (known[name].map("{:.2g}".format).astype(object) for name in ("value", "every"))
    texts = of_these + ", all clips " + of_every
    table.loc[known.index, "reason"] = texts.str.replace(", all clips nan", "") + " (no common scale)"
    table.loc[hsic, ["value", "chance", "every"]] = np.nan
    references = {"allowed": "allowed", "chance": "chance"} | ({} if of_all is None else {"every": "all clips"})
    of_branch = table["target"] + " from the " + table["branch"] + " branch"
    table["label"] = of_branch.where(table["branch"] != "", table["measure"].replace(MEASURES)).map(as_text)
    gap = theme.room_for(table["label"]) / (width - 220)
    figure = side_by_side("<b>Dependence</b>", "<b>Leakage (AUC)</b>", gap=gap)
    for col, kind, start, stop in ((1, "dependence", -0.08, 1.04), (2, "leakage", 0.34, 1.03)):
        rows = table[table["kind"] == kind]
        colours = [theme.branch_colour(branch or "fused") for branch in rows["branch"]]
        look: dict[str, Any] = {"name": "selected clips", "colour": colours, "references": references, "legend": False}
        forest(figure, rows, labels=list(rows["label"]), **look, row=1, col=col)
        least = np.fmin(start, rows[["value", "chance", "allowed", "every"]].min().min())
        figure.update_xaxes(zeroline=False, range=[least - 0.04, stop], row=1, col=col)
    used, of = (int(measured[name].max()) if name in measured else 0 for name in ("n_clips", "drawn_from"))
    lines = ["● these clips" + " ○ all clips" * (of_all is not None) + " | chance ◇ allowed"]
    lines += [f"{used} of them sampled for this figure"] * (0 < used < of)
    lines.append("lower is better, except for a branch's own factor")
    return theme.finish(
        figure, width=width, body=30 * max((table["kind"] == "dependence").sum(), 4), l=200,
        title=f"<b>Dependence and leakage of {counted(of or used, 'clip')}</b>", subtitle=" · ".join(lines),
    )  # fmt: skip


def plot_gate(features: BranchFeatures, *, by: str = "label", width: int = 820) -> go.Figure:
    """Draw the gate of every clip, grouped by a column of the table.

    A point is a clip: the mean of its gate over the fused feature's dimensions, 1 all motion, 0 all emotion. The box
    spans the quartiles of a group, its line is the median. A gate near 0.5 everywhere means that both sides are always
    used; it does not mean that they are used for different things.

    Parameters
    ----------
    features : BranchFeatures
        Of a network with both branches and CoFM.
    by : str
        Column to group by, such as ``label`` or ``action_units``.
    width : int
        In pixels.

    Returns
    -------
    Figure
        One trace a group, the largest share of motion first.

    Raises
    ------
    ValueError
        If there is no gate (one branch, or concatenation and sum).

    See Also
    --------
    medn_lab.evaluate.extract_features

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "label": ["fear", "others"] * 2})
    >>> fused = np.zeros((4, 8))
    >>> features = BranchFeatures(fused, fused, fused, table, gate=np.full((4, 8), 0.7))
    >>> figure = plot_gate(features)
    >>> figure.layout.title.text
    '<b>Gate of CoFM</b> · 4 clips by label'
    """
    if features.gate is None:
        raise ValueError("these features have no gate: only a network with both branches and CoFM has one")
    colours = colouring(features.table, by)
    table = features.table.assign(gate=features.gate.mean(axis=1), group=colours.own)
    medians = table.groupby("group")["gate"].median().sort_values(ascending=False, kind="stable")
    figure, names = go.Figure(), []
    for name in medians.index:
        colour = colours.styles.get(name, (theme.GREY,))[0]
        own = table[table["group"] == name]
        names.append(f"{as_text(name)} ({len(own)})")
        figure.add_box(
            x=own["gate"], name=names[-1], boxpoints="all", jitter=0.6, pointpos=0, fillcolor=theme.CLEAR, width=0.7,
            marker={"size": 5, "color": colour, "opacity": 0.6}, line={"color": colour, "width": 2}, hoveron="points",
            text=own["clip_id"].map(as_text), hovertemplate="%{text}: %{x:.3f}<extra></extra>", showlegend=False,
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(title_text="mean gate: 0 emotion, 1 motion")
    return theme.finish(
        figure, width=width, body=34 * len(names) + 16, l=theme.room_for(names),
        title=f"<b>Gate of CoFM</b> · {counted(len(table), 'clip')} by {as_text(by.replace('_', ' '))}",
    )  # fmt: skip
