"""What the eight widgets share: their style sheet, read-only results, and a `close` that frees every part."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from medn_lab.widgets.latest import Latest
from medn_lab.widgets.pacing import Dwell, Steps
from medn_lab.widgets.style import sheet


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

    def close(self) -> None:
        """Take the widget off every page, free all its parts and stop what waits; twice is harmless."""
        for part in _parts(self):
            if isinstance(part, (Dwell, Latest, Steps)):
                part.cancel()
            elif part is not self:
                part.close()
        super().close()


def _parts(root: widgets.Widget) -> list[Any]:
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
            if isinstance(one, (widgets.Widget, Dwell, Latest, Steps)):
                found.append(one)
    return found
