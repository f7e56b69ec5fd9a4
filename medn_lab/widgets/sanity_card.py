"""The figures that say whether a map is to be believed, each with how it is read; those not measured are named too."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd

from medn_lab.records import Attribution
from medn_lab.widgets.panel import note

_NOT_YET = "press Check"


def sanity_html(attribution: Attribution, *, region_of_flow: str = "AUs") -> str:
    """All figures of a map, measured or not, as a small table.

    Parameters
    ----------
    attribution : Attribution
    region_of_flow : str
        What was planted in the flow: the AU that was asked for, or the clip's AUs.
    """
    rows = [
        *_scores(attribution),
        *_believed(attribution),
        *_random(attribution),
        *_planted(attribution, region_of_flow),
    ]
    cells = "".join(
        f"<span title='{html.escape(hint, quote=True)}'>{name}</span><span style='white-space:normal'>{value}</span>"
        for name, value, hint in rows
    )
    grid = "grid-template-columns:max-content 1fr;row-gap:6px;align-items:baseline"
    return f"<div class='medn-title'>Is it to be believed?</div><div class='medn-rows' style='{grid}'>{cells}</div>"


def map_key(attribution: Attribution) -> tuple[str, ...]:
    """What a map is of: clip ids, target, method."""
    return " | ".join(attribution.table["clip_id"]), attribution.target, attribution.method


def figures_row(attribution: Attribution, seconds: float) -> dict[str, object]:
    """A map and its figures as a row of a table; `seconds` is the time in which it was computed."""
    return {
        **dict(zip(("clip_id", "target", "method"), map_key(attribution), strict=True)),
        "score": None if attribution.scores is None else float(attribution.scores[0]),
        **{name: float(value) for name, value in attribution.sanity.items()},
        "seconds": seconds,
    }


def history(rows: list[dict[str, object]]) -> pd.DataFrame:
    """The rows of `figures_row`, the last of each map."""
    table = pd.DataFrame(rows, columns=None if rows else ["clip_id", "target", "method"])
    return table.drop_duplicates(["clip_id", "target", "method"], keep="last").reset_index(drop=True)


def _scores(attribution: Attribution) -> list[tuple[str, str, str]]:
    if attribution.scores is None or attribution.baseline_scores is None:
        return []
    said = []
    for place, clip_id in enumerate(attribution.table["clip_id"]):
        score, still = float(attribution.scores[place]), float(attribution.baseline_scores[place])
        told = f"<b>{score:.2f}</b>, {score - still:+.2f} by what happens"
        if "completeness_error" in attribution.sanity:
            told += f"; map {float(attribution.totals[place]):+.2f}"
        name = "score" if len(attribution) == 1 else f"score of {'ab'[place] if place < 2 else place + 1}"
        hint = f"{clip_id}: the target's value, and how much of it is gone when nothing happens in the clip"
        said.append((name, told, hint))
    return said


def _believed(attribution: Attribution) -> list[tuple[str, str, str]]:
    figures = attribution.sanity
    method = attribution.method.replace("_", " ")
    error = figures.get("completeness_error")
    complete = (
        f"<span class='medn-quiet'>{method} does not claim to add up</span>"
        if error is None
        else f"<b>{error:.0%}</b> of the change is not in the map"
    )
    quiet = f"<span class='medn-quiet'>{_NOT_YET}</span>"
    tried = "randomised_threshold" in figures

    def told(name: str, best: str) -> str:
        if name in figures:
            return f"<b>{figures[name]:.2f}</b> <span class='medn-quiet'>{best}</span>"
        return "<span class='medn-quiet'>not defined: nothing changes</span>" if tried else quiet

    return [
        ("completeness", complete, "The share of the score's change that the map leaves unexplained; 0 adds up"),
        (
            "infidelity",
            told("infidelity", "0 foretells, 1 a map of zeros"),
            "How badly the map foretells what is lost when a random square is stilled",
        ),
        (
            "sensitivity",
            told("sensitivity", "0 holds still, 1 another map"),
            "The largest relative change of the map when the clip changes by less than a camera would notice",
        ),
    ]


def _random(attribution: Attribution) -> list[tuple[str, str, str]]:
    figures, rows = attribution.sanity, []
    threshold = figures.get("randomised_threshold")
    hint = "Rank correlation with the map of the same network with random weights: a map of what was learned changes"
    for name in ("frames", "flow"):
        if getattr(attribution, name) is None:
            continue
        alike = figures.get(f"randomised_{name}")
        if alike is None or threshold is None:
            rows.append((f"random, {name}", f"<span class='medn-quiet'>{_NOT_YET}</span>", hint))
            continue
        clips = int(figures.get("randomised_clips", len(attribution)))
        over = f"<span class='medn-quiet'>({clips} clip{'s' * (clips != 1)})</span>"
        survives = alike >= threshold
        word = "<b class='medn-warn'>SURVIVES</b>" if survives else "changes"
        rows.append((f"random, {name}", f"{word}, <b>{alike:.2f}</b> {over}", hint))
    return rows


def _planted(attribution: Attribution, region_of_flow: str) -> list[tuple[str, str, str]]:
    rows = []
    for name, region in (("frames", "cue"), ("flow", region_of_flow)):
        if getattr(attribution, name) is None:
            continue
        share, area = (attribution.sanity.get(f"{what}_{name}") for what in ("planted", "area"))
        hint = f"The share of the absolute map on the planted {region}, beside the region's area, which is chance"
        if share is None or area is None:
            told = "<span class='medn-quiet'>not known: nothing planted, or no places told apart</span>"
        else:
            times = f", {share / area:.1f} times" if area > 0 else ""
            told = f"<b>{share:.0%}</b> <span class='medn-quiet'>area {area:.0%}{times}</span>"
        rows.append((f"on {html.escape(region)}, {name}", told, hint))
    return rows


def verdict_line(attribution: Attribution) -> str:
    """One sentence on what the figures forbid, or that nothing was checked yet."""
    figures = attribution.sanity
    if "randomised_threshold" not in figures:
        return note("Not checked against random weights yet: press Check before you believe where this map is strong.")
    alive = [
        name for name in ("frames", "flow")
        if figures.get(f"randomised_{name}", -np.inf) >= figures["randomised_threshold"]
    ]  # fmt: skip
    if alive:
        return note(
            f"Where the map of the {' and the '.join(alive)} is strong, random weights are strong too: read no "
            "learning from that.",
            warn=True,
        )
    return note(
        "Random weights draw another map: what is here was learned. Whether it is used, only changing the clip says."
    )
