"""What a lasso or a box encloses, worked out from the outline that plotly keeps in ``layout.selections``.

Why not from plotly's selection event: in a FigureWidget all pointer events travel in one trait, of which a page with a
message under way keeps only the newest. Where the mouse is let go over a point, the hover that follows replaces the
selection, and Python never hears of it. The outline travels in a trait of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Ring = tuple[tuple[float, float], ...]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PAIR = re.compile(rf"({_NUMBER})[\s,]+({_NUMBER})")


@dataclass(frozen=True)
class Outline:
    """One drawn outline.

    Attributes
    ----------
    axes : (str, str)
        The subplot in which it was drawn, as plotly names it: ``("x2", "y2")``.
    rings : tuple of ((x, y), ...)
        Corners in data units, one tuple a closed ring; a lasso and a box have one ring.
    """

    axes: tuple[str, str]
    rings: tuple[Ring, ...]

    def contains(self, xy: np.ndarray) -> np.ndarray:
        """Which of the points (n, 2) are inside, (n,) of bool.

        A point is inside where a ray from it crosses the rings an odd number of times, which is plotly's rule too:
        where a lasso crosses itself, what it goes round twice is outside.

        Examples
        --------
        >>> box = Outline(("x", "y"), (((0, 0), (2, 0), (2, 2), (0, 2)),))
        >>> box.contains(np.array([[1.0, 1.0], [3.0, 1.0]])).tolist()
        [True, False]
        """
        x, y = np.asarray(xy, dtype=float)[:, :1], np.asarray(xy, dtype=float)[:, 1:]
        odd = np.zeros(len(x), dtype=bool)
        for ring in self.rings:
            here = np.asarray(ring, dtype=float)
            there = np.roll(here, -1, axis=0)
            spans = (here[:, 1] > y) != (there[:, 1] > y)  # (n, corners): the edge passes the point's height
            rise = there[:, 1] - here[:, 1]
            at = here[:, 0] + (y - here[:, 1]) * (there[:, 0] - here[:, 0]) / np.where(rise == 0, 1, rise)
            odd ^= (spans & (x < at)).sum(axis=1) % 2 == 1
        return odd

    def as_selection(self) -> dict[str, str]:
        """The outline as an entry of ``layout.selections``."""
        path = "".join("M" + "L".join(f"{x!r},{y!r}" for x, y in ring) + "Z" for ring in self.rings)
        return {"xref": self.axes[0], "yref": self.axes[1], "type": "path", "path": path}


def read_outlines(selections: Iterable[Mapping[str, Any]]) -> list[Outline]:
    """The outlines in ``layout.selections``; what is not one (fewer than three corners) is left out.

    Examples
    --------
    >>> read_outlines([{"xref": "x2", "yref": "y2", "type": "rect", "x0": 3, "y0": 0, "x1": 1, "y1": 2}])[0].rings
    (((3.0, 0.0), (1.0, 0.0), (1.0, 2.0), (3.0, 2.0)),)
    """
    found = []
    for one in selections:
        if one.get("type") == "rect":
            x0, x1, y0, y1 = (float(one[name]) for name in ("x0", "x1", "y0", "y1"))
            rings: list[Ring] = [((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
        else:
            parts = str(one.get("path", "")).split("M")
            rings = [tuple((float(x), float(y)) for x, y in _PAIR.findall(part)) for part in parts]
        closed = tuple(ring for ring in rings if len(ring) > 2)
        if closed:
            found.append(Outline((str(one.get("xref", "x")), str(one.get("yref", "y"))), closed))
    return found


def selector_corners(selector: Any) -> Ring:
    """The corners of a LassoSelector or BoxSelector that came with plotly's selection event; none where it has none.

    An event about outlines in several subplots carries a selector whose values are not numbers.
    """
    xs, ys = getattr(selector, "xs", None), getattr(selector, "ys", None)
    if selector is not None and getattr(selector, "type", None) == "box":
        (x0, x1), (y0, y1) = selector.xrange or (0, 0), selector.yrange or (0, 0)
        xs, ys = [x0, x1, x1, x0], [y0, y0, y1, y1]
    if not (isinstance(xs, (list, tuple)) and isinstance(ys, (list, tuple)) and len(xs) > 2):
        return ()
    return tuple((float(x), float(y)) for x, y in zip(xs, ys, strict=True))


def newest(outlines: list[Outline], *, known: list[Outline]) -> list[Outline]:
    """The outlines of the map in which one was drawn last.

    plotly leaves an outline standing when the next is drawn in another subplot. One selection holds for all maps here,
    so the older map's outlines go; in one map, Shift adds an outline to those that are there.
    """
    fresh = [one for one in outlines if one not in known] or outlines
    return [one for one in outlines if one.axes == fresh[-1].axes]
