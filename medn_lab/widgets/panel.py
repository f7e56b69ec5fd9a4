"""What the eight widgets share: base classes, controls, figures, written pages, and clips and tables as HTML."""

from __future__ import annotations

import asyncio
import base64
import gzip
import html
import json
import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs

from medn_lab.records import Predictions, au_columns
from medn_lab.view import theme
from medn_lab.view.answers import au_bars, score_bars
from medn_lab.view.rows import au_set_names, au_set_texts, coded_aus, hover_texts, label_column, text_of

NARROW = 800  # pixels for which figures are laid out that follow the width of the page
_HERE = Path(__file__).parent
_SHEET = (_HERE / "panel.css").read_text(encoding="utf-8")
_TABLE: dict[str, Any] = {"index": False, "border": 0, "na_rep": "–", "float_format": "{:.3f}".format}
_MOST_AUS = 5  # bars of a card: first those of coded AUs, then the highest
_MOST_NAMES = 400


def emotion_chip(emotion: object, *, count: int | None = None) -> str:
    """A small rounded label in the emotion's colour, with its marker."""
    glyph = theme.SYMBOL_GLYPHS.get(theme.emotion_style(emotion)[1], "●")
    dot = f"<span class='medn-dot' style='color:{theme.emotion_colour(emotion)}'>{glyph}</span>"
    text = html.escape(str(emotion)) + ("" if count is None else f" {count}")
    return f"<span class='medn-chip'>{dot}{text}</span>"


def note(text: str, *, warn: bool = False, escape: bool = True) -> str:
    """One quiet sentence."""
    text = html.escape(text) if escape else text
    return f"<div class='medn-note{' medn-warn' if warn else ''}'>{text}</div>" if text else ""


def table_html(table: pd.DataFrame, titles: Mapping[str, str], *, shares: Iterable[str] = ()) -> str:
    """A table with these columns under their titles, `shares` in percent; columns that are empty are left out."""
    shown = table.reindex(columns=list(titles))
    shown = shown.loc[:, (shown.notna() & (shown != "")).any()]
    for name in shown.columns.intersection(list(shares)):
        shown[name] = shown[name].map("{:.0%}".format, na_action="ignore")
    return str(shown.rename(columns=titles).to_html(classes="medn-table", **_TABLE))


def clip_headings(table: pd.DataFrame) -> list[str]:
    """Id, subject and data set, emotion, and coded AUs as chips (or one that says why there are none), of each clip."""
    label, names, found = label_column(table), au_columns(table), []
    for row, reason in zip(table.to_dict("records"), au_set_texts(table), strict=True):
        subject, coded = text_of(row, "subject"), [name for name, there in coded_aus(row, names).items() if there]
        who = ", ".join(filter(None, (subject, text_of(row, "dataset"))))
        who = f"<br><span class='medn-note'>subject {who}</span>" if subject else ""
        chips = [emotion_chip(row[label])] if label and text_of(row, label) else []
        quiet = "" if coded else " medn-quiet"
        chips += [f"<span class='medn-chip{quiet}'>{html.escape(one)}</span>" for one in coded or [reason]]
        title = f"<span class='medn-title'>{text_of(row, 'clip_id')}</span>"
        found.append(f"<div class='medn-line'>{title}{who}<br>{''.join(chips)}</div>")
    return found


def score_rows(predictions: Predictions | None, clip_id: str) -> str:
    """Emotion scores and the first AU scores of a clip as small bars; a sentence where there are none."""
    if predictions is None:
        return note("No predictions were given, so there are no scores.")
    if clip_id not in set(predictions.table["clip_id"]):
        return note("This clip is not among the predictions.")
    aus = au_bars(predictions, clip_id, most=_MOST_AUS)
    title = "AU scores (◆ coded, ◇ absent)" if aus else "no AU scores"
    aus |= {"labels": [html.escape(label) for label in aus.get("labels", ())]}
    return _bars("emotion scores", **score_bars(predictions, clip_id)) + _bars(title, **aus)


def _bars(title: str, *, labels: Iterable[str], values: Any = (), colours: Iterable[str] = (), **_: object) -> str:
    rows = [
        f"<span>{label}</span><div class='medn-track'><div class='medn-fill'"
        f" style='width:{share:.1%};background:{colour}'></div></div><span>{share:.0%}</span>"
        for label, share, colour in zip(labels, values, colours, strict=True)
    ]
    return f"{note(title)}<div class='medn-rows'>{''.join(rows)}</div>"


def clip_chooser(description: str, table: pd.DataFrame, *, none: str = "") -> widgets.Widget:
    """A list of the clips with AUs and emotion, first `none` for no clip; of many clips a field for an id."""
    if len(table) > _MOST_NAMES:
        return widgets.Combobox(description=description, continuous_update=False, placeholder="type an id")
    texts = [html.unescape(re.sub("</?b>", "", text)).replace("<br>", " · ") for text in hover_texts(table)]
    options = [*zip(texts, table["clip_id"].astype(str), strict=True)]
    return widgets.Dropdown(description=description, options=[(none, "")] * bool(none) + options)


