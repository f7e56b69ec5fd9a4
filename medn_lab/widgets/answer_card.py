"""What a model answers to one clip, as HTML: scores beside the truth, the gate, AU scores, and a verdict in words."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd

from medn_lab.records import Clips, LivePrediction
from medn_lab.view import theme
from medn_lab.view.answer_pictures import table_allows
from medn_lab.view.answers import ABSENT, clip_au_scores, gate_of, score_table
from medn_lab.widgets.panel import emotion_chip, note

_COLUMNS = {
    "given_aus": ("AUs allow", "What the published table allows with these AUs alone", ""),
    "given_cue": ("AUs + cue", "What it allows with these AUs and this cue", ""),
    "model": ("model", "The whole model", ""),
    "frames_alone": ("frames alone", "The model with a flow of zeros: the emotion branch's view", "emotion"),
    "flow_alone": ("flow alone", "The model with frames that stand still: the motion branch's view", "motion"),
}


def scores_html(answers: LivePrediction, clips: Clips, clip_id: str) -> str:
    """Emotions in rows, what is true and what is said in columns."""
    table = score_table(answers, clips, clip_id)
    shown = [name for name in _COLUMNS if table[name].notna().any() or name in ("given_aus", "model")]
    head = "<span></span>" + "".join(_head(*_COLUMNS[name]) for name in shown)
    rows = []
    for emotion, row in table.iterrows():
        colour = theme.emotion_colour(emotion)
        rows.append(
            f"<span><span style='color:{colour}'>{theme.SYMBOL_GLYPHS.get(theme.emotion_symbol(emotion), '●')}</span> "
            f"{html.escape(str(emotion))}</span>" + "".join(_cell(row[name], colour) for name in shown)
        )
    columns = f"grid-template-columns:max-content repeat({len(shown)}, 1fr);column-gap:8px"
    return f"<div class='medn-rows' style='{columns}'>{head}{''.join(rows)}</div>"


def _head(title: str, hint: str, branch: str) -> str:
    line = f"border-bottom:2px solid {theme.branch_colour(branch)}" if branch else ""
    return f"<span title='{html.escape(hint, quote=True)}'><span style='{line}'>{title}</span></span>"


def _cell(share: float, colour: str) -> str:
    if np.isnan(share):
        return "<span class='medn-quiet'>–</span>"
    fill = f"<div class='medn-fill' style='width:{100 * share:.0f}%;background:{colour}'></div>"
    return (
        "<span style='display:flex;align-items:center;gap:4px'>"
        f"<span class='medn-track' style='flex:1 1 auto'>{fill}</span>"
        f"<span style='width:32px;text-align:right'>{share:.0%}</span></span>"
    )


def gate_html(answers: LivePrediction, clip_id: str) -> str:
    """The mean gate as a mark between the branches."""
    gate = gate_of(answers, clip_id)
    if gate is None:
        return note("This network has no gate.")
    emotion, motion = theme.branch_colour("emotion"), theme.branch_colour("motion")
    ground = f"background:linear-gradient(90deg,{emotion},{motion});opacity:.85"
    mark = (
        f"<span style='position:absolute;left:calc({100 * gate:.0f}% - 2px);top:-3px;bottom:-3px;width:4px;"
        f"border-radius:2px;background:{theme.RING};border:1px solid #222'></span>"
    )
    return (
        "<div class='medn-rows' style='grid-template-columns:max-content 1fr max-content max-content' title='The mean "
        "of the gate over the fused feature: 0 takes the emotion side, 1 the motion side'>"
        f"<span style='color:{emotion}'>emotion</span><div class='medn-track' style='{ground}'>{mark}</div>"
        f"<span style='color:{motion}'>motion</span><b>gate {gate:.2f}</b></div>"
    )


def aus_html(answers: LivePrediction, clip_id: str) -> str:
    """All AU scores in two columns, those that were set marked."""
    table = clip_au_scores(answers.predictions, clip_id)
    if table.empty:
        return note("This model gives no AU scores: it has no motion branch, or was taught no AUs.")
    scores = list(zip(table["au"], table["probability"], table["coded"], strict=True))
    half = -(-len(scores) // 2)
    colour = theme.branch_colour("motion")
    cells = []
    for first in range(half):
        for place in (first, first + half):
            if place >= len(scores):
                cells.append("<span></span>" * 3)
                continue
            au, share, coded = scores[place]
            mark = f"<span style='color:{theme.RING}' title='was set'>◆</span>" if coded is True else ""
            name = f"<b>{html.escape(au)}</b>" if coded is True else html.escape(au)
            fill = f"width:{100 * share:.0f}%;background:{colour if share >= 0.5 else ABSENT}"
            cells.append(
                f"<span>{name}</span><div class='medn-track'><div class='medn-fill' style='{fill}'></div></div>"
                f"<span style='min-width:44px'>{share:.0%} {mark}</span>"
            )
    columns = "grid-template-columns:max-content 1fr max-content max-content 1fr max-content;column-gap:6px"
    heading = (
        f"<div class='medn-note'>AU scores of the <span style='color:{colour}'>motion branch</span> "
        f"<span style='color:{theme.RING}'>◆</span> set</div>"
    )
    return f"{heading}<div class='medn-rows' style='{columns}'>{''.join(cells)}</div>"


def verdict(answers: LivePrediction | None, clips: Clips, clip_id: str) -> str:
    """What the model says and whether it is right, or why nobody can say, as one line of HTML."""
    row = clips.table.set_index("clip_id").loc[clip_id]
    moves = any(row.get(au) == 1 for au in clips.aus)
    said = ""
    if answers is not None:
        place = list(answers.predictions.table["clip_id"]).index(clip_id)
        share = float(answers.predictions.probabilities[place].max())
        said = f"The model says {emotion_chip(answers.predictions.predicted[place])}{share:.0%}. "
    if not moves:
        cue = str(row.get("cue"))
        what = "and the cue is still" if cue in ("still", "absent") else f"and only the cue is there ({cue})"
        more = " Its answer is to noise, and no emotion is true." if said else ""
        return _line(f"{said}<b>No movement:</b> no AU is set {html.escape(what)}.{more}")
    label = row.get("label")
    if label is None or pd.isna(label):
        table = None if answers is None else score_table(answers, clips, clip_id)
        several = table is not None and table["given_cue"].notna().any()
        why = "without a cue the table leaves several" if several else "this AU set is not in the published table"
        return _line(f"{said}No emotion is true of this clip: {why}.")
    truth = f"AUs and cue together mean {emotion_chip(label)}"
    if answers is None:
        return _line(truth)
    if str(label) not in answers.predictions.classes:
        known = html.escape(", ".join(answers.predictions.classes))
        return _line(f"{said}{truth}, which is none of this model's classes ({known}).")
    right = answers.predictions.predicted[list(answers.predictions.table["clip_id"]).index(clip_id)] == label
    return _line(f"{said}{truth}: <b>{'right' if right else 'wrong'}</b>.")


def _line(text: str) -> str:
    return f"<div class='medn-line'>{text}</div>"


def allowed_html(clips: Clips, clip_id: str) -> str:
    """What the table allows, where there is no model to stand beside it."""
    allowed = table_allows(clips, clip_id)
    if allowed is None or allowed["given_aus"].isna().all():
        return note("The published table says nothing of these AUs.")
    told = ", ".join(f"{name} {share:.0%}" for name, share in allowed["given_aus"].items() if share > 0)
    return note(f"The AUs alone allow {told}.")


def answer_row(name: str, clips: Clips, answers: LivePrediction | None) -> dict[str, object]:
    """One clip as a row of the selection."""
    row = clips.table.iloc[0]
    told = {"slot": name, **{key: row.get(key) for key in ("clip_id", "action_units", "side", "cue", "label")}}
    if answers is not None:
        told |= {"predicted": answers.predictions.predicted[0], "p": float(answers.predictions.probabilities.max())}
        told["gate"] = gate_of(answers, row["clip_id"])
        for part in ("frames_alone", "flow_alone"):
            said = getattr(answers, part)
            told[part] = None if said is None else said.predicted[0]
    return told
