"""Maps of the same clips on canvas: the kernel sends the data once, the page draws and sends what was selected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from medn_lab.view import theme
from medn_lab.view.maps import marker_look
from medn_lab.view.rows import Colouring

_HERE = Path(__file__).parent


class BranchMaps(anywidget.AnyWidget):
    """One to n maps of the same clips on canvas, for 1 to 50,000 clips; nothing is drawn before :meth:`paint`.

    Parameters
    ----------
    maps : mapping of str to (n, 2) arrays
        The places of the clips on each map, by its title.
    texts : (n,) of str
        What the pointer shows of each clip, as HTML lines divided by ``<br>``.

    Attributes
    ----------
    selected : bytes
        The selected rows as int32; set by a lasso (shift adds, alt takes away), by a click on a category of the legend
        with ctrl, and from here.
    hovered : int
        The row on which the pointer rests, -1 where there is none.
    clicked : list of int
        The row that was clicked last, and how many clicks there were.
    hidden : list of str
        The categories that the legend has switched off.
    """

    _esm = _HERE / "branch_maps.js"
    _css = _HERE / "branch_maps.css"
    titles: traitlets.List[Any] = traitlets.List().tag(sync=True)
    look: Any = traitlets.Dict().tag(sync=True)
    xy = traitlets.Bytes().tag(sync=True)
    texts: traitlets.List[Any] = traitlets.List().tag(sync=True)
    style_of = traitlets.Bytes().tag(sync=True)
    styles: traitlets.List[Any] = traitlets.List().tag(sync=True)
    legend_title = traitlets.Unicode().tag(sync=True)
    kept = traitlets.Bytes().tag(sync=True)
    hidden: traitlets.List[Any] = traitlets.List().tag(sync=True)
    selected = traitlets.Bytes().tag(sync=True, from_json=lambda value, _: bytes(value))
    hovered = traitlets.Int(-1).tag(sync=True)
    clicked: traitlets.List[Any] = traitlets.List([-1, 0]).tag(sync=True)
    rings: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, maps: dict[str, np.ndarray], *, texts: np.ndarray) -> None:
        xy = np.stack([np.asarray(one, dtype=np.float32) for one in maps.values()])
        n, finite = xy.shape[1], np.isfinite(xy).all(axis=-1, keepdims=True)
        low, high = np.min(xy, axis=1, initial=np.inf, where=finite), np.max(xy, axis=1, initial=-np.inf, where=finite)
        low, high = np.where(low > high, 0, low), np.where(low > high, 1, high)  # a map without a clip
        margin = 0.05 * np.where(high > low, high - low, 1)
        home = np.stack([low - margin, high + margin], axis=-1).reshape(-1, 4)  # left, right, low, high
        colours = [theme.BRANCH_COLOURS.get(name, "") for name in maps]
        look: dict[str, Any] = {"titles": colours, "ring": theme.RING, "home": home.tolist()}
        look |= {name: float(marker_look(n)[name]) for name in ("size", "opacity")}
        self._texts = texts
        super().__init__(titles=list(maps), look=look, xy=xy.tobytes(), kept=b"\1" * n)

    @property
    def rows(self) -> np.ndarray:
        """The selected rows, (k,) int."""
        return np.frombuffer(self.selected, dtype=np.int32).astype(int)

    def select(self, rows: np.ndarray) -> None:
        """Select these rows in every map."""
        self.selected = np.asarray(rows, dtype=np.int32).tobytes()

    def paint(self, colours: Colouring) -> None:
        """Colour all points and write the legend; the selection stays, and no category is hidden."""
        with self.hold_sync():
            self.hidden, self.texts = [], list(colours.named(self._texts))
            for name, value in painted(colours).items():
                setattr(self, name, value)

    def ring(self, rows: Sequence[int]) -> None:
        """Put a ring around a clip, and one around its partner, in every map."""
        self.rings = [[int(row), colour] for row, colour in zip(rows, (theme.RING, theme.PARTNER_RING), strict=False)]


def painted(colours: Colouring) -> dict[str, Any]:
    """The legend as the page draws it: its title, its categories, and the category of each clip as uint8."""
    place = {name: number for number, name in enumerate(colours.styles)}
    styles = [{"name": name, "colour": colour, "symbol": symbol} for name, (colour, symbol) in colours.styles.items()]
    style_of = np.asarray([place[name] for name in colours.values], dtype=np.uint8).tobytes()
    return {"legend_title": colours.title, "styles": styles, "style_of": style_of}