class Refused(traitlets.TraitError, ValueError):
    """A value that a trait cannot have; a ValueError for who set it by a method."""


def validates(*names: str) -> Callable[[Callable[[Any, str, Any], Any]], Any]:
    """Make a method the check of these traits: it takes a name and a value, and returns it or raises ValueError."""

    def made(check: Callable[[Any, str, Any], Any]) -> Any:
        def validate(self: Any, proposal: traitlets.Bunch) -> Any:
            try:
                return check(self, proposal.trait.name, proposal.value)
            except ValueError as problem:
                raise Refused(str(problem)) from None

        return traitlets.validate(*names)(validate)

    return made


class Panel(widgets.VBox):
    """A widget of this room; its CSS class is ``medn-`` and its name.

    A widget puts `_message`, which holds the sentences of `_say`, on the page before it calls ``__init__``.

    Parameters
    ----------
    children : list of Widget
        What is shown below the style sheet.
    """

    _message: widgets.HTML

    def __init__(self, children: list[widgets.Widget]) -> None:
        super().__init__([widgets.HTML(f"<style>{_SHEET}</style>"), *children])
        self.add_class("medn")
        self.add_class("medn" + re.sub("[A-Z]", lambda letter: f"-{letter[0].lower()}", type(self).__name__))

    def _bind(
        self, trait: str, control: Any, *, to_control: Callable[[Any], Any] = lambda value: value,
        to_trait: Callable[[Any], Any] = lambda value: value,
    ) -> Any:  # fmt: skip
        """Keep a trait and the value of a control equal; a value that the trait refuses is shown and taken back."""

        def show(_: object = None) -> None:
            control.value = to_control(getattr(self, trait))

        def write(change: traitlets.Bunch) -> None:
            self._try(lambda: setattr(self, trait, to_trait(change.new)))
            show()

        show()
        control.observe(write, "value")
        self.observe(show, trait)
        return control

    def _try(self, act: Callable[[], object]) -> None:
        """Do what a control requests; a refusal is shown on the page, where ipywidgets would hide it in a log."""
        try:
            act()
        except (ValueError, traitlets.TraitError) as problem:
            self._say(str(problem), warn=True)

    def _say(self, text: str, *, warn: bool = False) -> None:
        self._message.value = note(text, warn=warn)

    def _button(self, text: str, icon: str, hint: str, act: Callable[[], object], **options: Any) -> Any:
        made = widgets.Button(description=text, icon=icon, tooltip=hint, **options)
        made.on_click(lambda _: self._try(act))
        return made

    def close(self) -> None:
        """Take the widget off every page, free all its parts and stop what waits; twice is harmless."""
        seen, left = {id(self)}, list(vars(self).values())
        while left:
            one = left.pop()
            if id(one) in seen:
                continue
            seen.add(id(one))
            if isinstance(one, (dict, list, tuple)):
                left += one.values() if isinstance(one, dict) else one
            elif isinstance(one, widgets.Widget) or type(one).__module__.startswith("medn_lab.widgets."):
                left += getattr(one, "__dict__", {}).values()
                if isinstance(one, (widgets.Widget, Later)):
                    one.close()
        super().close()


class WrittenPanel(Panel):
    """A widget that can be written as one file."""

    _title = "Clips"

    def to_html(
        self, path: str | Path, *, title: str | None = None, faces: bool = True, most_megabytes: float = 20.0
    ) -> Path:
        """Write what is shown as one file that opens from disk in any browser, offline and without a kernel.

        The clips play and are magnified, with their overlays, labels, AUs and scores. An explorer is written with its
        maps, their hover, click, lasso, colouring, filter and legend, the confusable partner of each clip and the
        measures of all clips; a list of clips or pairs with a search. New values need the notebook.

        Parameters
        ----------
        path : path-like
            The file to write; its folder must exist.
        title : str, optional
            The heading.
        faces : bool
            Whether the pictures of the faces are in the file. Faces are biometric data.
        most_megabytes : float
            Above this size fewer clips have pictures, and the file says how many.

        Returns
        -------
        Path

        Raises
        ------
        ValueError
            If nothing is shown that could be written.
        """
        from jinja2 import Environment, FileSystemLoader

        page = {"predictions": None, "tables": {}, "caution": ""} | self._page()
        table, view, data = page["table"], page["view"], page["data"]
        clips, size = _clips(table, view, page["predictions"], most_bytes=most_megabytes * 1e6 if faces else 0)
        data |= {"view": state_of(view) | {"faces": [], "notes": [], "moments": [], "frame": 0}, "clips": clips}
        packed = gzip.compress(_json(data).encode(), compresslevel=9, mtime=0)
        written = Environment(loader=FileSystemLoader(_HERE), autoescape=True).get_template("page.html").render(
            source=lambda name: (_HERE / name).read_text(encoding="utf-8"), data=base64.b64encode(packed).decode(),
            title=self._title if title is None else title, caution=page["caution"], maps="maps" in data,
            about="; ".join(map(str.strip, str(page["about"]).splitlines())),
            faces=faces, played=sum("face" in one for one in clips), n=len(table), megabytes=f"{size / 1e6:.1f}",
            tables=[(name, one.to_html(**_TABLE)) for name, one in page["tables"].items()],
        )  # fmt: skip
        target = Path(path)
        target.write_text(written, encoding="utf-8")
        return target

    @abstractmethod
    def _page(self) -> dict[str, Any]:
        """What is written: ``view``, ``table`` (a row a clip), ``about`` (for the line below the heading) and ``data``.

        ``data`` holds ``items`` (a line of text and the ids of the clips that it plays) or ``maps`` and what belongs to
        them. ``predictions``, ``tables`` and ``caution`` may be left out.
        """


