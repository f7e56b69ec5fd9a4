"""Dependence and leakage of the selected clips, beside those of all: a table that fills while it is worked out."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator

import ipywidgets as widgets
import numpy as np
import pandas as pd

from medn_lab.view import theme
from medn_lab.view.selection_measures import (
    NEEDED,
    NOT_ON_A_SCALE,
    is_leak,
    measure_colour,
    measure_title,
    place_of,
)
from medn_lab.widgets.panel import note
from medn_lab.widgets.timing import Steps

COMPUTING = "computing"
_HEADS = {
    "dependence": "dependence of motion and emotion branch",
    "leakage": "leakage: AUC of a probe on unseen subjects",
}
_GRID = "grid-template-columns:max-content 104px repeat(3, 50px);column-gap:10px;text-align:right"
_READING = (
    "● selected  ○ all clips  | chance  ◇ allowed by the branch’s own factor. Lower is better decoupled, but for the"
    " two figures in grey, which a branch should have. A selection made by eye is no sample: these figures describe,"
    " they do not test."
)
_MISSING = (
    "Dependence and leakage of the selection are shown where the explorer is given"
    " measure=medn.diagnose.selection_measures(features)."
)


Measure = Callable[[Iterable[str]], pd.DataFrame]


class MeasuresPanel:
    """The figures of a selection as a small table.

    Parameters
    ----------
    measure : callable or None
        Of clip ids, returning the table of :func:`medn_lab.diagnose.selection_measures`. One with a method ``steps`` is
        gone through step by step.
    clip_ids : (n,) of str
        All clips.
    known : callable
        Called with each table as it comes: of the selection, or of all clips while nothing is selected.
    """

    def __init__(
        self,
        measure: Measure | None,
        *,
        clip_ids: np.ndarray,
        known: Callable[[pd.DataFrame], None],
    ) -> None:
        self.widget = widgets.HTML()
        self._measure, self._ids, self._known = measure, clip_ids, known
        self._all: pd.DataFrame | None = None
        self._own: pd.DataFrame | None = None
        self._whole: Iterator[object] | None = None
        self._steps = Steps()
        self._fault = ""
        self._busy = False
        if measure is None:
            self.widget.value = note(_MISSING)
        elif len(clip_ids):
            self._whole = self._work(measure, None)
            self._draw()

    def start(self) -> None:
        """Begin with the figures of all clips."""
        if self._whole is not None:
            self._steps.go_through(self._whole)

    def follow(self, clip_ids: np.ndarray) -> None:
        """Measure these clips; those asked for before are forgotten."""
        if self._measure is None or self._whole is None:
            return
        self._own, self._fault, self._busy = None, "", bool(len(clip_ids))
        if not len(clip_ids):
            self._draw()
            self._known(self._all if self._all is not None else pd.DataFrame(columns=list(NEEDED)))
            self._steps.go_through(self._whole)
            return
        self._draw(waiting=len(clip_ids))
        self._steps.go_through(self._work(self._measure, clip_ids), self._whole)

    def _work(self, measure: Measure, clip_ids: np.ndarray | None) -> Iterator[bool]:
        wanted = self._ids if clip_ids is None else clip_ids
        by_step = getattr(measure, "steps", None)
        try:
            for table in by_step(wanted) if by_step is not None else iter([measure(wanted)]):
                if clip_ids is None:
                    self._all = table
                    if self._own is None and not self._busy:
                        self._known(table)
                else:
                    self._busy = False
                    self._own = table
                    self._known(table)
                self._draw()
                yield True
        except ValueError as problem:  # what is wrong is said on the page, for nobody sees an exception there
            self._fault = str(problem)
            self._draw()

    def _draw(self, *, waiting: int = 0) -> None:
        own, every = self._own, self._all
        if self._fault:
            self.widget.value = note(self._fault, warn=True)
            return
        rows = own if own is not None else every
        if rows is None:
            self.widget.value = note(f"Dependence and leakage of {waiting or len(self._ids)} clips: computing …")
            return
        parts = []
        for kind, heading in _HEADS.items():
            lines = [
                _line(row, None if own is None else row, _beside(every, row), waiting=bool(waiting))
                for _, row in rows[rows["kind"] == kind].iterrows()
            ]
            parts.append(
                f"<div><div class='medn-note'><b>{heading}</b></div><div class='medn-rows' style='{_GRID}'>"
                f"{_columns()}{''.join(lines)}</div>{_reasons(rows[rows['kind'] == kind])}</div>"
            )
        grid = f"<div style='display:flex;gap:34px;flex-wrap:wrap;margin-bottom:6px'>{''.join(parts)}</div>"
        self.widget.value = grid + note(_of_whom(rows, waiting, own is None) + _READING)


def _reasons(rows: pd.DataFrame) -> str:
    """Why figures are missing, each reason once."""
    told = dict.fromkeys(str(reason) for reason in rows["reason"] if reason not in ("", COMPUTING))
    return note(f"– {'; '.join(told)}") if told else ""


def _of_whom(rows: pd.DataFrame, waiting: int, of_all: bool) -> str:
    if waiting:
        return f"Computing for {waiting} selected clips … "
    if not len(rows):
        return ""
    used, of = int(rows["n_clips"].max()), int(rows.get("drawn_from", rows["n_clips"]).max())
    people = rows["n_subjects"].max() if "n_subjects" in rows else np.nan
    whom = f"{'All' if of_all else 'Selected:'} {of} clips"
    whom += f" of {int(people)} subject{'s' if people != 1 else ''}" if np.isfinite(people) else ""
    return f"{whom}{f', {used} of them drawn for these figures' if used < of else ''}. "


def _columns() -> str:
    heads = "".join(f"<span class='medn-quiet'>{name}</span>" for name in ("selected", "all", "chance"))
    return f"<span></span><span></span>{heads}"


def _line(row: pd.Series, own: pd.Series | None, every: pd.Series | None, *, waiting: bool) -> str:
    colour = measure_colour(row) if row["kind"] == "dependence" or is_leak(row) else theme.GREY
    quiet = "" if row["kind"] == "dependence" or is_leak(row) else " class='medn-quiet'"
    title = f"<span{quiet} style='text-align:left'>{html.escape(measure_title(row))}</span>"
    if row["reason"] not in ("", COMPUTING):
        why = html.escape(str(row["reason"]))
        beside = "" if own is None else _number(every)
        return f"{title}<span></span><b title='{why}'>–</b><span>{beside}</span><span></span>"
    marks = _mark(every, "value", f"width:7px;height:7px;border:2px solid {colour};border-radius:50%", 5)
    marks += _mark(row, "chance", "width:2px;height:11px;background:var(--jp-ui-font-color2,#666)", 1)
    marks += _mark(
        row,
        "allowed",
        "width:6px;height:6px;border:1.5px solid var(--jp-ui-font-color2,#666);transform:rotate(45deg)",
        4,
    )
    if own is not None:
        marks += _mark(own, "value", f"width:9px;height:9px;background:{colour};border-radius:50%", 4)
    track = f"<div class='medn-track' style='background:none;border-bottom:1px solid {theme.FAINT}'>{marks}</div>"
    if row["measure"] in NOT_ON_A_SCALE:
        track = "<span class='medn-quiet' style='text-align:left'>no scale</span>"
    said = "…" if waiting else _number(own)
    return f"{title}{track}<b>{said}</b><span>{_number(every)}</span><span>{_number(row, 'chance')}</span>"


def _mark(row: pd.Series | None, name: str, look: str, half: int) -> str:
    if row is None or name not in row:
        return ""
    place = place_of(row, name)
    if not np.isfinite(place):
        return ""
    return f"<span style='position:absolute;left:calc({100 * place:.1f}% - {half}px);bottom:-1px;{look}'></span>"


def _number(row: pd.Series | None, name: str = "value") -> str:
    if row is None:
        return ""
    if np.isfinite(row[name]):
        said = f"{row[name]:.4f}" if row["measure"] in NOT_ON_A_SCALE else f"{row[name]:.2f}"
        return said if float(said) else said.removeprefix("-")
    return "…" if row["reason"] == COMPUTING else "–"


def _beside(table: pd.DataFrame | None, row: pd.Series) -> pd.Series | None:
    if table is None:
        return None
    keys = ["kind", "measure", "branch", "target"]
    found = table[(table[keys] == row[keys]).all(axis=1)]
    return found.iloc[0] if len(found) else None
