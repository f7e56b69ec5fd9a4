"""What is written about a pair: its clips' cards, the verdict of each branch, its pictures; HTML with escaped texts."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import pandas as pd

from medn_lab.records import BranchFeatures, Predictions, positions
from medn_lab.view import theme
from medn_lab.view.images import data_uri, to_webp
from medn_lab.view.pair_tiles import Tile
from medn_lab.view.pair_words import APART, HOPED, BranchVerdict, branch_verdicts, model_verdict, swap_lines
from medn_lab.widgets.panel import clip_heading, note, score_rows

TILE = 190


def clip_card(row: pd.Series, predictions: Predictions | None, *, letter: str) -> str:
    """One clip of a pair: its names, emotion, AUs and scores."""
    lacking = _not_a_class(row, predictions)
    heading = f"<div class='medn-note'>clip {letter}</div>{clip_heading(row)}"
    return f"<div class='medn-card'>{heading}{score_rows(predictions, row['clip_id'])}{note(lacking, warn=True)}</div>"


def _not_a_class(row: pd.Series, predictions: Predictions | None) -> str:
    emotion = row.get("label")
    if predictions is None or pd.isna(emotion) or str(emotion) in predictions.classes:
        return ""
    return f"These predictions know no {emotion!r}: their classes are {', '.join(predictions.classes)}."


def verdict_panel(pair: pd.Series, *, features: BranchFeatures | None, swaps: pd.DataFrame | None, told: str) -> str:
    """The verdict of each branch and of the model, side by side; `told` stands where the swaps would."""
    verdicts = branch_verdicts(pair)
    columns = [_branch(verdict) for verdict in verdicts]
    if not verdicts:
        columns.append(note("These pairs hold no branch's verdict: hand over the table of medn.diagnose.rank_pairs."))
    columns.append(_model(pair, features, swaps, told))
    cells = "".join(f"<div style='flex:1 1 0;min-width:0'>{column}</div>" for column in columns)
    return f"<div class='medn-verdicts' style='display:flex;gap:18px'>{cells}</div>"


def _branch(verdict: BranchVerdict) -> str:
    colour = theme.branch_colour(verdict.branch)
    bar = ""
    if not np.isnan(verdict.beyond):
        hint = f"{verdict.beyond:.0%} of {verdict.n_controls} controls lie nearer together; from {APART:.0%} on: apart"
        bar = (
            f"<div class='medn-track' title='{hint}' style='margin:3px 0'>"
            f"<div class='medn-fill' style='width:{100 * verdict.beyond:.1f}%;background:{colour}'></div>"
            f"<div style='position:absolute;left:{100 * APART:.0f}%;top:-2px;bottom:-2px;width:2px;"
            f"background:{theme.INK}'></div></div>"
        )
    lines = "".join(note(line[:1].upper() + line[1:] + ".") for line in verdict.lines)
    word = f"<b>{html.escape(verdict.word)}</b>"
    head = f"<span style='color:{colour}'>■</span> {verdict.branch} branch: {word}"
    hoped = f"<span class='medn-quiet'>({HOPED[verdict.branch]})</span>"
    return f"<div class='medn-line'>{head} {hoped}</div>{bar}{lines}"


def _model(pair: pd.Series, features: BranchFeatures | None, swaps: pd.DataFrame | None, told: str) -> str:
    colour = theme.branch_colour("fused")
    said = model_verdict(pair)
    word = f"<b>{html.escape(str(pair['verdict']))}</b>" if said else "<b>no predictions</b>"
    lines = [note(line[:1].upper() + line[1:] + ".") for line in (swap_lines(swaps) if swaps is not None else [])]
    lines += [note(told), note(gate_line(pair, features))]
    return f"<div class='medn-line'><span style='color:{colour}'>■</span> whole model: {word}</div>{''.join(lines)}"


def gate_line(pair: pd.Series, features: BranchFeatures | None) -> str:
    """The mean gate of both clips in words, or why there is none."""
    if features is None:
        return ""
    if features.gate is None:
        return "These features hold no gate: the fusion of this model has none."
    known = set(features.table["clip_id"])
    missing = [pair[f"clip_{side}"] for side in "ab" if pair[f"clip_{side}"] not in known]
    if missing:
        return f"{missing[0]} is not among the features, so its gate is not known."
    rows = positions(features.table, [pair["clip_a"], pair["clip_b"]], owner="these features")
    a, b = features.gate[rows].mean(axis=1)
    return f"Mean gate: {a:.2f} in a, {b:.2f} in b (1 takes the motion side, 0 the emotion side)."


def tile_row(tiles: Sequence[Tile]) -> str:
    """Pictures side by side, each with a line above and below."""
    return f"<div class='medn-tiles' style='display:flex;gap:10px;flex-wrap:wrap'>{''.join(map(_tile, tiles))}</div>"


def _tile(tile: Tile) -> str:
    look = f"width:{TILE}px"
    head = f"<div class='medn-note' style='{look};white-space:nowrap;overflow:hidden'>{html.escape(tile.heading)}</div>"
    if tile.picture is None:
        inside = f"<div class='medn-note' style='padding:60px 14px'>{html.escape(tile.note)}</div>"
        return f"<div style='{look}'>{head}{inside}</div>"
    source = data_uri(to_webp([tile.picture], quality=84))
    alt = html.escape(f"{tile.heading}: {tile.note}", quote=True)
    picture = f"<img class='medn-faces' src='{source}' alt='{alt}' style='{look};display:block'>"
    return f"<div>{head}{picture}<div class='medn-note' style='{look}'>{html.escape(tile.note)}</div></div>"