def state_of(widget: anywidget.AnyWidget) -> dict[str, Any]:
    """The synced traits of a component, without its code."""
    own = [name for name, one in widget.traits(sync=True).items() if one.this_class.__module__.startswith(__package__)]
    return {name: getattr(widget, name) for name in own if name not in ("_esm", "_css")}


def _json(data: object) -> str:
    """Text in which bytes stand as base64."""
    return json.dumps(data, separators=(",", ":"), default=lambda value: (
        value.item() if isinstance(value, np.generic) else {"b64": base64.b64encode(value).decode()}
    ))  # fmt: skip


def _clips(
    table: pd.DataFrame, view: Any, predictions: Predictions | None, *, most_bytes: float
) -> tuple[list[dict[str, Any]], int]:
    """What the page holds of each clip, with what plays as long as there is room, and the bytes of what plays."""
    column, clips, written = label_column(table), [], 0
    about = pd.DataFrame({"id": table["clip_id"], "subject": table.get("subject", ""), "aus": au_set_names(table)})
    about["label"] = table[column].astype(object).where(table[column].notna(), "unknown") if column else "unknown"
    for own, heading in zip(about.astype(str).to_dict("records"), clip_headings(table), strict=True):
        played = view.packed(own["id"]) if written < most_bytes else {}
        size = len(_json(played)) if played else 0
        if written + size > most_bytes:
            played, size = {}, 0
        written += size
        card = heading + (score_rows(predictions, own["id"]) if predictions is not None else "")
        clips.append({**own, "card": card, **played})
    return clips, written


class Later:
    """A call that waits in the kernel's event loop; where none runs (scripts, tests) it is made at once.

    Parameters
    ----------
    act : callable
        Called with the arguments of the last request.
    seconds : float
        From the first request to the call: while a slider is dragged the picture follows. To wait for a pause, call
        :meth:`close` before each request.
    """

    _waiting: asyncio.TimerHandle | None = None

    def __init__(self, act: Callable[..., object], *, seconds: float) -> None:
        self._act, self._seconds = act, seconds

    def __call__(self, *arguments: object) -> None:
        """Request ``act(*arguments)`` in place of an earlier request that still waits."""
        self._arguments = arguments
        if self._waiting is None:
            try:
                self._waiting = asyncio.get_running_loop().call_later(self._seconds, self._go)
            except RuntimeError:
                self._go()

    def close(self) -> None:
        """Forget a request that still waits."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _go(self) -> None:
        self._waiting = None
        self._act(*self._arguments)


_library: list[widgets.Image] = []


class LiveFigure(anywidget.AnyWidget):
    """A plotly figure on the page that is drawn again when ``drawn`` is set.

    A figure without a width follows the width of the page. plotly's own FigureWidget is not used: each one sends 5 MB
    of code to the page, and a page that opens it later shows the data that it was made with.

    Parameters
    ----------
    drawn : Figure

    Attributes
    ----------
    drawn : Figure
        What the page shows; set it to show another figure. After a change in place call ``send_figure()``.
    clicked : list
        The last click: number of the trace, number of the point (row and column in a matrix), number of the click.
    """

    _esm = _HERE / "live.js"
    drawn = traitlets.Instance(go.Figure)
    clicked: traitlets.List[Any] = traitlets.List().tag(sync=True)
    figure = traitlets.Unicode().tag(sync=True)
    library = traitlets.Unicode().tag(sync=True)

    def __init__(self, drawn: go.Figure) -> None:
        if not _library or _library[0].comm is None:  # it was closed
            code = gzip.compress(get_plotlyjs().encode(), compresslevel=6)
            _library[:] = [widgets.Image(value=code, format="js.gz")]  # the widget of ipywidgets that carries bytes
        super().__init__(drawn=drawn, library=_library[0].model_id)

    @traitlets.observe("drawn")
    def send_figure(self, _: object = None) -> None:
        """Show what was changed in place in ``drawn``."""
        self.figure = str(self.drawn.to_json(validate=False))

    def on_click(self, listener: Callable[[Any, Any], object]) -> None:
        """Call a function with the trace and the number of the point at each click."""
        self.observe(lambda change: listener(self.drawn.data[change.new[0]], change.new[1]), "clicked")
