"""A SynthME face, drawn once per subject: relief, light, skin, eyes behind lids, brows, lips, hair."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from medn_lab.synthme.hair import paint_beard, paint_hair
from medn_lab.synthme.identity import Identity
from medn_lab.synthme.paint import (
    mix,
    paint_backdrop,
    paint_body,
    paint_brows,
    paint_eyeballs,
    paint_lids,
    paint_lips,
    paint_nostrils,
    skin_albedo,
    to_srgb,
)
from medn_lab.synthme.relief import blob, canvas, half_width, head_height, lid_lines, light_skin

if TYPE_CHECKING:
    from medn_lab.synthme.landmarks import Landmarks

OVERSAMPLING = 2
"""The master is drawn this much finer than the pictures taken from it."""


@dataclass(frozen=True, eq=False, repr=False)
class Face:
    """A face ready to be moved.

    Attributes
    ----------
    size : int
        Side of the pictures taken from it, in pixels.
    skin : (m, m, 3) float32
        The picture without its eyeballs, sRGB 0-255, `m` = :data:`OVERSAMPLING` times `size` for drawn faces.
    eyes : (m, m, 3) float32 or None
        What lies behind the lids; None for a photo, whose eyes move with the skin.
    lids : (m, m, 2) float32 or None
        Signed distance below the upper and above the lower lid margin, in face units: both positive where the eye
        shows.
    landmarks : Landmarks
        The named places that actions are anchored to.
    light : (3,) tuple
        Direction towards the lamp (x right, y down, z to the viewer).
    name : str
        Whose face it is.
    mask : (size, size) float32
        Where the face's skin is, 0 to 1.
    cache : dict
        Fields and maps already made for this face; filled as they are asked for.

    Examples
    --------
    >>> from medn_lab.synthme import draw_identity
    >>> face = draw_face(draw_identity(0, 0), size=64)
    >>> face.skin.shape, face.mask.shape, face.name
    ((128, 128, 3), (64, 64), 'synthme0-s01')
    """

    size: int
    skin: np.ndarray
    eyes: np.ndarray | None
    lids: np.ndarray | None
    landmarks: Landmarks
    light: tuple[float, float, float]
    name: str
    mask: np.ndarray
    cache: dict = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Face {self.name} at {self.size} px"


def draw_face(person: Identity, *, size: int) -> Face:
    """Draw a person.

    Parameters
    ----------
    person : Identity
        From :func:`draw_identity`.
    size : int
        Side of the pictures in pixels, 32 to 1024.

    Returns
    -------
    Face
        The same face at every size.

    Raises
    ------
    ValueError
        If `size` is out of range.

    See Also
    --------
    move_face : a picture of it.

    Examples
    --------
    >>> from medn_lab.synthme import draw_identity
    >>> draw_face(draw_identity(0, 0), size=64).skin.shape
    (128, 128, 3)
    """
    from medn_lab.synthme.landmarks import landmarks_of

    if not 32 <= size <= 1024:
        raise ValueError(f"a face can be drawn at 32 to 1024 px; size is {size}")
    skin, eyes, lids, head = _paint(person, OVERSAMPLING * size)
    # Every second pixel of the master is read: without this fine grain would flicker as the skin moves.
    skin = cv2.GaussianBlur(skin, (0, 0), 0.75)
    mask = np.clip(cv2.resize(head, (size, size), interpolation=cv2.INTER_AREA), 0, 1)
    return Face(size, skin, eyes, lids, landmarks_of(person), person.light, person.name, mask)


def _paint(p: Identity, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    c = canvas(p, size)
    head = c.soft(half_width(p, c.y) - np.abs(c.x), 0.010) * (c.y > p.crown_y) * (c.y < p.chin_y)
    head = c.blur(head.astype(np.float32), 0.004)
    hair, hair_behind, hair_front = paint_hair(p, c)

    albedo, grain = skin_albedo(p, c)
    albedo, vermilion = paint_lips(p, c, albedo)
    z = head_height(p, c, grain).astype(np.float32)
    light, gloss = light_skin(p, c, z)
    hair_shadow = c.shift(c.blur(hair_front, 0.022), -0.03 * np.sign(p.light[0]), 0.035)
    light = light * (1 - 0.42 * hair_shadow)[..., None] ** np.array([0.85, 1.0, 1.05], np.float32)
    # A camera meets deep skin half way: its exposure follows the skin, but not all the way.
    exposure = 1.12 * (0.42 * 255 / float(np.mean(p.skin))) ** 0.35
    colour = albedo * light * exposure
    oily = (
        0.030
        + 0.018 * (1 - vermilion) * (blob(c, 0, -0.35, 0.2, 0.1) + blob(c, 0, p.nose_y, 0.06, 0.1))
        + 0.06 * vermilion
    )
    colour = colour + ((oily + 0.02 * p.tone) * gloss * (1 - 0.8 * hair_shadow))[..., None] * np.array(
        [1.0, 0.98, 0.95], np.float32
    )
    colour = paint_nostrils(p, c, colour)
    colour = paint_beard(p, c, colour, light)
    colour = paint_lids(p, c, colour)
    colour = paint_brows(p, c, colour)

    back_dim = 1 - 0.45 * c.blur(head, 0.05)
    scene = mix(paint_backdrop(p, c), hair * back_dim[..., None], hair_behind)
    scene = paint_body(p, c, scene, head)
    scene = mix(scene, colour, head)
    scene = mix(scene, hair, hair_front)

    eyes = paint_eyeballs(p, c) * np.clip(light.mean(-1, keepdims=True) * 0.5 + 0.62, 0.55, 1.1) * exposure**0.5
    upper, lower, _ = lid_lines(p, c.x)
    shade = np.exp(-np.clip(c.y - upper, 0, 1) / 0.013)
    eyes = eyes * (1 - 0.48 * shade)[..., None]
    lids = np.stack([c.y - upper, lower - c.y], -1).astype(np.float32)
    return to_srgb(scene), to_srgb(eyes.astype(np.float32)), lids, head * (1 - hair_front)
