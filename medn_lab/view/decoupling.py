"""Figures of a decoupling report: dependence, leakage, information and any other kind of row; a row in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import DecouplingReport, reports
from medn_lab.records.reports import NUMBERS, TEXTS, completed, sample_text
from medn_lab.view import marks, theme
from medn_lab.view.marks import ABOVE, ESTIMATE, REFERENCE, SMALLEST, WITHIN, counted, interval_text, need
from medn_lab.view.theme import as_text, room_for, wrapped

_READERS = {
    "ridge": "ridge, bits per clip", "rbf": "Gaussian kernel, bits per clip", "mlp": "small network, bits per clip",
    "knn": "nearest neighbours, bits per clip", "boosting": "boosted trees, bits per clip",
}  # fmt: skip
MEASURES = {**reports.MEASURES, **_READERS, "auc": "AUC", "nats": "nats per clip"}
# What each measure of the library says, one sentence or two.
MEANINGS = {
    "linear_cka": "Linear similarity of the two sets of features: 0 without dependence, 1 for a rotated copy.",
    "distance_correlation": "Linear and nonlinear dependence: 0 without dependence, 1 for a rotated copy.",
    "hsic": "Any dependence that a Gaussian kernel detects. It has no scale: compare it with its null only.",
    "canonical_correlations": "The largest correlation of a direction in one branch with one in the other. Many"
    " features make it large by chance.",
    "branch_correlation": "The mean squared correlation over all pairs of features; linear dependence only.",
    "absolute_cosine": "How parallel the two features of a clip are, which the orthogonal loss lowers. 0 does not mean"
    " that the branches are independent.",
    "auc": "AUC of a probe on subjects that it was not trained on: 0.5 is chance, 1 is perfect.",
    "nats": "An upper bound on the information in the code. Above the entropy of the factor a leak is possible.",
}
MEANINGS |= dict.fromkeys(
    _READERS, "Usable information: the bits that a probe of this kind saves when it codes the target of new subjects."
)
DIRECTIONS = {
    "lower": "Lower is better: less dependence.", "at most allowed": "The value should not exceed the allowed value.",
    "higher": "Higher is better: the branch should contain this target.",
}  # fmt: skip
TITLES = {
    "dependence": "Dependence between the branches", "leakage": "Leakage", "conditional": "Conditional leakage",
    "information": "Information in the emotion code", "readers": "Usable information by reader",
}  # fmt: skip
# Which clips `n_positive` counts, where they are not those with the target.
_THOSE = {"AUs": "with the rarest AU"} | dict.fromkeys(("emotion", "cue", "subject"), "of the rarest class")
EXCESS_SCALE = ((0.0, "#9DBFE6"), (0.4, "#DCE8F5"), (0.5, "#F4F4F2"), (0.6, "#FBDCD3"), (1.0, "#E2553F"))
EXCESS_RANGE = 0.4  # the excess at which the colours end
LEVEL = 0.05


def _factor(given: str) -> str:
    """A factor, or what clips were exchanged inside, in words."""
    return str(given).replace("aus", "AU set").replace("_", " ")


def plot_decoupling(report: DecouplingReport | pd.DataFrame, *, kind: str, width: int = 960) -> go.Figure:
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
    if rows.empty:
        there = ", ".join(dict.fromkeys(map(str, table.get("kind", [])))) or "none"
        raise ValueError(f"the table has no row of kind {kind!r}; its kinds are {there}")
    if kind == "leakage":
        return plot_leakage(rows, width=width)
    need(rows, ("measure", "value"), maker="diagnose.decoupling_report")
    rows = completed(rows).assign(number=[*map(str, range(len(rows)))])  # plotly draws one point of those with one id
    rows["judged"] = rows["p_family"].fillna(rows["p"])  # the p that counts
    # What distinguishes the lines of one measure: model, target, branch and what is given.
    several, conditional, labels = len({*rows["model"]}) > 1, {*rows["measure"][rows["given"] != ""]}, []
    for row in rows.itertuples():
        measured = [row.target, f"{row.branch} branch" * bool(row.branch)] if kind != "information" else []
        given = f"given {_factor(row.given)}" if row.given else "unconditional"
        parts = [row.model * several, *measured, given * (row.measure in conditional)]
        labels.append(wrapped(as_text(" · ".join(filter(None, parts)) or row.model or "value"), 0.36 * width))
    rows["label"] = labels
    groups = {str(name): own for name, own in rows.groupby("measure", sort=False)}
    long = rows["value"].isna() & (rows["reason"].str.len() > 36)  # a reason that would run into the next panel
    first, wide = list(next(iter(groups.values()))["label"]), rows["low"].notna().any() or long.any()
    left, right, gap = room_for(rows["label"]), 210 if wide else 140, 62
    # Two panels side by side where they have the same lines, no intervals, no long reasons and room for the ticks.
    aligned = not wide and len(groups) > 1 and (width - left) / 2 - right >= 150
    aligned &= all(sorted(one["label"]) == sorted({*first}) for one in groups.values())
    n_columns, n_rows = (2, (len(groups) + 1) // 2) if aligned else (1, len(groups))
    sizes = [len(own) for own in groups.values()][:n_rows]
    body = (26 + 12 * max(label.count("<br>") for label in labels)) * sum(sizes) + gap * (n_rows - 1)
    figure = make_subplots(
        rows=n_rows, cols=n_columns, row_heights=sizes, vertical_spacing=gap / body if n_rows > 1 else 0,
        horizontal_spacing=(right + 12) / max(width - left - right, 300),
        subplot_titles=[f"<b>{as_text(MEASURES.get(name, name.replace('_', ' ')))}</b>" for name in groups],
    )  # fmt: skip
    factors = ", ".join(dict.fromkeys(filter(None, rows["target"]))) or "factor"
    allowed = f"entropy of the {factors}" if kind == "information" else "allowed"
    notes: list[dict[str, Any]] = []
    for number, own in enumerate(groups.values()):
        own = own.set_index("label", drop=False).loc[first] if aligned else own
        where: dict[str, Any] = {"row": number // n_columns + 1, "col": number % n_columns + 1}
        digits = marks.decimals(own[["value", "low", "high"]].to_numpy().ravel())
        colours = np.select([own["judged"] <= LEVEL, own["judged"] > LEVEL], [ABOVE, WITHIN], ESTIMATE)
        marks.forest(
            figure, own, labels=list(own["label"]), colour=list(colours), open_marker=own["judged"] > LEVEL,
            references={"allowed": allowed}, legend=False, **where,
        )  # fmt: skip
        figure.data[-1].ids = list(own["number"])
        figure.update_yaxes(showticklabels=not (aligned and number % 2), **where)
        figure.update_xaxes(showticklabels=bool(own[["value", "allowed", "null_95"]].notna().any(axis=None)), **where)
        look = {"xref": f"{figure.data[-1].xaxis or 'x'} domain", "yref": figure.data[-1].yaxis or "y", "x": 1}
        look |= {"xanchor": "left", "xshift": 6, "showarrow": False, "font": {"size": SMALLEST}}
        for y, row in enumerate(own.itertuples()):
            value = interval_text(row.value, row.low, row.high, digits=digits) if np.isfinite(row.value) else ""
            p = "p ≥ .999" if row.judged >= 0.9995 else f"p {row.judged:.3f}".replace("p 0.", "p .")
            notes.append(look | {"y": y, "text": "  ".join(filter(None, [value, p * (row.judged == row.judged)]))})
    figure.layout.annotations = [*figure.layout.annotations, *notes]
    from_zero = "tozero" if kind in TITLES and kind != "conditional" else "normal"
    figure.update_xaxes(rangemode=from_zero, zeroline=True, nticks=6, exponentformat="none")
    facts = [sample_text(rows)]
    if rows["null_95"].notna().any():
        within = dict.fromkeys(_factor(name) or "the whole set" for name in rows["within"])
        facts.append(f"clips exchanged inside {as_text(', '.join(within))}")
    facts += ["p corrected for the number of tests"] * bool(rows["p_family"].notna().any())
    explained = {
        "p": f"<span style='color:{ABOVE}'>●</span> p ≤ .05 <span style='color:{WITHIN}'>○</span> p > .05",
        "null_95": "grey: null, mean to 95 %", "low": "├┤ 95 % interval",
        "allowed": f"<span style='color:{REFERENCE}'>◇</span> {as_text(allowed)}",
    }  # fmt: skip
    known = [text for name, text in explained.items() if rows[name].notna().any()]
    title = TITLES.get(kind, kind.replace("_", " ").capitalize())
    return theme.finish(
        figure, width=width, body=body, title=f"<b>{as_text(title)}</b>", l=left, r=right,
        subtitle="<br>".join(filter(None, [" · ".join(filter(None, facts)), " · ".join(known)])),
    )  # fmt: skip


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
    return plot_decoupling(report, kind="dependence", width=width)


def explain_row(row: Mapping[str, Any]) -> tuple[str, str]:
    """The figures of a row of ``DecouplingReport.table`` in words, and how to read them; plain text.

    Examples
    --------
    >>> explain_row({"kind": "leakage", "measure": "auc", "branch": "motion", "target": "cue", "value": 0.5})[0]
    'cue from the motion branch: AUC 0.500.'
    """
    numbers = pd.to_numeric(pd.Series(row, dtype=object).reindex(NUMBERS), errors="coerce").astype(float)
    n: dict[str, Any] = {key: row.get(key) or "" for key in TEXTS} | numbers.to_dict()
    judged, measure, target = n["p"] if np.isnan(n["p_family"]) else n["p_family"], n["measure"], n["target"]
    name = MEASURES.get(measure, measure.replace("_", " "))
    if n["branch"]:
        aus = "all AUs" if n["kind"] == "readers" else "AUs (mean)"
        target = f"{aus if target == 'AUs' else target} from the {n['branch']} branch"
    titles = {"dependence": f"{name} of motion and emotion branch", "information": TITLES["information"]}
    title = titles.get(n["kind"]) or target or n["kind"] or "measure"
    title += f" of {n['model']}" * bool(n["model"]) + f", given {_factor(n['given'])}" * bool(n["given"])
    those = "of the rarer kind can be exchanged" if n["kind"] == "conditional" else _THOSE.get(n["target"], "with it")
    positive = f"{counted(int(n['n_positive']), 'clip')} {those}" if np.isfinite(n["n_positive"]) else ""
    sizes = ", ".join(filter(None, [sample_text(pd.DataFrame([numbers])), positive]))
    basis = f"Computed from {sizes}." if sizes else ""
    if np.isnan(n["value"]):
        return f"{title}: no value, {n['reason'] or 'not known'}.", basis
    ends = [n["value"], n["low"], n["high"]]
    value = interval_text(*ends, digits=marks.decimals(ends))
    corrected, larger = n["n_tests"] > 1 and np.isfinite(n["p_family"]), bool(np.isfinite(n["worst_excess"]))
    worst = f"worst single AU {n['worst_target']}, AUC {n['worst_auc']:.3f}"
    facts = {
        "value": value if n["kind"] == "dependence" else f"{name} {value}",
        "allowed": f"allowed {n['allowed']:.3f}",
        "excess": f"excess {interval_text(n['excess'], n['excess_low'], n['excess_high'], sign='+')}",
        "null_mean": f"null mean {n['null_mean']:.3g}",
        "null_95": f"95th percentile of the null {n['null_95']:.3g}",
        "p": f"p {n['p']:.3g}" + f" (corrected for {n['n_tests']:.0f} tests: {n['p_family']:.3g})" * bool(corrected),
        "worst_auc": worst + f", excess {n['worst_excess']:+.3f}" * larger,
    }
    known = "; ".join(fact for column, fact in facts.items() if np.isfinite(n[column]))
    verdicts = {
        "The interval of the excess lies above 0: a leak.": n["excess_low"] > 0,
        "The interval of the excess lies below 0: the branch contains less than is allowed.": n["excess_high"] < 0,
        "The interval of the excess includes 0: no leak is shown.": np.isfinite(n["excess_low"]),
        "The value lies above its null: chance does not explain it.": judged <= LEVEL,
        "The value lies within its null: no effect is shown, which does not prove that none exists.": judged > LEVEL,
    }
    verdict = next((text for text, holds in verdicts.items() if holds), "")
    assumed = "stationary in time" if "by shifts" in str(n["within"]) else "exchangeable, without a drift in time"
    of_null = f"The null assumes that the clips of a group are {assumed}."
    of_null *= bool(np.isfinite(n["null_95"])) and n["kind"] == "dependence"
    reading = [MEANINGS.get(measure, ""), DIRECTIONS.get(n["direction"], ""), verdict, of_null, basis]
    return f"{title}: {known}.", " ".join(filter(None, reading))


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
    table = completed(table.assign(kind="leakage", measure="auc", number=[*map(str, range(len(table)))]))
    if table.duplicated(["model", "branch", "target"]).any():
        raise ValueError("several rows have the same model, branch and target; name the runs apart in a column 'model'")
    there = list(dict.fromkeys(table["target"]))
    single = [name for name in there if name.startswith("AU") and name[2:].isdigit()]
    first = sorted((name for name in there if name not in single), key=lambda name: name != "AUs")
    targets, texts, hovers = [*first, *(single if each_au or not first else [])], [], []
    for row in table.to_dict("records"):
        value, allowed = (f"{row[name]:.2f}".removeprefix("0") for name in ("value", "allowed"))
        of = f" {marks.small(f'of {allowed}')}" * bool(np.isfinite(row["allowed"]))
        missing = "constant" if row["reason"].endswith(" is constant") else "–"
        known = f"<b>{value}</b>{' ▲' * bool(row['excess_low'] > 0)}{of}"
        texts.append(known if np.isfinite(row["value"]) else missing)
        hovers.append("<br>".join(map(as_text, explain_row(row)[0].split("; "))))
    cells = table.assign(excess=table["excess"].where(np.isfinite(table["value"])), text=texts, hover=hovers)
    columns = list(dict.fromkeys(zip(table["model"], table["branch"], strict=True)))
    wanted = [(name, *one) for name in targets for one in columns]
    cells = cells.set_index(["target", "model", "branch"]).reindex(wanted)
    cells[["text", "hover", "number"]] = cells[["text", "hover", "number"]].fillna("")
    excess, shown, hover = (cells[one].to_numpy().reshape(len(targets), -1) for one in ("excess", "text", "hover"))
    names = [f"<b>{name}, mean</b>" if name == "AUs" else as_text(name) for name in targets]
    counts = table.groupby("target")["n_positive"].max().reindex(targets)
    labels = [f"{name} ({n:.0f})" if n == n else name for name, n in zip(names, counts, strict=True)]
    heads = [f"<b style='color:{theme.branch_colour(branch)}'>{branch}</b>" for _, branch in columns]
    left = max(room_for(labels, size=13), 96)
    figure, limits, written = go.Figure(), (-EXCESS_RANGE, EXCESS_RANGE), {"texts": shown, "hover": hover}
    marks.heat(figure, excess, rows=labels, columns=heads, scale=EXCESS_SCALE, limits=limits, bar="excess", **written)
    figure.data[-1].ids = cells["number"].to_numpy()
    figure.data[-1].colorbar.update(tickformat="+.1f", lenmode="pixels", len=min(max(34 * len(targets), 120), 240))
    facts = [sample_text(table), "in brackets: clips with it, or of the rarest class", "AUC <b>of</b> the allowed AUC"]
    facts += ["▲ interval of the excess above 0"]
    figure.update_xaxes(side="top", tickangle=0, tickfont={"size": 13})
    for model in filter(None, dict.fromkeys(table["model"])):
        own = [place for place, (name, _) in enumerate(columns) if name == model]
        above = {"x": np.mean(own), "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 6, "showarrow": False}
        figure.add_annotation(text=f"<b>{as_text(model)}</b><br> ", **above)  # the second line is that of the heads
        marks.level(figure, own[0] - 0.5, dash="solid")
    return theme.finish(
        figure, width=width or left + 118 * len(columns) + 96, body=34 * len(targets), title="<b>Leakage</b>",
        subtitle=" · ".join(filter(None, facts)), l=left, r=96, b=max(20, 140 - 34 * len(targets)),
    )  # fmt: skip
