"""What is written beside a clip: its names, coded AUs, AU bars and emotion scores, as HTML with escaped texts."""

from __future__ import annotations

import html

import pandas as pd

from medn_lab.records import Predictions, au_columns
from medn_lab.view import theme
from medn_lab.view.rows import au_set_names, au_set_texts, coded_aus, label_column, persons, rightness, text_of
from medn_lab.view.scores import ABSENT, clip_au_scores, clip_scores
from medn_lab.widgets.panel import chip, emotion_chip, note

_MOST_BARS = 5
_MOST_SETS = 5


def clip_heading(row: pd.Series) -> str:
    """Clip id, subject and data set, emotion and AU chips."""
    column = label_column(row.to_frame().T)
    emotion = "" if column is None or not text_of(row, column) else emotion_chip(row[column])
    names = [f"<span class='medn-title'>{text_of(row, 'clip_id')}</span>"]
    if text_of(row, "subject"):
        dataset = text_of(row, "dataset")
        names.append(
            f"<span class='medn-note'>subject {text_of(row, 'subject')}{', ' + dataset if dataset else ''}</span>"
        )
    return f"<div class='medn-line'>{'<br>'.join(names)}<br>{emotion}{au_chips(row)}</div>"


def au_chips(row: pd.Series) -> str:
    """The coded AUs as chips, or one chip that says that none is, or that they are unknown."""
    names = [name for name, there in coded_aus(row, au_columns(row.to_frame().T)).items() if there]
    if names:
        return "".join(chip(name, hint="coded in this clip") for name in names)
    return chip(str(au_set_texts(row.to_frame().T)[0]), faint=True)


def score_rows(predictions: Predictions | None, clip_id: str) -> str:
    """Emotion scores and AU scores of a clip as small bars; a sentence where there are none."""
    if predictions is None:
        return note("No predictions were given, so there are no scores.")
    if clip_id not in set(predictions.table["clip_id"]):
        return note("This clip is not among the predictions.")
    shares, truth = clip_scores(predictions, clip_id)
    rows = [
        _bar(name, share, theme.emotion_colour(name), strong=name == truth, mark="◀ label" if name == truth else "")
        for name, share in shares.items()
    ]
    parts = ["<div class='medn-note'>emotion scores</div>", _grid(rows)]
    aus = clip_au_scores(predictions, clip_id)
    if aus.empty:
        return "".join([*parts, note("This model gives no AU scores.")])
    order = [(value is not True, -chance) for value, chance in zip(aus["coded"], aus["probability"], strict=True)]
    keep = sorted(sorted(range(len(aus)), key=order.__getitem__)[:_MOST_BARS])
    colour = theme.branch_colour("motion")
    au_rows = [
        _bar(au, chance, colour if chance >= 0.5 else ABSENT, mark=_coded_mark(coded), strong=coded is True)
        for au, chance, coded in aus.iloc[keep][["au", "probability", "coded"]].itertuples(index=False)
    ]
    heading = f"AU scores <span style='color:{theme.RING}'>◆</span> coded"
    return "".join([*parts, f"<div class='medn-note' style='margin-top:4px'>{heading}</div>", _grid(au_rows)])


def _coded_mark(coded: bool | None) -> str:
    if coded is None:
        return ""
    hint, mark = ("coded", "◆") if coded else ("coded absent", "◇")
    return f"<span style='color:{theme.RING}' title='{hint}'>{mark}</span>"


def _bar(name: str, share: float, colour: str, *, strong: bool = False, mark: str = "") -> str:
    label = f"<b>{html.escape(name)}</b>" if strong else html.escape(name)
    fill = f"<div class='medn-fill' style='width:{100 * share:.1f}%;background:{colour}'></div>"
    return f"<span>{label}</span><div class='medn-track'>{fill}</div><span>{share:.0%} {mark}</span>"


def _grid(rows: list[str]) -> str:
    return f"<div class='medn-rows'>{''.join(rows)}</div>"


def selection_text(table: pd.DataFrame, *, of: int, hidden: int = 0) -> str:
    """What is selected: clips, subjects, emotions, and how each AU set in it falls apart by emotion.

    `of` clips are on the maps, `hidden` more are hidden by the filter.
    """
    if not len(table):
        return (
            "<div class='medn-line medn-quiet'>Nothing is selected: draw a lasso in a map, or choose a group under "
            "<i>Light up</i>. Hover or click a point to see the clip.</div>"
        )
    said = [f"<b>{len(table)} of {of} {'shown ' if hidden else ''}clips</b>"]
    if "subject" in table.columns:
        people = persons(table).nunique()
        said.append(f"{people} subject{'s' if people != 1 else ''}")
    column = label_column(table)
    lines = []
    if column:
        counts = table[column].dropna().astype(str).value_counts()
        said.append("".join(emotion_chip(name, count=count) for name, count in counts.items()))
    known, right = rightness(table)
    if known.any():
        said.append(f"{right[known].mean():.0%} of {'them' if known.all() else f'{known.sum()}'} predicted right")
    lines.append(f"<div class='medn-line'>{' · '.join(said)}</div>")
    sets = pd.Series(au_set_names(table))
    groups = [
        _set_group(name, table[(sets == name).to_numpy()], column) for name in sets.value_counts().index[:_MOST_SETS]
    ]
    rest = sets.nunique() - len(groups)
    more = f"<span class='medn-quiet medn-group'>and {rest} more AU sets</span>" if rest > 0 else ""
    return "".join([*lines, f"<div>{''.join(groups)}{more}</div>"])


def _set_group(name: str, table: pd.DataFrame, column: str | None) -> str:
    text = f"<b>{html.escape(name)}</b> {len(table)}"
    if column is None:
        return f"<span class='medn-group'>{text}</span>"
    counts = table[column].dropna().astype(str).value_counts()
    parts = "".join(
        f"<span style='width:{100 * count / counts.sum():.1f}%;background:{theme.emotion_colour(emotion)}'></span>"
        for emotion, count in counts.items()
    )
    hint = html.escape(", ".join(f"{emotion} {count}" for emotion, count in counts.items()))
    return f"<span class='medn-group' title='{hint}'>{text} <span class='medn-stack'>{parts}</span></span>"
