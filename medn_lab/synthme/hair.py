"""Hair: where it grows for each style, how its strands run, and how light glances off them."""

from __future__ import annotations

import cv2
import numpy as np

from medn_lab.synthme.identity import Identity
from medn_lab.synthme.paint import beard_region, mix, to_linear
from medn_lab.synthme.relief import WIDEST_Y, Canvas, half_width

COMBED = ("parted", "bob", "long")
"""Styles whose strands run from a parting over the sides; the others run out from the crown."""


def paint_hair(p: Identity, c: Canvas) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hair's lit colour (n, n, 3) linear, the mask of what hangs behind the head, and of what lies before it."""
    rng = p.generator(7)
    strands, gloss, ragged = _strands(p, c, rng)
    behind, front = _regions(p, c, ragged)
    side = np.sign(p.light[0])
    dome = np.clip(1 - (c.x / 0.66) ** 2 - 0.55 * np.clip(c.y + 0.45, 0, 2) ** 2, 0, 1)
    lit = 0.34 + 0.50 * dome**0.7 + 0.16 * side * c.x - 0.10 * c.y
    colour = to_linear(p.hair) * np.exp(0.40 * strands)[..., None] * np.clip(lit, 0.16, 1.2)[..., None]
    shine = gloss * (0.05 + 0.22 * to_linear(p.hair).mean() ** 0.5) * (1 + 0.28 * side * c.x)
    tint = 0.55 + 0.45 * to_linear(p.hair) / max(float(to_linear(p.hair).max()), 1e-3)
    return (colour + shine[..., None] * tint).astype(np.float32), behind, front


def paint_beard(p: Identity, c: Canvas, colour: np.ndarray, light: np.ndarray) -> np.ndarray:
    """A short beard of fine strands over the lit skin; nothing where there is none."""
    rng = p.generator(8)
    fine = c.noise(rng, 130, across=320)
    if p.beard == 0:
        return colour
    share = np.clip(p.beard * beard_region(p, c) * (0.88 + 0.20 * fine), 0, 0.95)
    tint = to_linear(p.hair) * 0.85 * np.exp(0.22 * fine)[..., None] * (0.25 + 0.75 * light.mean(-1, keepdims=True))
    return mix(colour, tint.astype(np.float32), share)


