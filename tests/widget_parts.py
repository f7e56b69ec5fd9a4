"""The parts of a widget as a user sees them: controls by their labels, and the texts."""

from __future__ import annotations

from collections.abc import Iterator

import ipywidgets as widgets


def parts(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    """The widget and everything that is shown in it, from top to bottom."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)


def control(widget: widgets.Widget, description: str) -> widgets.Widget:
    """The control with this label."""
    return next(part for part in parts(widget) if getattr(part, "description", None) == description)


def text(widget: widgets.Widget) -> str:
    """All HTML that is shown, joined."""
    return "\n".join(
        part.value for part in parts(widget) if isinstance(part, widgets.HTML) and "<style>" not in part.value
    )
