"""What the eight widgets share: their base class, style sheet, notes, chips, tables and controls."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import Predictions, au_columns
from medn_lab.view import theme
from medn_lab.view.answers import clip_au_scores, clip_scores
from medn_lab.view.rows import au_set_texts, coded_aus, label_column, text_of
from medn_lab.widgets.timing import Timer

_MOST_AUS = 5  # bars of a card: first those of coded AUs, then the highest

# Lab's own colours where the page has them, plain ones elsewhere (VS Code, Voila). The first plotly rule lets what a
# figure writes in theme.INK follow the theme; a figure on its own keeps that mid-grey, which reads on both. A drawn
# lasso would catch the pointer: the second lets the points inside of it be hovered and clicked. The arrow of a list is
# a dark picture in ipywidgets, whatever the theme.
SHEET = """
.medn { color: var(--jp-ui-font-color1, #222); font-family: var(--jp-ui-font-family, system-ui, sans-serif); }
.medn .medn-line { font-size: 12.5px; line-height: 1.45; color: var(--jp-ui-font-color1, #222); }
.medn .medn-quiet { color: var(--jp-ui-font-color2, #666); }
.medn .medn-title { font-size: 14px; font-weight: 600; line-height: 1.3; }
.medn .medn-chip { display: inline-block; padding: 0 7px; margin: 1px 3px 1px 0; border-radius: 9px; font-size: 11.5px;
  line-height: 18px; border: 1px solid var(--jp-border-color1, #bbb); white-space: nowrap; }
.medn .medn-dot { font-size: 13px; margin-right: 3px; }
.medn .widget-html-content { line-height: 1.4; }
.medn .medn-rows { display: grid; grid-template-columns: max-content 1fr max-content; column-gap: 6px; row-gap: 2px;
  align-items: center; font-size: 11.5px; line-height: 15px; }
.medn .medn-track { height: 9px; border-radius: 2px; background: var(--jp-layout-color2, #e6e6e6); position: relative; }
.medn .medn-fill { position: absolute; left: 0; top: 0; bottom: 0; border-radius: 2px; }
.medn .medn-stack { display: inline-flex; height: 11px; width: 96px; border-radius: 2px; overflow: hidden;
  vertical-align: middle; }
.medn .medn-group { display: inline-flex; align-items: center; gap: 5px; margin-right: 14px; font-size: 11.5px; }
.medn .medn-card { padding: 2px 4px; }
.medn .medn-note { font-size: 11.5px; line-height: 1.4; color: var(--jp-ui-font-color2, #666); }
.medn .medn-warn { color: var(--jp-warn-color0, #b45f06); }
.medn svg text { fill: var(--jp-ui-font-color1, #333); font-family: inherit; }
.medn .medn-axis { stroke: var(--jp-ui-font-color3, #999); }
.medn .js-plotly-plot .plotly svg text[style*="fill: rgb(122, 122, 122)"] {
  fill: var(--jp-ui-font-color1, #555) !important; }
.medn .js-plotly-plot .plotly .selectionlayer path { pointer-events: none !important; }
.medn .js-plotly-plot .plotly .hoverlayer text { fill: #f4f4f4 !important; }
.medn .widget-image img, .medn img.widget-image, .medn .medn-faces { border-radius: 4px; }
.medn .medn-short { display: inline-block; width: 64px; vertical-align: middle; margin-right: 4px; }
.medn .medn-table { border-collapse: collapse; font-size: 11.5px; line-height: 16px;
  font-variant-numeric: tabular-nums; }
.medn .medn-table th, .medn .medn-table td { padding: 1px 9px 1px 2px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--jp-border-color2, #ddd); background: transparent; color: inherit; }
.medn .medn-table .medn-left { text-align: left; }
.medn .medn-table thead th { font-weight: 600; position: sticky; top: 0; background: var(--jp-layout-color0, #fff); }
.medn .medn-listed select, .medn .medn-listed-head { font-family: var(--jp-code-font-family, monospace);
  font-size: 11.5px; }
[data-jp-theme-light="false"] .medn .widget-dropdown > select { background-image: url("data:image/svg+xml,%3Csvg\
 xmlns='http://www.w3.org/2000/svg' viewBox='0 0 18 18'%3E%3Cpath fill='%23ccc' d='M5.2 5.9 9 9.7l3.8-3.8 1.2 1.2L9\
 12.1 4 7.1z'/%3E%3C/svg%3E"); }
.medn button:focus-visible, .medn select:focus-visible, .medn input:focus-visible, .medn .noUi-handle:focus-visible {
  outline: 2px solid var(--jp-brand-color1, #2196f3); outline-offset: 1px; }
"""


def sheet() -> widgets.HTML:
    """The style sheet as a widget without height; the first child of every widget of this room."""
    return widgets.HTML(f"<style>{SHEET}</style>", layout=widgets.Layout(height="0px", margin="0", padding="0"))


def chip(
    text: str, *, colour: str | None = None, symbol: str | None = None, hint: str = "", faint: bool = False
) -> str:
    """A small rounded label; `text` and `hint` are escaped here."""
    glyph = theme.SYMBOL_GLYPHS.get(symbol or "", "●")
    dot = "" if colour is None else f"<span class='medn-dot' style='color:{colour}'>{glyph}</span>"
    quiet = " medn-quiet" if faint else ""
    return f"<span class='medn-chip{quiet}' title='{html.escape(hint)}'>{dot}{html.escape(text)}</span>"


def emotion_chip(emotion: object, *, count: int | None = None) -> str:
    """A chip in the emotion's colour, with its marker."""
    text = str(emotion) if count is None else f"{emotion} {count}"
    return chip(text, colour=theme.emotion_colour(emotion), symbol=theme.emotion_symbol(emotion))


def note(text: str, *, warn: bool = False) -> str:
    """One quiet sentence, escaped."""
    return f"<div class='medn-note{' medn-warn' if warn else ''}'>{html.escape(text)}</div>" if text else ""


def small_print(lines: list[str]) -> str:
    """Lines of HTML as quiet small print."""
    return "".join(f"<div class='medn-note'>{line}</div>" for line in lines)


Shown = Callable[[object], str]
"""From a value to escaped HTML."""


def plain(value: object) -> str:
    """A text, escaped; nothing where it is missing."""
    return "" if value is None or (np.isscalar(value) and pd.isna(value)) else html.escape(str(value))


def number(value: Any) -> str:
    """A figure with three digits; a dash where it is missing."""
    return "–" if pd.isna(value) else f"{float(value):.3f}"


def count(value: Any) -> str:
    """A whole number; a dash where it is missing."""
    return "–" if pd.isna(value) else f"{int(value):,}"


def share(value: Any) -> str:
    """A share as a bar and a percentage; a dash where it is missing."""
    if pd.isna(value):
        return "–"
    width = f"width:{100 * min(max(float(value), 0.0), 1.0):.0f}%"
    fill = f"<span class='medn-fill' style='{width};background:#2F7FD0'></span>"
    return f"<span class='medn-track medn-short'>{fill}</span> {float(value):.0%}"


def table_html(
    table: pd.DataFrame,
    columns: Mapping[str, tuple[str, Shown]],
    *,
    by: str = "",
    ascending: bool = True,
    most: int = 400,
) -> str:
    """A table with these columns, sorted; missing values stand last.

    Parameters
    ----------
    table : DataFrame
    columns : mapping of column to (title, how a value is shown)
        Columns that the table does not have, or that say nothing in any row, are left out.
    by : str
        Sort by this column.
    ascending : bool
    most : int
        Rows shown; how many more there are is said.
    """
    there = {name: how for name, how in columns.items() if name in table and _says_anything(table[name])}
    rows = table
    if by in table:
        rows = table.sort_values(by, ascending=ascending, kind="stable", na_position="last", key=_sortable)
    left = [how is plain for _, how in there.values()]
    head = "".join(
        f"<th class='{'medn-left' if at_left else ''}'>{html.escape(title)}</th>"
        for (title, _), at_left in zip(there.values(), left, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td class='{'medn-left' if at_left else ''}'>{how(row[name])}</td>"
            for (name, (_, how)), at_left in zip(there.items(), left, strict=True)
        )
        + "</tr>"
        for row in rows.head(most).to_dict("records")
    )
    rest = len(rows) - most
    more = note(f"{rest:,} more rows are not shown.") if rest > 0 else ""
    return f"<table class='medn-table'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def natural_order(names: Iterable[str]) -> list[str]:
    """Names so that AU2 stands before AU10.

    Examples
    --------
    >>> natural_order(["AU10", "AU2", "s1"])
    ['AU2', 'AU10', 's1']
    """
    return sorted(names, key=_padded)


def _padded(name: object) -> str:
    return re.sub(r"\d+", lambda digits: digits[0].zfill(9), str(name))


def _sortable(values: pd.Series) -> pd.Series:
    """Texts in natural order; numbers as they are."""
    return values if pd.api.types.is_numeric_dtype(values) else values.map(_padded)


def _says_anything(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) or bool(values.map(plain).ne("").any())


def clip_heading(row: pd.Series) -> str:
    """Clip id, subject and data set, emotion, and the coded AUs as chips (or one that says why there are none)."""
    table = row.to_frame().T
    label = label_column(table)
    subject, dataset = text_of(row, "subject"), text_of(row, "dataset")
    who = f"<br><span class='medn-note'>subject {', '.join(filter(None, (subject, dataset)))}</span>" if subject else ""
    coded = [name for name, there in coded_aus(row, au_columns(table)).items() if there]
    chips = [emotion_chip(row[label])] if label and text_of(row, label) else []
    chips += [chip(name, hint="coded in this clip") for name in coded] or [chip(au_set_texts(table)[0], faint=True)]
    title = f"<span class='medn-title'>{text_of(row, 'clip_id')}</span>"
    return f"<div class='medn-line'>{title}{who}<br>{''.join(chips)}</div>"


def score_rows(predictions: Predictions | None, clip_id: str) -> str:
    """Emotion scores and the first AU scores of a clip as small bars; a sentence where there are none."""
    if predictions is None:
        return note("No predictions were given, so there are no scores.")
    if clip_id not in set(predictions.table["clip_id"]):
        return note("This clip is not among the predictions.")
    shares, truth = clip_scores(predictions, clip_id)
    emotions = [
        _bar(str(name), value, theme.emotion_colour(name), mark="◀ label" if name == truth else "")
        for name, value in shares.items()
    ]
    parts = [note("emotion scores"), f"<div class='medn-rows'>{''.join(emotions)}</div>"]
    aus = clip_au_scores(predictions, clip_id)
    first = aus.assign(there=aus["coded"].eq(True)).sort_values(["there", "probability"], ascending=False)
    bars = [
        _bar(au, value, theme.branch_colour("motion"), mark={True: "◆ coded", False: "◇ absent"}.get(coded, ""))
        for au, value, coded in first.head(_MOST_AUS).sort_index()[["au", "probability", "coded"]].to_numpy()
    ]
    parts.append(note("AU scores" if bars else "This model gives no AU scores."))
    return "".join([*parts, f"<div class='medn-rows'>{''.join(bars)}</div>" if bars else ""])


def _bar(name: str, value: float, colour: str, *, mark: str) -> str:
    """A line of `score_rows`: a name, a bar from 0 to 1, a percentage and a mark."""
    fill = f"<div class='medn-fill' style='width:{100 * value:.1f}%;background:{colour}'></div>"
    return f"<span>{html.escape(name)}</span><div class='medn-track'>{fill}</div><span>{value:.0%} {mark}</span>"


class Panel(widgets.VBox):
    """A widget of this room.

    Parameters
    ----------
    children : list of Widget
        What is shown below the style sheet.
    name : str
        Of its CSS class: ``medn-<name>``.
    width : str
        As CSS writes it.
    results : dict
        The first values of its read-only traits.
    **traits
        The first values of its other traits.
    """

    def __init__(
        self, children: list[widgets.Widget], *, name: str, width: str, results: dict[str, Any], **traits: Any
    ) -> None:
        super().__init__(children=[sheet(), *children], layout=widgets.Layout(width=width, overflow="hidden"), **traits)
        self.add_class("medn")
        self.add_class(f"medn-{name}")
        for trait, value in results.items():
            self.set_trait(trait, value)

    def __repr__(self) -> str:
        return super().__repr__() if self.comm is not None else f"{type(self).__name__} (closed)"

    def _bind(
        self,
        trait: str,
        control: widgets.Widget,
        *,
        to_control: Callable[[Any], Any] = lambda value: value,
        to_trait: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        """Keep a trait and the value of a control equal; a value that the trait refuses is shown and taken back."""

        def write(change: traitlets.Bunch) -> None:
            try:
                setattr(self, trait, to_trait(change.new))
            except (ValueError, traitlets.TraitError) as problem:
                self._warn(str(problem))
            control.value = to_control(getattr(self, trait))

        control.value = to_control(getattr(self, trait))
        control.observe(write, "value")
        self.observe(lambda change: setattr(control, "value", to_control(change.new)), trait)

    def _try(self, act: Callable[[], object]) -> None:
        """Do what a control asks for; a ValueError is shown on the page, where ipywidgets would hide it in a log."""
        try:
            act()
        except ValueError as problem:
            self._warn(str(problem))

    def _warn(self, text: str) -> None:
        """Show a sentence as a warning; each widget that uses `_try` says where."""
        raise NotImplementedError(f"{type(self).__name__} shows no warning: _warn is abstract")

    def close(self) -> None:
        """Take the widget off every page, free all its parts and stop what waits; twice is harmless."""
        for part in parts_of(self):
            if isinstance(part, Timer):
                part.cancel()
            elif part is not self:
                part.close()
        super().close()


def control(
    kind: type[widgets.Widget], description: str = "", *, width: str = "auto", margin: str = "2px", **options: Any
) -> Any:
    """A control of ipywidgets with a label as long as its text and a width."""
    if not issubclass(kind, widgets.Button):
        options.setdefault("style", {"description_width": "initial"})
    return kind(description=description, layout=widgets.Layout(width=width, margin=margin), **options)


@contextmanager
def trait_errors() -> Iterator[None]:
    """Raise a ValueError from inside as a TraitError, so that a validator can use the checks of the methods."""
    try:
        yield
    except ValueError as problem:
        raise traitlets.TraitError(str(problem)) from None


def parts_of(root: widgets.Widget) -> list[Any]:
    """Every widget and every timer that a widget holds, however deep, itself included."""
    found: list[Any] = []
    seen: set[int] = set()
    left: list[Any] = [root]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, (list, tuple)):
            left += one
        elif isinstance(one, widgets.Widget) or type(one).__module__.startswith("medn_lab.widgets."):
            left += getattr(one, "__dict__", {}).values()
            if isinstance(one, (widgets.Widget, Timer)):
                found.append(one)
    return found
