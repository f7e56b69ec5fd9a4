"""A matrix whose cells can be pressed: native buttons, so that it obeys the mouse, Tab and Space alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import ipywidgets as widgets
from plotly.colors import sample_colorscale

ON_LIGHT, ON_DARK = "#1D2733", "#FFFFFF"
PLAIN = "#ECECEC"
_PICKED = "medn-picked"


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes
    ----------
    text : str
        On the button.
    hint : str
        What the pointer shows.
    ground, ink : str
        Colours of the button and its text.
    beside : str
        HTML at the right of the button, already escaped.
    """

    text: str
    hint: str = ""
    ground: str = PLAIN
    ink: str = ON_LIGHT
    beside: str = ""


def scale_colour(scale: Sequence[tuple[float, str]], share: float) -> str:
    """The colour of a scale at a share from 0 to 1 of its length.

    Examples
    --------
    >>> scale_colour(((0.0, "#000000"), (1.0, "#ffffff")), 0.5)
    'rgb(128, 128, 128)'
    """
    stops = [list(stop) for stop in scale]
    return sample_colorscale(stops, [min(max(share, 0.0), 1.0)], colortype="rgb")[0]


class CellGrid(widgets.GridBox):
    """A matrix of buttons with headings; the buttons are kept from one drawing to the next.

    Parameters
    ----------
    picked : callable
        Called with the row and column of the cell that was pressed.
    """

    def __init__(self, picked: Callable[[int, int], None]) -> None:
        self._picked = picked
        self._buttons: list[widgets.Button] = []
        self._texts: list[widgets.HTML] = []
        self._pairs: list[widgets.HBox] = []
        self._places: dict[int, tuple[int, int]] = {}
        self._marked: widgets.Button | None = None
        super().__init__(children=())
        self.add_class("medn-cells")

    def draw(
        self,
        rows: Sequence[str],
        columns: Sequence[str],
        cells: Sequence[Sequence[Cell | None]],
        *,
        corner: str = "",
        head_width: int = 120,
        cell_width: int = 66,
        beside_width: int = 0,
        row_height: int = 34,
    ) -> None:
        """Show another matrix.

        Parameters
        ----------
        rows, columns : sequence of str
            Headings, as HTML.
        cells : sequence of sequence of Cell or None
            None leaves a gap.
        corner : str
            HTML in the upper left corner.
        head_width, cell_width, beside_width, row_height : int
            In pixels; without `beside_width` there is nothing beside the buttons.
        """
        if self.comm is None:  # closed: a part that is made now would never be freed
            return
        buttons, texts, pairs = count(), count(), count()
        self.mark(None)
        self._places = {}
        children: list[widgets.Widget] = [self._text(next(texts), corner)]
        children += [self._text(next(texts), heading, middle=True) for heading in columns]
        for y, (heading, row) in enumerate(zip(rows, cells, strict=True)):
            children.append(self._text(next(texts), heading))
            for x, cell in enumerate(row):
                if cell is None:
                    shown: widgets.Widget = self._text(next(texts), "")
                else:
                    shown = self._button(number := next(buttons), cell)
                    self._places[number] = (y, x)
                if beside_width:
                    beside = self._text(next(texts), "" if cell is None else cell.beside)
                    shown = self._pair(next(pairs), [shown, beside])
                children.append(shown)
        self.layout.grid_template_columns = f"{head_width}px repeat({len(columns)}, {cell_width + beside_width}px)"
        self.layout.grid_template_rows = f"auto repeat({len(rows)}, {row_height}px)"
        self.layout.grid_gap = "2px"
        for button in self._buttons:
            button.layout.width, button.layout.height = f"{cell_width}px", f"{row_height}px"
        self.children = tuple(children)

    def mark(self, place: tuple[int, int] | None) -> None:
        """Frame this cell alone; None frames none."""
        if self._marked is not None:
            self._marked.remove_class(_PICKED)
        numbers = {where: number for number, where in self._places.items()}
        self._marked = self._buttons[numbers[place]] if place in numbers else None
        if self._marked is not None:
            self._marked.add_class(_PICKED)

    def button(self, row: int, column: int) -> widgets.Button:
        """The button of a cell that is shown."""
        return next(self._buttons[number] for number, where in self._places.items() if where == (row, column))

    def _button(self, number: int, cell: Cell) -> widgets.Button:
        if number == len(self._buttons):
            made = widgets.Button(layout=widgets.Layout(margin="0", padding="0"))
            made.on_click(lambda _, number=number: self._picked(*self._places[number]))
            self._buttons.append(made)
        button = self._buttons[number]
        button.description, button.tooltip = cell.text, cell.hint
        button.style.button_color, button.style.text_color = cell.ground, cell.ink
        return button

    def _pair(self, number: int, parts: list[widgets.Widget]) -> widgets.HBox:
        if number == len(self._pairs):
            self._pairs.append(widgets.HBox(layout=widgets.Layout(overflow="hidden", align_items="center")))
        self._pairs[number].children = tuple(parts)
        return self._pairs[number]

    def _text(self, number: int, text: str, *, middle: bool = False) -> widgets.HTML:
        if number == len(self._texts):
            self._texts.append(widgets.HTML(layout=widgets.Layout(margin="0", overflow="hidden")))
        shown = self._texts[number]
        shown.value = text
        shown.layout.align_self = "flex-end" if middle else "center"
        return shown
