"""How good a model is: scores, folds, the choice of the epoch, models compared, single AUs, curves of a training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import EvaluationSummary, History
from medn_lab.view import marks, theme
from medn_lab.view.answers import UNLABELLED, confusion_cells, draw_confusion, true_names
from medn_lab.view.marks import ABOVE, ESTIMATE, SMALLEST, WITHIN, counted, forest, level, need, side_by_side
from medn_lab.view.theme import as_text, room_for

# Name and colour of each rule by which an epoch is chosen.
RULES = {
    "last_epoch": ("last epoch", ESTIMATE),
    "validation": ("best on validation", WITHIN),
    "best_on_test": ("best on test: optimistic", ABOVE),
}
MOST_COUNTED = 40  # folds whose number of clips fits into their bars
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


def plot_evaluation(summary: EvaluationSummary, *, width: int = 980) -> go.Figure:
    """Draw the confusion matrix, and the scores with their intervals, the AU-only floor and the ceilings.

    The bar through a score is its interval over resampled subjects; the diamond is the score of AUs alone on the same
    clips; the last lines are the best accuracy that a perfect reader can expect. A score shows more than the AUs where
    its whole bar lies right of the diamond.

    Parameters
    ----------
    summary : EvaluationSummary
        As ``medn.evaluate.evaluation_summary`` makes it.
    width : int
        In pixels.

    Returns
    -------
    Figure

    See Also
    --------
    plot_confusion_matrix, plot_folds, plot_au_detection

    Examples
    --------
    >>> from medn_lab.evaluate import evaluation_summary
    >>> from medn_lab.records import Predictions
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "subject": list("1122"), "label": list("xyxy")})
    >>> summary = evaluation_summary(Predictions(np.eye(2)[[0, 1, 0, 0]], table, ("x", "y")))
    >>> figure = plot_evaluation(summary)
    >>> figure.layout.title.text
    '<b>Evaluation</b>'
    """
    counts = confusion_cells(summary.predictions, label=summary.label)[1]
    left, ceilings = 20 + room_for(true_names(counts)), [f"ceiling,<br>{as_text(name)}" for name in summary.ceilings]
    inner = width - left - 20
    gap = max(0.14, room_for(ceilings) / inner)
    figure = side_by_side("Confusion matrix", "Scores, floor and ceilings" if ceilings else "Scores and floor", gap=gap)
    draw_confusion(figure, counts, cell=0.5 * (1 - gap) * inner / len(counts.columns), row=1, col=1)
    if len(summary.scores):
        scores = summary.scores[summary.scores["part"] == "all"]
        best = pd.DataFrame({"value": pd.Series(summary.ceilings, dtype=float)})
        table = pd.concat([scores[["value", "low", "high", "floor"]].astype(float), best], ignore_index=True)
        forest(
            figure, table, labels=[*scores["measure"], *ceilings],
            name="score, interval over subjects", colour=[ESTIMATE] * len(scores) + [WITHIN] * len(ceilings),
            texts=[f"<b>{value:.3f}</b>" for value in table["value"]],
            references={"floor": summary.scores.attrs.get("floor", "AU-only floor")}, row=1, col=2,
        )  # fmt: skip
        figure.update_xaxes(range=[0, 1.04], dtick=0.25, tickformat=".2f", row=1, col=2)
    else:
        note = theme.wrapped(as_text(" ".join(summary.notes)), 0.36 * width)
        marks.tile(figure, marks.Tile(None, note=note), row=1, col=2)
    scored = counts.drop(index=UNLABELLED, errors="ignore").to_numpy().sum()
    persons = f" of {counted(len(summary.subjects), 'subject')}" if len(summary.subjects) else ""
    return theme.finish(
        figure, width=width, body=max(194, 46 * len(counts)), title="<b>Evaluation</b>", l=left,
        subtitle=counted(scored, "labelled clip") + persons + (" · ceilings of accuracy" if summary.ceilings else ""),
    )  # fmt: skip


def plot_folds(folds: pd.DataFrame, *, scores: pd.DataFrame, width: int | None = None) -> go.Figure:
    """Draw the accuracy of each fold with its number of clips, the pooled accuracy, and the AU-only floor.

    A bar is one held-out subject (or data set) and rests on the clips written at its foot: with four clips it can only
    be 0, 25, 50, 75 or 100 %. The band is the interval of the pooled accuracy over resampled subjects; the dashed line
    is the AU-only floor.

    Parameters
    ----------
    folds : DataFrame
        One row a fold, with ``held_out, n_test, accuracy, error``, as ``medn.evaluate.evaluate_loso(...).folds``.
    scores : DataFrame
        ``part, measure, value, low, high, floor, n_clips, n_subjects``, as ``result.scores()``; the row of accuracy
        over all clips is drawn.
    width : int or None
        In pixels; chosen by the number of folds where None.

    Returns
    -------
    Figure
        Bars sorted by accuracy, failed folds last.

    See Also
    --------
    plot_comparison

    Examples
    --------
    >>> folds = pd.DataFrame({"held_out": ["s01", "s02"], "n_test": [10, 12], "accuracy": [0.9, 0.5], "error": ""})
    >>> scores = {"part": "all", "measure": "accuracy", "value": 0.68, "low": 0.4, "high": 0.9, "floor": 0.3}
    >>> plot_folds(folds, scores=pd.DataFrame([scores | {"n_clips": 22, "n_subjects": 2}])).data[0].type
    'bar'
    """
    need(folds, ("held_out", "n_test", "accuracy", "error"), maker="evaluate.evaluate_loso(...).folds")
    rows = folds.sort_values(["accuracy", "n_test"], ascending=False, kind="stable", na_position="last")
    rows = rows.assign(held_out=rows["held_out"].map(as_text), error=rows["error"].map(as_text))
    failed, few, figure = rows["accuracy"].isna(), len(rows) <= MOST_COUNTED, go.Figure()
    right = rows["accuracy"].map("{:.1%} of ".format) + rows["n_test"].map(lambda n: counted(n, "clip"))
    figure.add_bar(
        x=rows["held_out"], y=rows["accuracy"].fillna(0.0), customdata=right.mask(failed, "failed, " + rows["error"]),
        text=rows["n_test"].astype(str).where(failed | few, "").mask(failed, "✕"), textfont_size=SMALLEST, textangle=0,
        textposition=np.where(rows["accuracy"] > 0.07, "inside", "outside"), insidetextanchor="start",
        outsidetextfont_color=np.where(failed, ABOVE, theme.INK), marker_color=theme.CATEGORY_COLOURS[0],
        constraintext="none", hovertemplate="%{x}: %{customdata}<extra></extra>",
    )  # fmt: skip
    row = scores.query("measure == 'accuracy' and part == 'all'").iloc[0]
    if not np.isnan(row["low"]):
        band = {"fillcolor": "rgba(47, 127, 208, 0.18)", "line_width": 0, "layer": "below"}
        figure.add_hrect(y0=row["low"], y1=row["high"], **band)
    pooled = marks.interval_text(row["value"], row["low"], row["high"])
    facts = [f"line: pooled accuracy {pooled}, {row['n_clips']:.0f} clips of {row['n_subjects']:.0f} subjects"]
    if np.isfinite(row["value"]):  # not all folds failed
        level(figure, row["value"], axis="y", dash="solid")
    if np.isfinite(row["floor"]):
        level(figure, row["floor"], axis="y")
        facts.append(f"dashed: {as_text(scores.attrs.get('floor', 'AU-only floor'))} {row['floor']:.3f}")
    facts += [f"✕ failed ({failed.sum()})"] * bool(failed.any()) + ["in each bar: its clips"] * few
    figure.update_yaxes(range=[0, 1.02], dtick=0.25, tickformat=".0%", title_text="accuracy")
    figure.update_xaxes(type="category", tickangle=-60, showgrid=False)
    return theme.finish(
        figure, width=width or int(np.clip(210 + 30 * len(rows), 640, 980)), body=218,
        title="<b>Accuracy per fold</b>", subtitle=" · ".join(facts), b=room_for(rows["held_out"]),
    )  # fmt: skip


def plot_comparison(table: pd.DataFrame, *, subjects: pd.DataFrame | None = None, width: int = 960) -> go.Figure:
    """Draw the difference of two models' scores with its paired interval, and the accuracy of each subject.

    A filled dot is a difference whose interval is clear of 0, an open one is not. On the right each line joins a
    subject's accuracy under the two models: it shows whether two subjects out of twenty make the difference, or all.

    Parameters
    ----------
    table : DataFrame
        ``model_a, model_b, measure, difference, low, high``, one row a comparison, as
        ``medn.evaluate.compare_predictions(...).table``; put several under each other with ``pandas.concat``.
    subjects : DataFrame, optional
        ``subject, n_clips, a, b``, as the comparison's ``subjects``. Without it the right panel is left out.
    width : int
        In pixels.

    Returns
    -------
    Figure

    Examples
    --------
    >>> row = {"model_a": "bottleneck", "model_b": "none", "measure": "accuracy"}
    >>> table = pd.DataFrame([row | {"difference": 0.05, "low": 0.01, "high": 0.09}])
    >>> figure = plot_comparison(table)
    >>> figure.layout.title.text
    '<b>Comparison of two models</b>'
    """
    needed = ("model_a", "model_b", "measure", "difference", "low", "high")
    need(table, needed, maker="evaluate.compare_predictions(...).table")
    people = [] if subjects is None else [as_text(name) for name in subjects["subject"]]
    titles, gap = ["Difference, paired interval", "Accuracy per subject"], room_for(people) / (width - 100)
    figure = side_by_side(*titles[: 1 + (subjects is not None)], gap=max(0.12, gap))
    measures, a, b = (table[name].map(as_text) for name in ("measure", "model_a", "model_b"))
    one_pair = len({*zip(a, b, strict=True)}) == 1
    names = list(measures if one_pair else a + "<br>− " + b + ", " + measures)
    forest(
        figure, table.assign(value=table["difference"]), labels=names, name="difference", legend=False, row=1, col=1,
        open_marker=~((table["low"] > 0) | (table["high"] < 0)),
        texts=[f"{value:+.3f}".replace("-", "−") for value in table["difference"]],
    )  # fmt: skip
    level(figure, 0.0, row=1, col=1)
    figure.update_xaxes(title_text="difference", tickformat="+.2f", rangemode="tozero", row=1, col=1)
    if subjects is not None:
        ends = subjects[["a", "b"]]
        rows = subjects.assign(subject=people, value=ends["a"], low=ends.min(axis=1), high=ends.max(axis=1))
        rows = rows.assign(gain=rows["a"] - rows["b"]).sort_values(["gain", "a"], ascending=False, kind="stable")
        colours = np.select([rows["gain"] > 0, rows["gain"] < 0], [WITHIN, ABOVE], theme.GREY).tolist()
        first, second = (str(table[name].iloc[0]) for name in ("model_a", "model_b"))
        labels, other = list(rows["subject"]), {"b": second}
        forest(figure, rows, labels=labels, colour=colours, name=first, references=other, row=1, col=2)
        hover = [f"{row.subject}: {row.a:.1%} of {counted(row.n_clips, 'clip')}" for row in rows.itertuples()]
        figure.data[-1].update(customdata=hover, error_x_width=0)  # it joins two models and is no interval
        figure.update_xaxes(range=[-0.03, 1.04], tickformat=".0%", title_text="accuracy", row=1, col=2)
    facts = [f"{a.iloc[0]} minus {b.iloc[0]}" if one_pair else "difference = first minus second model"]
    facts += ["green: the first is better, red: the second"] * (subjects is not None)
    return theme.finish(
        figure, width=width, body=max(44 * len(table), 0 if subjects is None else 18 * len(subjects)),
        title="<b>Comparison of two models</b>", subtitle=" · ".join(facts),
    )  # fmt: skip


def plot_selection_audit(table: pd.DataFrame, *, epochs: pd.DataFrame, width: int = 960) -> go.Figure:
    """Draw the scores under three ways of choosing the epoch, and the accuracy of each epoch.

    The first two rules do not use the held-out clips. The third takes for each subject the epoch that is best on that
    very subject; its open marker shows that it is no score to report.

    Parameters
    ----------
    table : DataFrame
        ``rule, measure, value, low, high, floor``, as ``medn.evaluate.selection_audit(...).table``.
    epochs : DataFrame
        ``fold, epoch, validation_accuracy, held_out_accuracy, n_validation, n_held_out``, as the audit's ``epochs``.
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
    >>> epochs = pd.DataFrame({"fold": 0, "epoch": [1, 2], "validation_accuracy": [0.5, 0.7], "n_validation": 10})
    >>> epochs = epochs.assign(held_out_accuracy=[0.8, 0.7], n_held_out=10)
    >>> figure = plot_selection_audit(table.assign(low=0.6, high=0.9, floor=0.5), epochs=epochs)
    >>> figure.layout.title.text
    '<b>Selection audit</b>'
    """
    need(table, ("rule", "measure", "value", "low", "high", "floor"), maker="evaluate.selection_audit(...).table")
    orders = {"measure": list(table["measure"].unique()), "rule": list(RULES)}
    rows = table.sort_values(["measure", "rule"], key=lambda column: column.map(orders[column.name].index))
    labels = [f"{as_text(row.measure)}, {RULES[row.rule][0]}" for row in rows.itertuples()]
    figure = side_by_side("Accuracy per epoch", "Scores by rule", gap=room_for(labels) / (width - 80))
    for side, colour, dash in (("held_out", ESTIMATE, "solid"), ("validation", WITHIN, "dot")):
        name = side.replace("_", "-") + " subjects"
        right = (epochs[f"{side}_accuracy"] * epochs[f"n_{side}"]).groupby(epochs["epoch"]).sum()
        pooled = right / epochs.groupby("epoch")[f"n_{side}"].sum()
        figure.add_scatter(
            x=pooled.index, y=pooled.to_numpy(), mode="lines+markers", name=name, meta=f"{side}_accuracy",
            line={"color": colour, "width": 2, "dash": dash}, marker={"size": 5}, row=1, col=1,
            hovertemplate="epoch %{x}: %{y:.1%}<extra>" + name + "</extra>",
        )  # fmt: skip
    last = int(epochs["epoch"].max())
    figure.update_xaxes(title_text="epoch", range=[0.5, last + 0.5], dtick=1 if last <= 12 else None, row=1, col=1)
    figure.update_yaxes(title_text="accuracy, pooled", range=[0, 1.02], tickformat=".0%", row=1, col=1)
    forest(
        figure, rows, labels=labels, colour=[RULES[rule][1] for rule in rows["rule"]], row=1, col=2,
        name="score, interval over subjects", references={"floor": table.attrs.get("floor", "AU-only floor")},
        open_marker=rows["rule"] == "best_on_test", texts=[f"{value:.3f}" for value in rows["value"]],
    )  # fmt: skip
    figure.update_xaxes(tickformat=".2f", row=1, col=2)
    accuracy = rows[rows["measure"] == "accuracy"].set_index("rule")["value"]
    gain = accuracy.get("best_on_test", np.nan) - accuracy.get("last_epoch", np.nan)
    return theme.finish(
        figure, width=width, body=max(152, 34 * len(rows)), title="<b>Selection audit</b>",
        subtitle="" if np.isnan(gain) else f"choosing the epoch on the held-out subject adds {gain:+.3f} of accuracy",
    )  # fmt: skip


def plot_au_detection(table: pd.DataFrame, *, width: int = 900) -> go.Figure:
    """Draw AUC and F1 of each AU with their intervals and the number of positives.

    The clips and subjects after each AU's name are the positives on which its values rest. An AU that stays out of the
    macro means for want of positives has an open marker; the reason stands where a value is missing. The dotted line is
    chance, for the AUC.

    Parameters
    ----------
    table : DataFrame
        ``au, n_positive, n_subjects, auc, auc_low, auc_high, f1, f1_low, f1_high, in_macro, reason``, as
        ``medn.evaluate.au_detection(...)``.
    width : int
        In pixels.

    Returns
    -------
    Figure

    See Also
    --------
    plot_au_scores : the AU scores of one clip.

    Examples
    --------
    >>> row = {"au": "AU12", "n_positive": 30, "n_subjects": 8, "auc": 0.9, "auc_low": 0.8, "auc_high": 0.95}
    >>> table = pd.DataFrame([row | {"f1": 0.8, "f1_low": 0.7, "f1_high": 0.9, "in_macro": True, "reason": ""}])
    >>> figure = plot_au_detection(table)
    >>> figure.layout.title.text
    '<b>AU detection</b>'
    """
    need(table, ("au", "n_positive", "n_subjects", "auc", "f1", "in_macro"), maker="evaluate.au_detection")
    figure = side_by_side("AUC", "F1 at probability ½", gap=0.05, shared_yaxes=True)
    positives = table[["au", "n_positive", "n_subjects"]].itertuples(index=False)
    names = [f"<b>{as_text(au)}</b> · {counted(n, 'clip')}, {subjects} subj." for au, n, subjects in positives]
    inside = table["in_macro"].to_numpy(dtype=bool)
    for col, key in enumerate(("auc", "f1"), start=1):
        ends = {key: "value", f"{key}_low": "low", f"{key}_high": "high"}
        part = table.rename(columns=ends).drop(columns="reason" if col == 2 else [], errors="ignore")
        look = {"colour": theme.branch_colour("motion"), "open_marker": ~inside, "legend": False}
        forest(figure, part, labels=names, **look, row=1, col=col)
        figure.data[-1].meta = key
        lowest = np.nanmin([1.0, *part["value"], *part["low"]])
        figure.update_xaxes(range=[0.4 if col == 1 and lowest > 0.45 else 0.0, 1.03], row=1, col=col)
    level(figure, 0.5, dash="dot", row=1, col=1)
    figure.update_yaxes(showgrid=True)
    out, subtitle = (~inside & table["auc"].notna()).sum(), "after each AU: the clips that show it, and their subjects"
    subtitle += f" · open: too few for the macro mean ({out})" * bool(out)
    return theme.finish(figure, width=width, body=26 * len(table), title="<b>AU detection</b>", subtitle=subtitle)


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
    table, panels, dashed = history.table, curve_columns(history.table), " (dashed: validation clips)"
    rows, body = (2, 528) if panels["dependence"] or panels["leak"] else (1, 248)
    titles = (
        "Loss terms" + dashed, "Accuracy" + " and UF1" * ("validation_uf1" in panels["score"]) + dashed,
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
    figure.update_layout(hovermode="x unified")
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
    for place, (name, value) in enumerate(sorted((ceilings or {}).items(), key=lambda one: one[1])):
        level(figure, value, text=f"{_CEILINGS.get(name, name)} {value:.2f}", dash="dot")
        figure.layout.annotations[-1].yshift = 14 * (place % 2)  # two that are near are readable
    figure.update_xaxes(title_text=names, range=[max(np.nanmin(ends), 0.0) - 0.02, min(np.nanmax(ends), 1.0) + 0.02])
    marks.rows_from_the_top(figure, lines)
    return theme.finish(
        figure, width=width, body=4 + 18 * len(table) + 14 * len(lines), r=30,
        title=f"<b>{names[:1].upper()}{names[1:]}</b> on unseen subjects, mean and 95 % interval over seeds",
    )  # fmt: skip
