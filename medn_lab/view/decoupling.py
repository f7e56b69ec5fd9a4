"""Figures of a decoupling report: dependence, leakage, information and any other kind of row; a row in words."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import DecouplingReport
from medn_lab.view import theme
from medn_lab.view.marks import (
    ABOVE,
    ESTIMATE,
    REFERENCE,
    SMALLEST,
    WITHIN,
    counted,
    forest,
    heat,
    interval_text,
    need,
    room_for,
)
from medn_lab.view.theme import as_text

MEASURES = {
    "linear_cka": "linear CKA",
    "distance_correlation": "distance correlation, squared",
    "hsic": "HSIC",
    "canonical_correlations": "first canonical correlation",
    "branch_correlation": "mean squared correlation",
    "absolute_cosine": "mean |cosine| within a clip",
    "auc": "AUC",
    "nats": "nats a clip",
    "ridge": "ridge, bits a clip",
    "rbf": "Gaussian kernel, bits a clip",
    "knn": "nearest neighbours, bits a clip",
    "boosting": "boosted trees, bits a clip",
    "mlp": "small network, bits a clip",
}
MEANINGS = {
    "linear_cka": "Linear similarity of the two arrangements of the clips: 0 without dependence, 1 for a rotated copy.",
    "distance_correlation": "Linear and nonlinear dependence: 0 without dependence, 1 for a rotated copy.",
    "hsic": "Any dependence that a Gaussian kernel detects. It has no scale: compare it with its null only.",
    "canonical_correlations": "The largest correlation of a direction in one branch with one in the other. Many"
    " features make it large by chance.",
    "branch_correlation": "The mean squared correlation over all pairs of features; linear dependence only.",
    "absolute_cosine": "How parallel the two features of a clip are, which the orthogonal loss lowers. 0 does not mean"
    " that the branches are independent.",
    "auc": "AUC of a probe on subjects that it was not trained on: 0.5 is chance, 1 is perfect.",
    "nats": "An upper bound on what the code can say about a clip. More than the entropy of its factor leaves room for"
    " a leak and is not yet a leak.",
} | dict.fromkeys(
    ("ridge", "rbf", "knn", "boosting", "mlp"),
    "Usable information: the bits that a reader of this kind saves when it codes the target of subjects that it was not"
    " trained on. 0 is nothing; below 0 the reader took noise for a dependence.",
)
"""What each measure of the library says, one sentence or two."""

DIRECTIONS = {
    "lower": "Lower is better decoupled.",
    "higher": "Higher is better: the branch should hold this target.",
    "at most allowed": "It should not exceed what is allowed.",
}
TITLES = {
    "dependence": "Dependence between the branches",
    "leakage": "Leakage",
    "information": "Information in the emotion code",
    "conditional": "Conditional leakage",
    "readers": "Usable information by reader",
}
EXCESS_SCALE = ((0.0, "#9DBFE6"), (0.4, "#DCE8F5"), (0.5, "#F4F4F2"), (0.6, "#FBDCD3"), (1.0, "#E2553F"))
EXCESS_RANGE = 0.4
"""The excess at which the colours end."""
LEVEL = 0.05
_LINE = 26


def plot_decoupling(
    report: DecouplingReport | pd.DataFrame, *, kind: str = "dependence", width: int = 960
) -> go.Figure:
    """Draw all rows of one kind of a report, each value with its interval, its null and what is allowed.

    Each measure has an axis; the models share it. The grey band runs from the mean of the null to its 95th percentile,
    the threshold. A filled red marker has p of .05 or less, corrected for the number of tests where that is known:
    chance does not explain the value. The other markers are open and green. A diamond is what is allowed: the same
    measure of the factors that the branches should hold, or the entropy of the factor that a code should hold. Leakage
    is drawn as :func:`plot_leakage` does.

    Parameters
    ----------
    report : DecouplingReport or DataFrame
        A report, or rows of its table.
    kind : str
        Of the rows: ``dependence``, ``leakage``, ``information`` or any other kind in the table.
    width : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the table has no row of this kind, or lacks the column ``measure`` or ``value``.

    See Also
    --------
    plot_dependence, plot_leakage, medn_lab.diagnose.decoupling_report

    Examples
    --------
    >>> row = {"model": "tiny", "kind": "information", "measure": "nats", "value": 1.2, "low": 1.1, "high": 1.3}
    >>> plot_decoupling(pd.DataFrame([row | {"n_clips": 80, "n_subjects": 8}]), kind="information").layout.title.text
    '<b>Information in the emotion code</b>'
    """
    table = report.table if isinstance(report, DecouplingReport) else report
    rows = table[table["kind"] == kind] if "kind" in table else table
    if not len(rows):
        there = ", ".join(dict.fromkeys(map(str, table.get("kind", [])))) or "none"
        raise ValueError(f"the table has no row of kind {kind!r}; its kinds are {there}")
    if kind == "leakage":
        return plot_leakage(rows, width=width)
    return _measures(rows, kind=kind, width=width)


def plot_dependence(report: DecouplingReport | pd.DataFrame, *, width: int = 960) -> go.Figure:
    """Draw each measure of dependence with its permutation null, as :func:`plot_decoupling` does.

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
    medn_lab.diagnose.decoupling_report, plot_decoupling, plot_leakage

    Examples
    --------
    >>> row = {"measure": "linear_cka", "given": "", "within": "", "value": 0.3, "null_mean": 0.0}
    >>> table = pd.DataFrame([row | {"null_95": 0.02, "p": 0.01, "n_clips": 80, "n_subjects": 8, "direction": "lower"}])
    >>> plot_dependence(table).layout.title.text
    '<b>Dependence between the branches</b>'
    """
    table = report.dependence if isinstance(report, DecouplingReport) else report
    need(table, ("measure", "value", "null_mean", "null_95", "p"), maker="diagnose.decoupling_report")
    return _measures(table, kind="dependence", width=width)


def _measures(table: pd.DataFrame, *, kind: str, width: int) -> go.Figure:
    """A panel a measure, a line a row; two side by side where they have the same lines and no intervals."""
    need(table, ("measure", "value"), maker="diagnose.decoupling_report")
    texts = ["model", "given", "branch", "target", "within", "reason"]
    table = table.reindex(columns=table.columns.union([*texts, "p"], sort=False))
    table = table.astype(dict.fromkeys(texts, object)).fillna(dict.fromkeys(texts, ""))
    groups = {str(name): rows for name, rows in table.groupby("measure", sort=False)}
    labels = {name: _line_labels(rows, kind, several=len(set(table["model"])) > 1) for name, rows in groups.items()}
    first = next(iter(labels.values()))
    wide = "low" in table and np.isfinite(table["low"].astype(float)).any()
    same = len(set(first)) == len(first) and all(sorted(one) == sorted(first) for one in labels.values())
    aligned = same and len(groups) > 1 and not wide
    n_columns, n_rows = (2, (len(groups) + 1) // 2) if aligned else (1, len(groups))
    sizes = [len(first)] * n_rows if aligned else [len(one) for one in labels.values()]
    left, right, top, gap = room_for(chain(*labels.values())), 210 if wide else 140, 98, 62
    height = top + 44 + _LINE * sum(sizes) + gap * (n_rows - 1)
    figure = make_subplots(
        rows=n_rows, cols=n_columns, row_heights=sizes,
        horizontal_spacing=(right + 12) / max(width - left - right, 300),
        vertical_spacing=gap / (height - top - 44) if n_rows > 1 else 0,
        subplot_titles=[f"<b>{as_text(MEASURES.get(name, name.replace('_', ' ')))}</b>" for name in groups],
    )  # fmt: skip
    factors = ", ".join(dict.fromkeys(name for name in table["target"] if name)) or "factor"
    allowed = f"entropy of the {factors}" if kind == "information" else "allowed"
    for number, (name, rows) in enumerate(groups.items()):
        own = first if aligned else labels[name]
        rows = rows.iloc[[labels[name].index(label) for label in own]] if aligned else rows
        where: dict[str, Any] = {"row": number // n_columns + 1, "col": number % n_columns + 1}
        p = _judged_p(rows)
        colours = np.where(np.isnan(p), ESTIMATE, np.where(p <= LEVEL, ABOVE, WITHIN))
        forest(
            figure, rows, labels=own, name="value", colour=list(colours), open_marker=p > LEVEL,
            references={"allowed": allowed}, legend=False, **where,
        )  # fmt: skip
        figure.data[-1].ids = [str(one) for one in rows.index]
        figure.update_yaxes(showticklabels=not (aligned and number % 2), **where)
        figure.layout.annotations = [*figure.layout.annotations, *_value_texts(rows, figure.data[-1])]
        ends = rows.reindex(columns=["value", "low", "high", "null_mean", "null_95", "allowed"]).to_numpy(dtype=float)
        ends = np.append(ends[np.isfinite(ends)], [0.0] if kind in TITLES and kind != "conditional" else [])
        if len(ends):
            pad = 0.08 * np.ptp(ends) or 0.1
            figure.update_xaxes(
                range=[ends.min() - pad, ends.max() + pad], zeroline=True, nticks=6, exponentformat="none", **where
            )
    title = TITLES.get(kind, kind.replace("_", " ").capitalize())
    return theme.finish(
        figure, width=width, height=height, title=f"<b>{as_text(title)}</b>", margin=(left, right, top, 44),
        subtitle=_measures_subtitle(table, kind, allowed),
    )  # fmt: skip


def _judged_p(rows: pd.DataFrame) -> np.ndarray:
    """The p corrected for the number of tests, or the plain p where there is none."""
    plain = rows["p"].astype(float)
    return (rows["p_family"].astype(float).fillna(plain) if "p_family" in rows else plain).to_numpy()


def _line_labels(rows: pd.DataFrame, kind: str, *, several: bool) -> list[str]:
    """What distinguishes the rows of one measure: model, target, branch and what is given."""
    conditional, labels = (rows["given"] != "").any(), []
    for row in rows.to_dict("records"):
        parts = [str(row["model"])] if several else []
        if kind != "information":
            parts += [str(row["target"])] * bool(row["target"]) + [f"{row['branch']} branch"] * bool(row["branch"])
        parts += [f"given {_factor(row['given'])}" if row["given"] else "unconditional"] if conditional else []
        labels.append(as_text(" · ".join(parts) or row["model"] or "value"))
    return labels


def _value_texts(rows: pd.DataFrame, trace: go.Scatter) -> list[dict[str, Any]]:
    """Each value with its interval and its p at the right of its line."""
    notes = []
    side = {"x": 1, "xref": f"{trace.xaxis or 'x'} domain", "xanchor": "left", "xshift": 6, "yref": trace.yaxis or "y"}
    for place, (one, p) in enumerate(zip(rows.to_dict("records"), _judged_p(rows), strict=True)):
        text = [_value(one)] if np.isfinite(one["value"]) else []
        text += ["p ≥ .999" if p >= 0.9995 else f"p {p:.3f}".replace("p 0.", "p .")] if np.isfinite(p) else []
        notes.append(side | {"y": place, "text": "  ".join(text), "showarrow": False, "font": {"size": SMALLEST}})
    return notes


def _measures_subtitle(table: pd.DataFrame, kind: str, allowed: str) -> str:
    """The clips and how the null was made; below them, what the marks mean."""
    facts, marks = [_sample(table)], []
    known = table.reindex(columns=["p", "null_95", "low", "allowed"]).astype(float).notna()
    within = [name for name in dict.fromkeys(table["within"]) if name]
    if within or kind == "dependence":
        inside = f"inside {as_text(', '.join(map(_factor, within)))}" if within else "over all clips"
        facts.append(f"clips exchanged {inside}" + ", or over all" * bool(within and "" in set(table["within"])))
    if known["p"].any():
        marks.append(f"<span style='color:{ABOVE}'>●</span> p ≤ .05 <span style='color:{WITHIN}'>○</span> p > .05")
        corrected = "p_family" in table and table["p_family"].notna().any()
        facts += ["p corrected for the number of tests"] * bool(corrected)
    marks += ["grey: null, mean to 95 %"] * bool(known["null_95"].any())
    marks += [f"<span style='color:{REFERENCE}'>◇</span> {as_text(allowed)}"] * bool(known["allowed"].any())
    marks += ["├┤ 95 % interval"] * bool(known["low"].any())
    return "<br>".join(filter(None, [" · ".join(filter(None, facts)), " · ".join(marks)]))


def _sample(table: pd.DataFrame) -> str:
    """The largest number of clips and of subjects in the table, in words."""
    counts = [
        counted(int(table[name].max()), what)
        for name, what in (("n_clips", "clip"), ("n_subjects", "subject"))
        if name in table and np.isfinite(table[name].max())
    ]
    return " of ".join(counts)


def _factor(given: str) -> str:
    return str(given).replace("aus", "AU set").replace("_", " ")


def _value(row: Mapping[str, Any]) -> str:
    """The value of a row with its interval, in three decimals or, where it is small, five."""
    value = _number(row, "value")
    digits = 3 if abs(value) >= 0.01 or not value else 5
    return interval_text(value, _number(row, "low"), _number(row, "high"), digits=digits)


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return np.nan if value is None or value == "" else float(value)


def explain_row(row: Mapping[str, Any]) -> tuple[str, str]:
    """The figures of a row of ``DecouplingReport.table`` in words, and how to read them; plain text.

    Examples
    --------
    >>> explain_row({"kind": "leakage", "measure": "auc", "branch": "motion", "target": "cue", "value": 0.5})[0]
    'cue from the motion branch: AUC 0.500.'
    """
    text = {name: str(row.get(name, "")) for name in ("kind", "measure", "target", "branch", "model", "given")}
    name = MEASURES.get(text["measure"], text["measure"].replace("_", " "))
    aus = "all AUs" if text["kind"] == "readers" else "AUs (mean)"
    subject = f"{aus if text['target'] == 'AUs' else text['target']} from the {text['branch']} branch"
    title = {"dependence": f"{name} of motion and emotion branch", "information": TITLES["information"]}.get(
        text["kind"]
    )
    title = title or (subject if text["branch"] else text["target"] or text["kind"] or "measure")
    title += f" of {text['model']}" if text["model"] else ""
    title += f", given {_factor(text['given'])}" if text["given"] else ""
    sizes = [
        f"{_number(row, column):.0f} {what}"
        for column, what in (("n_positive", "clips with it"), ("n_clips", "clips"), ("n_subjects", "subjects"))
        if np.isfinite(_number(row, column))
    ]
    basis = f"Computed from {', '.join(sizes)}." if sizes else ""
    if not np.isfinite(_number(row, "value")):
        return f"{title}: no value, {row.get('reason') or 'not known'}.", basis
    facts = [_value(row) if text["kind"] == "dependence" else f"{name} {_value(row)}"]
    if np.isfinite(allowed := _number(row, "allowed")):
        facts.append(f"allowed {allowed:.3f}")
    if np.isfinite(excess := _number(row, "excess")):
        ends = _number(row, "excess_low"), _number(row, "excess_high")
        facts.append(f"excess {interval_text(excess, *ends, sign='+')}")
    if np.isfinite(mean := _number(row, "null_mean")):
        top, p = _number(row, "null_95"), _number(row, "p")
        facts.append(f"null mean {mean:.3g}" + (f", 95th percentile {top:.3g}" if np.isfinite(top) else ""))
        facts += [f"p {p:.3g}"] if np.isfinite(p) else []
        if np.isfinite(p := _number(row, "p_family")) and _number(row, "n_tests") > 1:
            facts[-1] += f", corrected for {_number(row, 'n_tests'):.0f} tests {p:.3g}"
    if np.isfinite(worst := _number(row, "worst_auc")):
        over = _number(row, "worst_excess")
        facts.append(f"worst single AU {row.get('worst_target')}, AUC {worst:.3f}")
        facts[-1] += f", excess {over:+.3f}" if np.isfinite(over) else ""
    reading = [MEANINGS.get(text["measure"], ""), DIRECTIONS.get(str(row.get("direction", "")), ""), _verdict(row)]
    if text["kind"] == "dependence" and np.isfinite(_number(row, "null_95")):
        shifted = "by shifts" in str(row.get("within", ""))
        assumed = "stationary in time" if shifted else "exchangeable, without a drift in time"
        reading.append(f"The null assumes that the clips of a group are {assumed}.")
    return f"{title}: {'; '.join(facts)}.", " ".join(filter(None, [*reading, basis]))


def _verdict(row: Mapping[str, Any]) -> str:
    """What the interval of the excess or, without one, p says."""
    if _number(row, "excess_low") > 0:
        return "The interval of the excess lies above 0: a leak."
    if _number(row, "excess_high") < 0:
        return "The interval of the excess lies below 0: the branch says less than its factor allows."
    if np.isfinite(_number(row, "excess_low")):
        return "The interval of the excess includes 0: no leak is shown."
    plain = _number(row, "p")
    if np.isfinite(p := _number(row, "p_family") if np.isfinite(_number(row, "p_family")) else plain):
        within = "It lies within its null: these clips show no effect, which does not prove that there is none."
        return "It lies above its null: chance does not explain it." if p <= LEVEL else within
    return ""


def plot_leakage(
    leakage: pd.DataFrame | DecouplingReport, *, each_au: bool = True, width: int | None = None
) -> go.Figure:
    """Draw the AUC of each target from each branch, and what the branch's factor allows.

    The colour is the excess over what is allowed: red is a leak, white is as much as is allowed, blue is less. A
    triangle marks an excess whose interval over subjects lies above 0. A motion branch should be white at the AUs, an
    emotion branch white at the cue, and neither red anywhere. The number of clips with the target is in brackets after
    its name: few clips give wide intervals.

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
    '<b>Leakage</b>'
    """
    table = leakage.leakage if isinstance(leakage, DecouplingReport) else leakage
    need(table, ("branch", "target", "value", "allowed", "excess", "n_positive"), maker="diagnose.leakage")
    table = table.assign(model=table.get("model", ""), kind="leakage", measure="auc")
    targets = _targets(table, each_au)
    columns = list(dict.fromkeys(zip(table["model"], table["branch"], strict=True)))
    shape = len(targets), len(columns)
    excess, ids = np.full(shape, np.nan), np.full(shape, "", dtype=object)
    texts, hover = np.full(shape, "", dtype=object), np.full(shape, "", dtype=object)
    for number, row in table[table["target"].isin(targets)].iterrows():
        place = targets.index(row["target"]), columns.index((row["model"], row["branch"]))
        excess[place] = row["excess"] if np.isfinite(row["value"]) else np.nan
        texts[place], ids[place] = _cell_text(row), str(number)
        hover[place] = "<br>".join(map(as_text, explain_row(row)[0].split("; ")))
    counts = table.groupby("target")["n_positive"].max().reindex(targets)
    names = [f"<b>{name}, mean</b>" if name == "AUs" else as_text(name) for name in targets]
    labels = [f"{name} ({n:.0f})" if n == n else name for name, n in zip(names, counts, strict=True)]
    heads = [f"<b style='color:{theme.branch_colour(branch)}'>{branch}</b>" for _, branch in columns]
    models = [model for model in dict.fromkeys(table["model"]) if model]
    left, top = max(room_for(labels, size=13), 96), 108 if models else 88
    figure = go.Figure()
    heat(
        figure, excess, rows=labels, columns=heads, scale=EXCESS_SCALE, limits=(-EXCESS_RANGE, EXCESS_RANGE),
        texts=texts, hover=hover, bar="excess",
    )  # fmt: skip
    figure.data[-1].ids = ids.ravel()
    figure.data[-1].colorbar.update(tickformat="+.1f", len=min(1.0, 240 / (34 * len(targets))))
    sample = _sample(table) if {"n_clips", "n_subjects"} <= set(table) else ""
    theme.finish(
        figure, width=width or left + 118 * len(columns) + 96, height=top + 34 * len(targets) + 20,
        title="<b>Leakage</b>", margin=(left, 96, top, 20),
        subtitle=" · ".join(
            filter(None, [sample, "AUC <b>of</b> what is allowed", "▲ interval of the excess above 0"])
        ),
    )  # fmt: skip
    figure.update_xaxes(side="top", tickfont={"size": 13})
    for model in models:
        own = [place for place, (name, _) in enumerate(columns) if name == model]
        figure.add_annotation(
            x=np.mean(own), y=1, yref="paper", yshift=38, text=f"<b>{as_text(model)}</b>", showarrow=False
        )
        if own[0]:
            figure.add_vline(x=own[0] - 0.5, line={"color": theme.INK, "width": 2})
    return figure.add_annotation(
        x=0, xref="paper", y=1, yref="paper", xshift=-4, yshift=14, xanchor="right", text="(clips with it)",
        showarrow=False, font={"size": SMALLEST},
    )  # fmt: skip


def _targets(table: pd.DataFrame, each_au: bool) -> list[str]:
    """The targets from the top: the mean over the AUs, all others, then each AU."""
    there = list(dict.fromkeys(table["target"]))
    single = [name for name in there if name.startswith("AU") and name[2:].isdigit()]
    others = [name for name in there if name not in single and name != "AUs"]
    return [*(["AUs"] if "AUs" in there else []), *others, *(single if each_au or len(single) == len(there) else [])]


def _cell_text(row: pd.Series) -> str:
    """The AUC, a mark where the interval of its excess lies above 0, and what is allowed."""
    if not np.isfinite(row["value"]):
        return "constant" if str(row.get("reason", "")).endswith(" is constant") else "–"
    value, allowed = (f"{row[name]:.2f}".removeprefix("0") for name in ("value", "allowed"))
    mark = " ▲" if _number(row, "excess_low") > 0 else ""
    small = f" <span style='font-size:{SMALLEST}px'>of {allowed}</span>" if np.isfinite(row["allowed"]) else ""
    return f"<b>{value}</b>{mark}{small}"
