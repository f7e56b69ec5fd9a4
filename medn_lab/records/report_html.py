"""The decoupling report as one page of HTML that needs nothing else: text, tables and the pictures handed in."""

from __future__ import annotations

import base64
import html
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: #1d2733;
  background: #fff; margin: 2rem auto; max-width: 62rem; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p.lead { color: #55606c; margin-top: 0; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .7rem; text-align: right; border-bottom: 1px solid #e3e7eb; vertical-align: top; }
th { font-weight: 600; background: #f5f7f9; } th.text, td.text { text-align: left; }
tr.group th { text-align: left; background: #fff; border-bottom: 2px solid #c3cad2; padding-top: .8rem; }
td small { color: #5d6874; display: block; } td.found { background: #fdecea; } td.clear { background: #e9f5ee; }
code { font-size: .9em; overflow-wrap: anywhere; }
figure { margin: 1.2rem 0; overflow-x: auto; } figcaption { color: #55606c; }
@media print { body { margin: 0; max-width: none; } div.wide, figure { overflow: visible; } }
"""

READING = """
<p><b>Dependence.</b> Each value has its null: the same features with the clips of one branch exchanged inside the
groups named, so that what the groups alone bring is in the null too. This assumes that the clips of a group are
exchangeable: branches that both drift in time are then found dependent though they are not. <i>By shifts in time</i>
means that the clips of a group kept their order and were shifted in a circle, which assumes that they are stationary in
time. A value above the 95 % of the null (p of .05 or less, shaded red) says that the branches depend on each other.
<i>Given</i> a factor means that its class means were taken off both branches first and clips were exchanged inside its
classes. Linear CKA, distance correlation, HSIC and the mean squared correlation are estimated without bias and lie
around 0 without dependence; the others have a level of their own. <i>Factors</i> is the same measure of what the
branches should hold (AUs and cue, or AUs and label): branches that hold it well depend on each other as much as it
does, and given the emotion even independent factors may depend on each other, because both go into the emotion. It is
missing where a factor has no variation left.</p>
<p><b>Leakage.</b> The AUC of a probe that has not met the subject (for the subject itself: the clip). <i>Allowed</i> is
what the factor that the branch should hold allows: the exact figure where the truth was given, else what the same probe
reads from the factor. Only the <i>excess</i> over it is a leak, and it is shaded red where its interval over subjects
(Student's t) lies above 0. <i>Worst</i> is the single AU with the largest excess; the largest of many lies above the
mean by chance.</p>
<p><b>What this does not show.</b> A value within its null is no proof of independence: a weak dependence may be missed
in so many clips, and a probe finds only what its kind can read. Nothing here says which branch <i>uses</i> what it
holds. p values are not corrected for the number of measures.</p>
"""

MEAN_OF_AUS = "AUs, mean of those with enough clips"

MEASURE_NAMES = {
    "linear_cka": "linear CKA",
    "distance_correlation": "distance correlation (squared)",
    "hsic": "HSIC",
    "canonical_correlations": "first canonical correlation",
    "branch_correlation": "mean squared correlation",
    "absolute_cosine": "mean |cosine| of a clip",
}


def report_page(
    table: pd.DataFrame, source: Mapping[str, Any], figures: Sequence[tuple[str, object]], title: str
) -> str:
    """The whole page; every text from data is escaped."""
    models = list(dict.fromkeys(table["model"])) if "model" in table else []
    parts = [f"<h1>{_text(title)}</h1>", f'<p class="lead">{_text(_lead(table, models))}</p>']
    parts += ["<h2>What was measured</h2>", _models(source)]
    kinds = table["kind"] if "kind" in table else pd.Series("", index=table.index)
    for kind, heading, draw in (
        ("dependence", "Dependence between the branches", _dependence),
        ("leakage", "Leakage: what each branch still tells", _leakage),
        ("information", "Information in the emotion code", _information),
    ):
        rows = table[kinds == kind]
        if len(rows):
            parts += [f"<h2>{heading}</h2>", draw(rows, models)]
    others = table[~kinds.isin(["dependence", "leakage", "information"])]
    if len(others):
        parts += ["<h2>Measures</h2>", _plain_table(others)]
    if figures:
        parts += ["<h2>Pictures</h2>", *_figures(figures)]
    parts += ["<h2>How to read this</h2>", READING, "<h2>How it was made</h2>", _facts(source, ("models",))]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def write_page(path: Path, page: str) -> Path:
    """Write a page beside its place and move it there when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(page)
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return path


def _lead(table: pd.DataFrame, models: list[str]) -> str:
    sizes = "; ".join(
        f"{name}: {rows['n_clips'].max():.0f} clips of {rows['n_subjects'].max():.0f} subjects"
        for name in models
        if len(rows := table[table["model"] == name])
    )
    return sizes or f"{len(table)} measures"


def _models(source: Mapping[str, Any]) -> str:
    models = source.get("models", {})
    return "\n".join(f"<h3>{_text(name)}</h3>{_facts(about)}" for name, about in models.items())


def _facts(facts: Mapping[str, Any], without: Iterable[str] = ()) -> str:
    rows = [
        f'<tr><th class="text">{_text(str(name).replace("_", " "))}</th><td class="text">{_fact(value)}</td></tr>'
        for name, value in facts.items()
        if name not in without and value not in (None, "", {}, [])
    ]
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def _fact(value: object) -> str:
    if isinstance(value, Mapping):
        return "<br>".join(f"{_text(str(name).replace('_', ' '))}: {_fact(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_fact(one) for one in value)
    return f"<code>{_text(value)}</code>" if isinstance(value, str) and len(value) > 40 else _text(value)


def _dependence(rows: pd.DataFrame, models: list[str]) -> str:
    parts = [_head(["measure", *models], ["value", "null mean", "null 95 %", "p", "factors"])]
    for given, group in rows.groupby("given", sort=False):
        title = f"given {_named(given)}" if given else "as they are"
        inside = _named(", ".join(dict.fromkeys(group["within"])))
        note = f"{title}; clips exchanged inside {inside}" if inside else f"{title}; all clips exchanged"
        parts.append(_group(note, 1 + 5 * len(models)))
        for measure, same in group.groupby("measure", sort=False):
            cells = [f'<td class="text">{_text(MEASURE_NAMES.get(measure, measure))}</td>']
            for model in models:
                cells.append(_dependence_cells(same[same["model"] == model]))
            parts.append(f"<tr>{''.join(cells)}</tr>")
    return _table(parts)


def _dependence_cells(row: pd.DataFrame) -> str:
    if not len(row):
        return "<td></td>" * 5
    one = row.iloc[0]
    if one["reason"]:
        return f'<td colspan="5" class="text"><small>{_text(one["reason"])}</small></td>'
    shade = _shade(one["p"] <= 0.05) if np.isfinite(one["p"]) else ""
    figures = "".join(f"<td>{_number(one[name])}</td>" for name in ("null_mean", "null_95", "p", "allowed"))
    return f"<td{shade}>{_number(one['value'])}</td>{figures}"


def _leakage(rows: pd.DataFrame, models: list[str]) -> str:
    columns = [
        (model, branch) for model in models for branch in dict.fromkeys(rows.loc[rows["model"] == model, "branch"])
    ]
    head = "".join(f'<th colspan="{sum(model == own for own, _ in columns)}">{_text(model)}</th>' for model in models)
    names = "".join(f"<th>{_text(branch)}</th>" for _, branch in columns)
    parts = [
        f'<tr><th class="text" rowspan="2">told</th><th rowspan="2">clips<br>with it</th>{head}</tr><tr>{names}</tr>'
    ]
    for target, same in rows.groupby("target", sort=False):
        name = f"<b>{_text(MEAN_OF_AUS)}</b>" if target == "AUs" else _text(target)
        cells = [f'<td class="text">{name}</td><td>{same["n_positive"].max():.0f}</td>']
        for model, branch in columns:
            one = same[(same["model"] == model) & (same["branch"] == branch)]
            cells.append(_leakage_cell(one.iloc[0]) if len(one) else "<td></td>")
        parts.append(f"<tr>{''.join(cells)}</tr>")
    return _table(parts)


def _leakage_cell(row: pd.Series) -> str:
    if row["reason"]:
        return f"<td><small>{_text(row['reason'])}</small></td>"
    interval = f"[{row['low']:.2f}, {row['high']:.2f}]" if np.isfinite(row["low"]) else ""
    told = f"<small>{interval}</small>"
    if np.isfinite(row["allowed"]):
        told += f"<small>allowed {row['allowed']:.3f}, excess {_signed(row['excess'])}</small>"
    if np.isfinite(row.get("worst_auc", np.nan)):
        told += f"<small>worst {_text(row['worst_target'])} {row['worst_auc']:.3f}</small>"
    shade = _shade(row["excess_low"] > 0) if np.isfinite(row["excess_low"]) else ""
    return f"<td{shade}>{row['value']:.3f}{told}</td>"


def _information(rows: pd.DataFrame, models: list[str]) -> str:
    parts = ['<tr><th class="text">model</th><th>nats</th><th>interval</th><th>the factor holds</th></tr>']
    for row in rows.to_dict("records"):
        if row["reason"]:
            why = f'<td colspan="3" class="text"><small>{_text(row["reason"])}</small></td>'
            parts.append(f'<tr><td class="text">{_text(row["model"])}</td>{why}</tr>')
            continue
        parts.append(
            f'<tr><td class="text">{_text(row["model"])}</td><td>{_number(row["value"])}</td>'
            f"<td>[{row['low']:.2f}, {row['high']:.2f}]</td><td>{_number(row['allowed'])}</td></tr>"
        )
    return _table(parts)


def _plain_table(rows: pd.DataFrame) -> str:
    parts = ["<tr>" + "".join(f"<th>{_text(name)}</th>" for name in rows) + "</tr>"]
    for row in rows.to_dict("records"):
        cells = (_number(one) if isinstance(one, float) else _text(one) for one in row.values())
        parts.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return _table(parts)


def _figures(figures: Sequence[tuple[str, object]]) -> list[str]:
    """Each picture inside the page: PNG bytes as data, plotly figures with one copy of plotly for all."""
    parts, drawn = [], False
    for caption, figure in figures:
        if isinstance(figure, bytes) and figure.startswith(PNG_SIGNATURE):
            encoded = base64.b64encode(figure).decode("ascii")
            picture = f'<img alt="{html.escape(caption, quote=True)}" src="data:image/png;base64,{encoded}">'
        elif hasattr(figure, "to_html") and hasattr(figure, "to_plotly_json"):
            picture = figure.to_html(full_html=False, include_plotlyjs=not drawn)
            drawn = True
        else:
            raise ValueError(
                f"a figure of the report is a {type(figure).__name__}; give plotly figures or the bytes of PNG files"
            )
        told = f"<figcaption>{_text(caption)}</figcaption>" if caption else ""
        parts.append(f"<figure>{picture}{told}</figure>")
    return parts


def _head(groups: list[str], columns: list[str]) -> str:
    first, *models = groups
    top = "".join(f'<th colspan="{len(columns)}">{_text(model)}</th>' for model in models)
    below = "".join(f"<th>{_text(name)}</th>" for _ in models for name in columns)
    return f'<tr><th class="text" rowspan="2">{_text(first)}</th>{top}</tr><tr>{below}</tr>'


def _group(title: str, span: int) -> str:
    return f'<tr class="group"><th colspan="{span}">{_text(title)}</th></tr>'


def _table(rows: list[str]) -> str:
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def _shade(found: bool) -> str:
    return f' class="{"found" if found else "clear"}"'


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    told = f"{value:.3f}" if abs(value) >= 0.0095 or value == 0 else f"{value:.2g}"
    return told.replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _named(factor: str) -> str:
    """A column's name as the page says it."""
    return " ".join("AU set" if word == "aus" else word for word in factor.replace("_", " ").split(" "))


def _text(value: object) -> str:
    return html.escape(str(value))
