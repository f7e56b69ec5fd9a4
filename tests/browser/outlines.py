"""Outlines round drawn points: where to draw one so that no point is near it, and how many points it holds."""

import cv2
import numpy as np
from scipy.spatial.distance import cdist

NEAR = 3.0
"""Pixels from an outline within which a point may count as inside or outside: the mouse moves by whole pixels."""


def circle(middle: tuple[float, float], *, radius: float) -> list[tuple[float, float]]:
    """24 corners of a circle, in pixels."""
    angles = 2 * np.pi * np.arange(24) / 24
    return [(float(middle[0] + radius * np.cos(a)), float(middle[1] + radius * np.sin(a))) for a in angles]


def held(places: np.ndarray, corners: list[tuple[float, float]]) -> range:
    """The counts of places that an outline through `corners` may hold: one, where no place is near it."""
    outline, known = np.array(corners, dtype=np.float32), places[np.isfinite(places).all(axis=1)]
    depths = np.array([cv2.pointPolygonTest(outline, place, measureDist=True) for place in known.tolist()])
    return range(int((depths >= NEAR).sum()), int((depths > -NEAR).sum()) + 1)


def through_a_gap(places: np.ndarray, *, least: int, most: int) -> list[tuple[float, float]]:
    """The corners of the circle with `least` to `most` places in it that is farthest from any place."""
    low, high = places.min(axis=0), places.max(axis=0)
    best, chosen = -1.0, None
    for middle in np.stack(np.meshgrid(*np.linspace(low, high, 25).T), axis=2).reshape(-1, 2):
        reach = np.sort(np.linalg.norm(places - middle, axis=1))[least - 1 : most + 1]
        gaps, radii = np.diff(reach), (reach[1:] + reach[:-1]) / 2
        gaps[radii > min(*(middle - low), *(high - middle))] = -1  # the whole circle stays on the map
        widest = int(gaps.argmax())
        if gaps[widest] > best:
            best, chosen = gaps[widest], (middle, radii[widest])
    assert chosen is not None, f"no circle on the map holds {least} to {most} of {len(places)} places"
    return circle(chosen[0], radius=chosen[1])


def loneliest(places: np.ndarray) -> int:
    """The row farthest from its next neighbour, where a click can mean no other."""
    return int(np.sort(cdist(places, places), axis=1)[:, 1].argmax())