def _strands(p: Identity, c: Canvas, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Brightness of strands (about unit variance), the band of gloss, and the raggedness of the hair's edges."""
    bend = c.noise(rng, 9)
    locks = rng.standard_normal((7, 90)).astype(np.float32)
    fine = rng.standard_normal((9, 420)).astype(np.float32)
    edge = rng.standard_normal((4, 150)).astype(np.float32)
    curls = 0.75 * c.noise(rng, 46) + 0.6 * c.noise(rng, 90)
    if p.style == "curly":
        big = c.noise(rng, 26)
        return 0.9 * curls + 0.3 * big, np.clip(0.25 + 0.3 * curls, 0, 1) * np.clip(-c.y, 0, 1), 0.9 * big + 0.4 * curls
    if p.style in COMBED:
        wide, high = p.cheek_width + 0.1, WIDEST_Y - p.crown_y + 0.1
        dx = c.x - p.part_x * np.clip((0.2 - c.y) / 0.8, 0, 1)
        above = np.minimum(c.y - WIDEST_Y, 0)
        u = np.hypot(dx / wide, above / high) * 0.5
        u = u + 0.004 * np.sign(dx) * np.clip(np.abs(dx) * 8, 0, 1)
        v = np.clip(
            np.arctan2(np.abs(dx) / wide, -above / high + 1e-3) / np.pi + np.maximum(c.y - WIDEST_Y, 0) * 0.35, 0, 1
        )
        band = np.exp(-0.5 * ((v - 0.24) / 0.07) ** 2) + 0.35 * np.exp(-0.5 * ((v - 0.78) / 0.10) ** 2)
        u = u + (0.010 + 0.030 * p.hair_wave) * bend * np.clip(v * 1.5, 0.1, 1)
    else:
        px = 0.5 * p.part_x
        py = p.crown_y + (-0.05 if p.style != "quiff" else -0.35)
        dx, dy = c.x - px, c.y - py
        u = np.arctan2(dx, dy + 0.06) / (2 * np.pi) + 0.5
        v = np.clip(np.hypot(dx, dy) / 1.25, 0, 1)
        band = np.exp(-0.5 * ((v - (0.20 if p.style != "quiff" else 0.36)) / 0.06) ** 2)
        u = u + (0.004 + 0.010 * p.hair_wave) * bend
    strands = 0.8 * _read(locks, v, u) + 0.75 * _read(fine, v, u)
    gloss = band * np.clip(0.65 + 0.40 * _read(fine[::-1].copy(), v, u), 0, 1.6)
    return strands, gloss, _read(edge, v, u) + 0.5 * _read(fine, v, u)


def _read(grid: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    rows, columns = grid.shape
    where_x = (u * (columns - 1)).astype(np.float32)
    where_y = (np.clip(v, 0, 1) * (rows - 1)).astype(np.float32)
    return cv2.remap(grid, where_x, where_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def _regions(p: Identity, c: Canvas, ragged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ax = np.abs(c.x)
    nothing = np.zeros_like(c.x)
    if p.style == "bald":
        return nothing, nothing
    side_volume = {"crop": 0.012, "receding": 0.010, "quiff": 0.014, "tied": 0.012, "curly": 0.11, "parted": 0.035,
                   "fringe": 0.06, "bob": 0.085, "long": 0.075}[p.style]  # fmt: skip
    top_volume = {"crop": 0.045, "receding": 0.012, "quiff": 0.095, "tied": 0.030, "curly": 0.125}.get(
        p.style, p.hair_volume
    )
    if p.masculine > 0.5 and p.style in ("curly", "parted"):
        side_volume *= 0.45
    wide, high = p.cheek_width + side_volume, WIDEST_Y - p.crown_y + top_volume
    rough = {"curly": 0.020, "crop": 0.005, "quiff": 0.010}.get(p.style, 0.0035)
    up = np.clip((WIDEST_Y - c.y) / high, 0, 2)
    outline = np.where(c.y < WIDEST_Y, (1 - np.hypot(np.abs(ax / wide) ** 1.2, up**1.2)) * 0.45, wide - ax)
    outer = c.soft(outline + rough * ragged, 0.014)

    parted = c.x - p.part_x
    line = p.hairline_y + 0.045 * (ax / 0.3) ** 2
    if p.style == "receding":
        line = line - 0.09 - 0.10 * np.exp(-(((ax - 0.24) / 0.10) ** 2)) + 0.05 * np.exp(-((ax / 0.12) ** 2))
    elif p.masculine > 0.5:
        line = line - 0.045 * np.exp(-(((ax - 0.27) / 0.07) ** 2))
    else:
        line = line + 0.015 * np.exp(-((ax / 0.05) ** 2))
    if p.style == "quiff":
        line = line - 0.03 + 0.05 * (ax / 0.3) ** 2
    if p.style == "parted":
        sweep = np.clip(np.where(p.part_x < 0, parted, -parted) * 2.2, 0, 1)
        line = line + 0.075 * sweep**0.8 - 0.02
    if p.style == "fringe":
        line = p.brow_y - 0.035 + 0.035 * (ax / 0.4) ** 2 + 0.010 * ragged
    if p.style in ("bob", "long"):
        line = p.hairline_y - 0.03 + 0.34 * np.clip(np.abs(parted) / 0.50, 0, 1) ** 1.5
    burn = 0.10 if p.masculine > 0.5 else 0.02
    descent = np.clip((c.y - p.hairline_y) / 0.46, 0, 1)
    edge = (0.400 if p.style != "receding" else 0.425) + 0.085 * descent**0.75
    temple = c.soft(ax - edge + 0.004 * ragged, 0.06)
    line = line + temple * np.maximum(burn - line, 0)
    above = c.soft(line - c.y + 0.9 * rough * ragged, 0.022)
    front = outer * above
    behind = outer * c.soft(
        (0.30 if p.style == "curly" and p.masculine <= 0.5 else -0.02) - c.y + 0.4 * rough * ragged, 0.05
    )
    if p.style in ("bob", "long", "fringe"):
        behind, front = _curtains(p, c, ragged, front, outer, wide)
    if p.style == "curly" and p.masculine <= 0.5:
        cloud = c.soft((1 - np.hypot(c.x / (wide + 0.07), (c.y + 0.18) / 0.72)) * 0.5 + 0.017 * ragged, 0.016)
        behind = np.maximum(behind, cloud)
    return behind, front


def _curtains(
    p: Identity, c: Canvas, ragged: np.ndarray, front: np.ndarray, outer: np.ndarray, wide: float
) -> tuple[np.ndarray, np.ndarray]:
    """Hair that falls before the ears and behind the neck."""
    ax = np.abs(c.x)
    end = {"bob": 0.52, "fringe": 0.78, "long": 1.2}[p.style] + 0.05 * (p.hair_volume - 0.075) / 0.02
    flare = {"bob": 0.03, "fringe": 0.02, "long": 0.05}[p.style]
    low = np.clip((c.y - WIDEST_Y) / 0.8, 0, 1.4)
    reach = wide + flare * np.sin(np.pi * np.clip(low, 0, 1)) - (0.07 * low**2 if p.style == "bob" else 0.0 * low)
    reach = reach + (0.012 + 0.012 * p.hair_wave) * np.sin(c.y * (9 + 5 * p.hair_wave) + 1.3 * np.sign(c.x)) * np.clip(
        low, 0, 1
    )
    bottom = c.soft(end - c.y + 0.02 * ragged - 0.05 * (ax / 0.6 - 0.5), 0.03)
    fall = c.soft(reach - ax + 0.006 * ragged, 0.014) * bottom
    inner = half_width(p, np.clip(c.y, -0.3, 0.42)) - 0.050 + 0.06 * np.clip(c.y - 0.25, 0, 1)
    curtain = (
        np.where(c.y < WIDEST_Y, outer, fall) * c.soft(ax - inner + 0.008 * ragged, 0.024) * c.soft(c.y + 0.42, 0.14)
    )
    front = np.maximum(front, curtain)
    behind = np.maximum(outer * (c.y < WIDEST_Y), fall * (c.y >= WIDEST_Y))
    return behind, front
