"""Named places of a face that AU fields, masks and cues are anchored to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medn_lab.synthme.identity import Identity
from medn_lab.synthme.relief import brow_line, lid_lines, mouth_lines

Point = tuple[float, float]


@dataclass(frozen=True)
class Landmarks:
    """Places in face units (see :mod:`medn_lab.synthme.identity`).

    Attributes
    ----------
    right, left, middle : dict of str to (x, y)
        The subject's right (low x) and left side, and the midline.
    scale : float
        Distance between the eyes over that of an average drawn face.
    axis : (2,) tuple
        Unit vector from the right eye to the left: (1, 0) for an upright face.
    """

    right: dict[str, Point]
    left: dict[str, Point]
    middle: dict[str, Point]
    scale: float = 1.0
    axis: Point = (1.0, 0.0)

    def side(self, name: str) -> dict[str, Point]:
        """The places of ``"right"`` or ``"left"``."""
        return self.left if name == "left" else self.right


AVERAGE_EYE_DISTANCE = 0.424
"""In face units, of drawn faces."""


def landmarks_of(person: Identity) -> Landmarks:
    """Where a drawn person's features are, exactly."""
    p = person
    (inner, mid, outer), (y_inner, y_mid, y_outer) = brow_line(p, np.array([0.08, 0.5, 0.86]))
    lid_top, lid_bottom, _ = lid_lines(p, np.array([p.eye_x]))
    top, line, bottom, _ = mouth_lines(p, np.array([0.0]))
    peak = mouth_lines(p, np.array([0.45 * p.mouth_width]))[0]
    here = {
        "brow_inner": (inner, y_inner),
        "brow_mid": (mid, y_mid),
        "brow_outer": (outer, y_outer),
        "eye": (p.eye_x, p.eye_y),
        "eye_inner": (p.eye_x - p.eye_width, p.eye_y + 0.012),
        "eye_outer": (p.eye_x + p.eye_width, p.eye_y - p.eye_tilt),
        "lid_upper": (p.eye_x, lid_top[0]),
        "lid_lower": (p.eye_x, lid_bottom[0]),
        "cheek": (p.eye_x + 0.06, p.eye_y + 0.20),
        "nose_wing": (p.nose_width, p.nose_y + 0.03),
        "nose_side": (0.075, p.nose_y - 0.13),
        "mouth_corner": (p.mouth_width, p.mouth_y + p.mouth_curve),
        "lip_top": (0.45 * p.mouth_width, peak[0]),
        "jaw": (0.36, 0.43),
    }
    here = {name: (float(x), float(y)) for name, (x, y) in here.items()}
    middle = {
        "glabella": (0.0, p.brow_y + 0.03),
        "forehead": (0.0, p.brow_y - 0.16),
        "nose_tip": (0.0, p.nose_y),
        "lip_upper": (0.0, float(top[0])),
        "mouth": (0.0, float(line[0])),
        "lip_lower": (0.0, float(bottom[0])),
        "chin": (0.0, p.chin_y - 0.10),
    }
    right = {name: (-x, y) for name, (x, y) in here.items()}
    return Landmarks(right, here, middle, scale=2 * p.eye_x / AVERAGE_EYE_DISTANCE)
