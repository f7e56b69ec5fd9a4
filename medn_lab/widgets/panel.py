"""What the eight widgets share: their base class, style sheet, notes, chips, tables and controls."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
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

SHEET = Path(__file__).with_name("panel.css").read_text(encoding="utf-8")
"""The style sheet of every widget of this room."""
_MOST_AUS = 5  # bars of a card: first those of coded AUs, then the highest


def emotion_chip(emotion: object, *, count: int | None = None) -> str:
    """A small rounded label in the emotion's colour, with its marker."""
    glyph = theme.SYMBOL_GLYPHS.get(theme.emotion_symbol(emotion), "●")
    dot = f"<span class='medn-dot' style='color:{theme.emotion_colour(emotion)}'>{glyph}</span>"
    text = html.escape(str(emotion)) + ("" if count is None else f" {count}")
    return f"<span class='medn-chip'>{dot}{text}</span>"


def note(text: str, *, warn: bool = False) -> str:
    """One quiet sentence, escaped."""
    return f"<div class='medn-note{' medn-warn' if warn else ''}'>{html.escape(text)}</div>" if text else ""


def small_print(lines: list[str]) -> str:
    """Lines of HTML as quiet small print."""
    return "".join(f"<div class='medn-note'>{line}</div>" for line in lines)


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
    width = f"width:{100 * np.clip(value, 0, 1):.0f}%"
    fill = f"<span class='medn-fill' style='{width};background:#2F7FD0'></span>"
    return f"<span class='medn-track medn-short'>{fill}</span> {float(value):.0%}"


def table_html(
    table: pd.DataFrame,
    columns: Mapping[str, tuple[str, Callable[[Any], str]]],
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
        How: from a value to escaped HTML. Columns that the table does not have, or that are empty in every row, are
        left out.
    by : str
        Sort by this column.
    ascending : bool
    most : int
        Rows shown; the number of the others stands below.
    """
    there = {
        name: how for name, how in columns.items()
        if name in table and (_numeric(table[name]) or table[name].map(plain).ne("").any())
    }  # fmt: skip
    rows = table
    if by in table:
        rows = table.sort_values(
            by, ascending=ascending, kind="stable", na_position="last",
            key=lambda values: values if _numeric(values) else values.map(_padded),
        )  # fmt: skip

    def line(tag: str, cells: Iterable[str]) -> str:
        left = [" class='medn-left'" if how is plain else "" for _, how in there.values()]
        return f"<tr>{''.join(f'<{tag}{a}>{b}</{tag}>' for a, b in zip(left, cells, strict=True))}</tr>"

    head = line("th", (html.escape(title) for title, _ in there.values()))
    body = "".join(
        line("td", (how(row[name]) for name, (_, how) in there.items())) for row in rows.head(most).to_dict("records")
    )
    more = note(f"{len(rows) - most:,} more rows are not shown.") if len(rows) > most else ""
    return f"<table class='medn-table'><thead>{head}</thead><tbody>{body}</tbody></table>{more}"


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


_numeric = pd.api.types.is_numeric_dtype


def clip_heading(row: pd.Series) -> str:
    """Clip id, subject and data set, emotion, and the coded AUs as chips (or one that says why there are none)."""
    table = row.to_frame().T
    label = label_column(table)
    subject, dataset = text_of(row, "subject"), text_of(row, "dataset")
    who = f"<br><span class='medn-note'>subject {', '.join(filter(None, (subject, dataset)))}</span>" if subject else ""
    coded = [name for name, there in coded_aus(row, au_columns(table)).items() if there]
    chips = [emotion_chip(row[label])] if label and text_of(row, label) else []
    quiet = "" if coded else " medn-quiet"
    chips += [f"<span class='medn-chip{quiet}'>{html.escape(one)}</span>" for one in coded or au_set_texts(table)]
    title = f"<span class='medn-title'>{text_of(row, 'clip_id')}</span>"
    return f"<div class='medn-line'>{title}{who}<br>{''.join(chips)}</div>"


def score_rows(predictions: Predictions | None, clip_id: str) -> str:
    """Emotion scores and the first AU scores of a clip as small bars; a sentence where there are none."""
    if predictions is None:
        return note("No predictions were given, so there are no scores.")
    if clip_id not in set(predictions.table["clip_id"]):
        return note("This clip is not among the predictions.")
    shares, truth = clip_scores(predictions, clip_id)
    aus = clip_au_scores(predictions, clip_id)
    first = aus.assign(there=aus["coded"].eq(True)).sort_values(["there", "probability"], ascending=False)
    au_rows = first.head(_MOST_AUS).sort_index()[["au", "probability", "coded"]].to_numpy()
    bars = {
        "emotion scores": [
            (str(name), value, theme.emotion_colour(name), "◀ label" if name == truth else "")
            for name, value in shares.items()
        ],
        "AU scores" if len(au_rows) else "This model gives no AU scores.": [
            (au, value, theme.branch_colour("motion"), {True: "◆ coded", False: "◇ absent"}.get(coded, ""))
            for au, value, coded in au_rows
        ],
    }
    return "".join(
        f"{note(title)}<div class='medn-rows'>{''.join(map(_bar, own))}</div>" for title, own in bars.items()
    )


def _bar(bar: tuple[str, float, str, str]) -> str:
    """A line of `score_rows`: a name, a bar from 0 to 1, a percentage and a mark."""
    name, value, colour, mark = bar
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
        sheet = widgets.HTML(f"<style>{SHEET}</style>", layout=widgets.Layout(height="0px", margin="0", padding="0"))
        super().__init__(children=[sheet, *children], layout=widgets.Layout(width=width, overflow="hidden"), **traits)
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

        def show(_: object = None) -> None:
            control.value = to_control(getattr(self, trait))

        def write(change: traitlets.Bunch) -> None:
            self._try(lambda: setattr(self, trait, to_trait(change.new)))
            show()

        show()
        control.observe(write, "value")
        self.observe(show, trait)

    def _try(self, act: Callable[[], object]) -> None:
        """Do what a control asks for; what is refused is shown on the page, where ipywidgets would hide it in a log."""
        try:
            act()
        except (ValueError, traitlets.TraitError) as problem:
            self._warn(str(problem))

    def _button(self, text: str, icon: str, hint: str, act: Callable[[], object]) -> widgets.Button:
        """A button that does this; what is refused is shown on the page."""
        made = control(widgets.Button, text, icon=icon, tooltip=hint)
        made.on_click(lambda _: self._try(act))
        return made

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
    seen: dict[int, Any] = {}
    left: list[Any] = [root]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(one, (dict, list, tuple)):
            left += one.values() if isinstance(one, dict) else one
        elif isinstance(one, widgets.Widget) or type(one).__module__.startswith("medn_lab.widgets."):
            left += getattr(one, "__dict__", {}).values()
    return [one for one in seen.values() if isinstance(one, (widgets.Widget, Timer))]
