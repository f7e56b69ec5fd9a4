"""The row of controls that walks through pairs and marks them; what they do is the browser's."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets
from traitlets import Bunch


class PairBar(widgets.HBox):
    """Previous, next, the pair's number, its bookmark and note, and the link that saves the bookmarks."""

    def __init__(self) -> None:
        self.previous = _button("previous", 100, "The pair before this one", "arrow-left")
        self.next = _button("next", 84, "The pair after this one", "arrow-right")
        self.number = widgets.BoundedIntText(
            1, 1, 1, description="pair", tooltip="Type a number to go there", style={"description_width": "initial"},
            layout=widgets.Layout(width="112px", margin="2px 6px 2px 0"),
        )  # fmt: skip
        self.count = widgets.HTML(layout=widgets.Layout(min_width="126px", max_width="220px", margin="2px 10px 2px 0"))
        self.mark = widgets.ToggleButton(
            False, description="bookmark", icon="bookmark", tooltip="Keep this pair",
            layout=widgets.Layout(width="112px", margin="2px 6px 2px 0"),
        )  # fmt: skip
        self.note = widgets.Text(
            "", placeholder="note on this pair", continuous_update=False, tooltip="Press enter: the pair is kept",
            layout=widgets.Layout(width="186px", margin="2px 8px 2px 0"),
        )  # fmt: skip
        self.link = widgets.HTML(layout=widgets.Layout(margin="2px 0"))
        parts = [self.previous, self.next, self.number, self.count, self.mark, self.note, self.link]
        super().__init__(parts, layout=widgets.Layout(flex_flow="row wrap", margin="4px 0 0 0"))
        self._quiet = False

    def listen(
        self, *, previous: Callable[[], None], next: Callable[[], None], go: Callable[[int], None],
        mark: Callable[[str], None], unmark: Callable[[], None],
    ) -> None:  # fmt: skip
        """Call these for what is pressed or typed: `go` with a place from 0, `mark` with the note."""

        def heard_number(change: Bunch) -> None:
            if not self._quiet:
                go(change.new - 1)

        def heard_mark(change: Bunch) -> None:
            if self._quiet:
                return
            if change.new:
                mark(self.note.value)
            else:
                unmark()

        def heard_note(change: Bunch) -> None:
            if not self._quiet and (change.new or self.mark.value):
                mark(change.new)

        self.previous.on_click(lambda _: previous())
        self.next.on_click(lambda _: next())
        self.number.observe(heard_number, "value")
        self.mark.observe(heard_mark, "value")
        self.note.observe(heard_note, "value")

    def show_place(self, at: int, count: int, said: str) -> None:
        """Say which of how many pairs is in view; without pairs nothing can be pressed."""
        self._quiet = True
        self.number.max = max(1, count)
        self.number.value = at + 1
        self._quiet = False
        for control in (self.number, self.next, self.previous, self.mark, self.note):
            control.disabled = not count
        self.count.value = f"<div class='medn-line'>of {said}</div>"

    def show_mark(self, marked: bool, *, note: str, link: str) -> None:
        """Show the mark and the note of the pair in view, and the link that saves all of them."""
        self._quiet = True
        self.mark.value = marked
        self.note.value = note
        self._quiet = False
        self.link.value = link


def _button(text: str, width: int, tooltip: str, icon: str) -> widgets.Button:
    layout = widgets.Layout(width=f"{width}px", margin="2px 6px 2px 0")
    return widgets.Button(description=text, tooltip=tooltip, icon=icon, layout=layout)
