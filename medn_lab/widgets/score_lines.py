"""Figures on an axis as small drawings that follow the page's theme: scores between marks, a value beside its null."""

from __future__ import annotations

import html

import numpy as np

from medn_lab.records import EvaluationSummary
from medn_lab.view import theme
from medn_lab.view.evaluation import CEILING, SCORE
from medn_lab.view.marks import ABOVE, WITHIN

_ROW = 46
_LEFT, _RIGHT = 84, 26


def scores_drawing(summary: EvaluationSummary, *, width: int) -> str:
    """Accuracy, UF1 and UAR with their intervals between the AU-only floor and the ceilings, as SVG with a legend."""
    rows = summary.scores[summary.scores["part"] == "all"].to_dict("records")
    floor = html.escape(summary.scores.attrs.get("floor", "AU-only floor"))
    span = width - _LEFT - _RIGHT
    height = 40 + _ROW * len(rows) + 20

    def x(value: float) -> float:
        return _LEFT + span * value

    parts = []
    bottom = height - 20
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f"<line class='medn-axis' x1='{x(tick):.1f}' x2='{x(tick):.1f}' y1='30' y2='{bottom}' opacity='.3'/>"
        )
        parts.append(f"<text x='{x(tick):.1f}' y='{height - 6}' text-anchor='middle' font-size='11'>{tick:g}</text>")
    places = [x(value) for value in summary.ceilings.values()]
    for place, (name, value) in zip(_apart(places, gap=86, most=width - 60), summary.ceilings.items(), strict=True):
        at = x(value)
        parts.append(
            f"<line x1='{at:.1f}' x2='{at:.1f}' y1='26' y2='{34 + _ROW}' stroke='{CEILING}' stroke-width='2'"
            f" stroke-dasharray='2 3'/><text x='{place:.1f}' y='12' text-anchor='middle' font-size='11'>"
            f"{html.escape(name)}</text>"
            f"<text x='{place:.1f}' y='24' text-anchor='middle' font-size='11'>{value:.2f}</text>"
        )
    for number, row in enumerate(rows):
        y = 40 + _ROW * (number + 0.6)
        parts.append(
            f"<text x='{_LEFT - 10}' y='{y + 4:.0f}' text-anchor='end' font-size='12.5'>{row['measure']}</text>"
        )
        if np.isfinite(row["floor"]):
            at = x(row["floor"])
            parts.append(
                f"<line class='medn-floor' x1='{at:.1f}' x2='{at:.1f}' y1='{y - 15:.1f}' y2='{y + 15:.1f}'>"
                f"<title>{floor} {row['floor']:.3f}</title></line>"
            )
        said = f"{row['value']:.3f}"
        if np.isfinite(row["low"]):
            said += f"  [{row['low']:.3f}, {row['high']:.3f}]"
            for start, end, top, low in (
                (row["low"], row["high"], 0, 0), (row["low"], row["low"], -5, 5), (row["high"], row["high"], -5, 5),
            ):  # fmt: skip
                parts.append(
                    f"<line x1='{x(start):.1f}' x2='{x(end):.1f}' y1='{y + top:.1f}' y2='{y + low:.1f}'"
                    f" stroke='{SCORE}' stroke-width='3'/>"
                )
        parts.append(
            f"<circle cx='{x(row['value']):.1f}' cy='{y:.1f}' r='5.5' fill='{SCORE}'><title>{said}</title></circle>"
        )
        middle = min(max(x(row["value"]), _LEFT + 70), width - 76)
        where = f"x='{middle:.1f}' y='{y - 10:.1f}' text-anchor='middle' font-size='11.5'"
        parts.append(f"<text class='medn-halo' {where}>{said}</text>")
    legend = [f"<span style='color:{SCORE}'>●━</span> score, interval over resampled persons"]
    if any(np.isfinite(row["floor"]) for row in rows):
        legend.append(f"<span class='medn-quiet'>┃</span> {floor}")
    if summary.ceilings:
        legend.append(f"<span style='color:{CEILING}'>┊</span> ceilings of accuracy")
    label = "; ".join(f"{row['measure']} {row['value']:.3f}" for row in rows)
    return (
        f"<svg width='{width}' height='{height}' role='img' aria-label='{html.escape(label)}'>{''.join(parts)}</svg>"
        f"<div class='medn-note'>{' &nbsp; '.join(legend)}</div>"
    )


def _apart(places: list[float], *, gap: float, most: float) -> list[float]:
    """The same places moved so far that labels on them do not cover each other, from the right."""
    order = sorted(range(len(places)), key=places.__getitem__, reverse=True)
    moved, limit = list(places), most
    for number in order:
        moved[number] = min(places[number], limit)
        limit = moved[number] - gap
    return moved


def null_drawing(
    value: float,
    *,
    band: tuple[float, float],
    allowed: float,
    axis: tuple[float, float],
    found: bool,
    width: int,
    height: int = 30,
) -> str:
    """A value beside its null on an axis: grey from the null's mean to its 95 %, a diamond at what the factors have."""
    low, high = axis
    span = (high - low) or 1.0

    def x(one: float) -> float:
        return 6 + (width - 12) * (one - low) / span

    y = height / 2
    parts = [f"<line class='medn-axis' x1='6' x2='{width - 6}' y1='{y}' y2='{y}' opacity='.5'/>"]
    if low < 0 < high:
        parts.append(f"<line class='medn-axis' x1='{x(0):.1f}' x2='{x(0):.1f}' y1='{y - 4}' y2='{y + 4}'/>")
    if np.isfinite(band).all():
        left, right = x(min(band)), x(max(band))
        parts.append(
            f"<rect x='{left:.1f}' y='{y - 7}' width='{max(right - left, 1):.1f}' height='14' fill='#808080'"
            f" opacity='.35'/><line class='medn-floor' x1='{x(band[1]):.1f}' x2='{x(band[1]):.1f}' y1='{y - 9}'"
            f" y2='{y + 9}'/>"
        )
    if np.isfinite(allowed):
        at = x(allowed)
        parts.append(
            f"<path d='M{at:.1f} {y - 6}l5 6l-5 6l-5 -6z' fill='none' stroke='{theme.PARTNER_RING}' stroke-width='2'/>"
        )
    if np.isfinite(value):
        colour = ABOVE if found else WITHIN
        parts.append(
            f"<circle cx='{x(value):.1f}' cy='{y}' r='5' stroke='{colour}' stroke-width='2.2'"
            f" fill='{colour if found else 'none'}'/>"
        )
    return f"<svg width='{width}' height='{height}' style='display:block' aria-hidden='true'>{''.join(parts)}</svg>"
