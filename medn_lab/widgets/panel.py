"""What the eight widgets share: their style sheet, read-only results, and a `close` that frees every part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets
import traitlets

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
        for part in _parts(self):
            if isinstance(part, (Dwell, Latest, Steps)):
                part.cancel()
            elif part is not self:
                part.close()
        super().close()


@contextmanager
def trait_errors() -> Iterator[None]:
    """Raise a ValueError from inside as a TraitError, so that a validator can use the checks of the methods."""
    try:
        yield
    except ValueError as problem:
        raise traitlets.TraitError(str(problem)) from None


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
