"""Outlines round drawn points: where to draw one so that no point is near it, and how many points it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lab_page import PlotlyPlot

NEAR = 4.0
"""Pixels from an outline within which the page may take a point for inside or outside: it rounds corners to pixels."""

CORNERS = 24


def held(plot: PlotlyPlot, points: list[dict], corners: list[tuple[float, float]]) -> range:
    """The counts of `points` that an outline through `corners` (in pixels) may hold: one, where no point is near it."""
    places = np.array(plot.pixels(points))
    inside, near = _inside(places, np.array(corners)), _distance(places, np.array(corners)) < NEAR
    return range(int((inside & ~near).sum()), int((inside | near).sum()) + 1)


def through_a_gap(plot: PlotlyPlot, points: list[dict], *, least: int, most: int) -> list[tuple[float, float]]:
    """The corners, in data units, of the circle with `least` to `most` points in it that is farthest from any point."""
    places = np.array(plot.pixels(points))
    low, high = places.min(axis=0), places.max(axis=0)
    best, chosen = -1.0, None
    for middle in np.stack(np.meshgrid(*np.linspace(low, high, 25).T), axis=2).reshape(-1, 2):
        reach = np.sort(np.linalg.norm(places - middle, axis=1))[least - 1 : most + 1]
        gaps, radii = np.diff(reach), (reach[1:] + reach[:-1]) / 2
        gaps[radii > min(*(middle - low), *(high - middle))] = -1  # the whole circle stays on the map
        widest = int(gaps.argmax())
        if gaps[widest] > best:
            best, chosen = gaps[widest], (middle, radii[widest])
    assert chosen is not None, f"no circle on the map holds {least} to {most} of {len(points)} points"
    (x, y), radius = chosen
    angles = 2 * np.pi * np.arange(CORNERS) / CORNERS
    return plot.data(
        np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles)]), axes=points[0]["axes"]
    )


def _inside(places: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Whether each place lies in a polygon, by the crossings of a line that leads to the right."""
    found = np.zeros(len(places), dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crosses = (ay > places[:, 1]) != (by > places[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            found ^= crosses & (places[:, 0] < ax + (places[:, 1] - ay) * (bx - ax) / (by - ay))
    return found


def _distance(places: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The distance of each place from the sides of a polygon."""
    starts, sides = corners[:, None], (np.roll(corners, -1, axis=0) - corners)[:, None]
    length = np.maximum((sides**2).sum(axis=2), 1e-12)
    share = np.clip(((places[None] - starts) * sides).sum(axis=2) / length, 0, 1)
    return np.linalg.norm(places[None] - starts - share[..., None] * sides, axis=2).min(axis=0)
