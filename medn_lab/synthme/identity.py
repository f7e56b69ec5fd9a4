"""SynthME subjects: geometry, skin, hair, age and light, drawn from a seed and a number; the relief of the head.

Places are in *face units*: the picture spans -1 to 1 in x (to the right) and y (down), so one unit is half the picture
and one pixel of a 128 px picture is 1/64. Sides are the subject's own: ``right`` is at negative x, on the left of the
picture.
"""

from __future__ import annotations

from colorsys import hsv_to_rgb
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd

# Height of the cheekbones, where the head is widest.
WIDEST_Y = -0.06


@cache
def read_table(name: str) -> pd.DataFrame:
    """A table of this folder by its first column; an empty cell is an empty text."""
    path = Path(__file__).with_name(f"{name}.csv")
    return pd.read_csv(path, index_col=0, dtype={"action_units": str, "name": str}, keep_default_na=False)


class Identity(SimpleNamespace):
    """One person: everything that stays the same in all their clips, the same however many others are drawn.

    ``measures.csv`` holds each measure's mean, what a masculine face, a deeper skin tone and age add to it, and its
    spread; ``palette.csv`` the colours in sRGB, with their shares among people of the lightest and of the deepest skin.
    The attributes are lengths in face units (see the module), colours (sRGB 0-255), and shares from 0 to 1.

    Parameters
    ----------
    seed : int
        Of the corpus; other seeds have other people.
    number : int
        From 0; the name counts from 1.

    Examples
    --------
    >>> person = Identity(0, 3)
    >>> person.name, 0 <= person.masculine <= 1, len(person.skin)
    ('synthme0-s04', True, 3)
    """

    def __init__(self, seed: int, number: int) -> None:
        self.seed, self.number = int(seed), int(number) + 1
        self.name = f"synthme{self.seed}-s{self.number:02d}"
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, number)))
        palette = read_table("palette").set_index("name", append=True)
        rgb = ["red", "green", "blue"]

        def about(mean: float, spread: float, low: float = -np.inf, high: float = np.inf) -> float:
            return float(np.clip(mean + spread * np.clip(rng.standard_normal(), -2, 2), low, high))

        def measure(first: str, last: str) -> None:
            for row in read_table("measures").loc[first:last].itertuples():
                mean = row.mean + row.masculine * m + row.tone * tone + row.age * age
                setattr(self, row.Index, about(mean, row.spread, row.low, row.high))

        def pick(part: str, deep: float) -> tuple[str, str]:
            colours, share = palette.loc[[part]], np.clip(deep, 0, 1)
            return colours.index[rng.choice(len(colours), p=(1 - share) * colours["light"] + share * colours["deep"])]

        # Alternating keeps a small corpus from being all of one sex; the rest is chance.
        self.masculine = m = about(0.15 if (number + seed) % 2 else 0.85, 0.1, 0, 1)
        self.age = age = float(rng.beta(1.3, 2.2))
        self.tone = tone = float((number * 0.618034 + rng.uniform(0, 0.35) + 0.37 * seed) % 1.0)
        skins = palette.loc["skin", rgb].to_numpy(float)
        skin = np.array([np.interp(tone * (len(skins) - 1), range(len(skins)), part) for part in skins.T])
        skin = skin * (1 + 0.02 * np.clip(rng.standard_normal(), -1.5, 1.5))
        skin = skin * (1 + 0.012 * np.clip(rng.standard_normal(3), -1.5, 1.5))
        self.skin = tuple(np.clip(skin, 25, 252).tolist())
        measure("eye_y", "eye_tilt")
        self.lid_fold = float(rng.uniform(0.15, 1.0))
        self.iris_size = about(0.0555, 0.0018)
        iris = palette.loc[pick("iris", tone / 0.55), rgb].to_numpy(float)
        self.iris = tuple((iris * rng.uniform(0.88, 1.12)).tolist())
        self.brow_y = about(self.eye_y - 0.158 + 0.018 * m, 0.009)
        measure("brow_thick", "redness")
        self.freckles = float(rng.uniform(0.3, 1.0) if rng.random() < 0.3 and tone < 0.5 else rng.uniform(0, 0.12))
        self.texture = float(rng.uniform(0.7, 1.3))
        self.stubble = float(m * rng.uniform(0.15, 0.9) if m > 0.5 else 0.0)
        self.beard = float(rng.uniform(0.5, 1.0) if m > 0.5 and rng.random() < 0.28 else 0.0)

        curly = 0.14 + 0.25 * max(0.0, tone - 0.6)
        if m > 0.5:
            styles = {"bald": 0.04 + 0.16 * age, "receding": 0.06 + 0.3 * age, "crop": 0.3, "quiff": 0.26}
            styles |= {"parted": 0.24, "curly": curly, "long": 0.03}
        else:
            styles = {"parted": 0.08, "fringe": 0.18, "bob": 0.22, "long": 0.28, "tied": 0.2, "curly": curly}
        weights = np.array(list(styles.values()))
        self.style = list(styles)[rng.choice(len(styles), p=weights / weights.sum())]
        greyed = rng.random() < np.clip((age - 0.42) * 2.2, 0, 0.9)
        hair = pick("hair", (tone - 0.1) / 0.45)
        if greyed:
            hair = ("hair", "white" if rng.random() < 1.6 * (age - 0.55) else "grey")
        self.hair = tuple(np.clip(palette.loc[hair, rgb].to_numpy(float) * rng.uniform(0.85, 1.15), 0, 255).tolist())
        self.hairline_y = about(-0.515 - 0.03 * m * age, 0.022)
        self.hair_volume = about(0.075, 0.018)
        self.hair_wave = float(rng.uniform(0, 1))
        self.part_x = float(rng.choice([-1, 1]) * rng.uniform(0.06, 0.24))

        self.light = (float(rng.choice([-1, 1]) * rng.uniform(0.12, 0.5)), float(-rng.uniform(0.35, 0.62)), 0.78)
        cloth = rng.random(), rng.uniform(0.08, 0.5), rng.uniform(0.22, 0.82)
        backdrop = rng.uniform(0.52, 0.68), rng.uniform(0.03, 0.2), rng.uniform(0.55, 0.84)
        self.cloth, self.backdrop = (tuple(255 * part for part in hsv_to_rgb(*hsv)) for hsv in (cloth, backdrop))

    def generator(self, purpose: int) -> np.random.Generator:
        """A generator of this person for one purpose, the same at every size and in every run."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0, self.number, purpose)))

    def half_width(self, y: np.ndarray | np.floating) -> np.ndarray:
        """Half the width of the head at height `y`; 0 above the crown and below the chin."""
        up = np.clip((WIDEST_Y - y) / (WIDEST_Y - self.crown_y), 0, 1)
        down = np.clip((y - WIDEST_Y) / (self.chin_y - WIDEST_Y), 0, 1)
        skull = np.maximum(1 - up**2.5, 0) ** 0.5
        jaw = np.maximum(1 - down**self.jaw_square, 0) ** (1 / self.jaw_taper)
        return self.cheek_width * np.where(y < WIDEST_Y, skull, jaw)

    def mouth_lines(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Upper border, mouth line, lower border of the lips at `x`; how far inside the corners (1 centre, 0 there)."""
        s = np.abs(x) / self.mouth_width
        line = self.mouth_y + self.mouth_curve * s**2 + 0.007 * hump(x, 0.035) - 0.004 * hump(s - 0.45, 0.2)
        inside = np.clip(1 - s, 0, 1)
        bow = 1 - 0.20 * hump(s, 0.14) + 0.06 * hump(s - 0.24, 0.12)
        upper = line - self.lip_upper * (1 - np.clip(s, 0, 1) ** 1.6) * bow
        lower = line + self.lip_lower * (1 - np.clip(s, 0, 1) ** 2.4) ** 0.85
        return upper, line, lower, inside

    def lid_lines(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Upper and lower lid margin at `x` (either eye), and the place along the eye (0 inner, 1 outer corner)."""
        t = (np.abs(x) - (self.eye_x - self.eye_width)) / (2 * self.eye_width)
        inside = np.clip(t, 0, 1)
        base = self.eye_y + 0.012 - (0.012 + self.eye_tilt) * inside
        high, low = inside**0.86, inside**1.22
        beyond = 0.3 * np.maximum(np.abs(t - 0.5) - 0.5, 0)
        upper = base - self.lid_upper * (4 * high * (1 - high)) ** 0.68
        return upper + beyond, base + self.lid_lower * (4 * low * (1 - low)) ** 0.8 - beyond, t

    def brow_line(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The right-hand brow's middle line from its head (t = 0) to its tail (1), as |x| and y."""
        y = self.brow_y + 0.012 - self.brow_arch * np.sin(np.pi * np.clip(t, 0, 1) ** 1.25)
        y = y - self.brow_tilt * t + 0.014 * t**3
        return 0.085 + 2 * self.brow_length * t, y


def bell(distance: Any, spread: Any) -> Any:
    """A Gaussian by its standard deviation."""
    return np.exp(-0.5 * (distance / spread) ** 2)


def hump(distance: Any, width: float) -> Any:
    """A Gaussian by the distance at which it is 1/e."""
    return np.exp(-((distance / width) ** 2))


def turned(x: Any, y: Any, cos: Any, sin: Any) -> tuple[Any, Any]:
    """Places or vectors along axes that are turned by the angle of this cosine and sine."""
    return cos * x + sin * y, cos * y - sin * x


def landmarks_of(p: Identity) -> dict[str, dict[str, tuple[float, float]]]:
    """Where a drawn person's features are, exactly, as :class:`medn_lab.synthme.paint.Face` has it."""
    inner, mid, outer = zip(*p.brow_line(np.array([0.08, 0.5, 0.86])), strict=True)
    lid_top, lid_bottom, _ = p.lid_lines(np.array([p.eye_x]))
    lip_x = 0.45 * p.mouth_width
    top, line, bottom, _ = p.mouth_lines(np.array([0.0, lip_x]))
    here = {
        "brow_inner": inner, "brow_mid": mid, "brow_outer": outer, "eye": (p.eye_x, p.eye_y),
        "eye_inner": (p.eye_x - p.eye_width, p.eye_y + 0.012),
        "eye_outer": (p.eye_x + p.eye_width, p.eye_y - p.eye_tilt),
        "lid_upper": (p.eye_x, lid_top[0]), "lid_lower": (p.eye_x, lid_bottom[0]),
        "cheek": (p.eye_x + 0.06, p.eye_y + 0.20), "nose_wing": (p.nose_width, p.nose_y + 0.03),
        "nose_side": (0.075, p.nose_y - 0.13), "mouth_corner": (p.mouth_width, p.mouth_y + p.mouth_curve),
        "lip_top": (lip_x, top[1]), "jaw": (0.36, 0.43),
        "glabella": (0, p.brow_y + 0.03), "forehead": (0, p.brow_y - 0.16), "nose_tip": (0, p.nose_y),
        "lip_upper": (0, top[0]), "mouth": (0, line[0]), "lip_lower": (0, bottom[0]), "chin": (0, p.chin_y - 0.10),
    }  # fmt: skip
    sides = {"right": -1, "left": 1}
    return {side: {name: (way * float(x), float(y)) for name, (x, y) in here.items()} for side, way in sides.items()}


class Canvas:
    """The grid a person is drawn on: pixel centres in face units, bent a little so that no face is symmetric.

    `x` and `y` are ``(n, n)`` float32; `pixel` is one pixel's width in face units.
    """

    def __init__(self, p: Identity, size: int) -> None:
        rng = p.generator(1)
        axis = ((np.arange(size, dtype=np.float32) + 0.5) / size) * 2 - 1
        self.pixel = 2 / size
        self.x, self.y = np.meshgrid(axis, axis)
        self.x = self.x + 0.0055 * self.noise(rng, 5)
        self.y = self.y + 0.0045 * self.noise(rng, 5)

    def blur(self, image: np.ndarray, sigma: float) -> np.ndarray:
        """`image` smoothed by a Gaussian of `sigma` face units."""
        return cv2.GaussianBlur(image, (0, 0), max(sigma / self.pixel, 0.3), borderType=cv2.BORDER_REPLICATE)

    def shift(self, image: np.ndarray, dx: float, dy: float) -> np.ndarray:
        """`image` moved by (dx, dy) face units."""
        matrix = np.array([[1, 0, dx / self.pixel], [0, 1, dy / self.pixel]], np.float32)
        return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)

    def soft(self, distance: np.ndarray, width: float = 0.0) -> np.ndarray:
        """0 to 1 across the line ``distance = 0``, over `width` face units but never less than a pixel."""
        t = np.clip(distance / max(width, 1.2 * self.pixel) + 0.5, 0, 1)
        return t * t * (3 - 2 * t)

    def noise(self, rng: np.random.Generator, cells: int, *, across: int | None = None) -> np.ndarray:
        """Smooth noise of unit variance, `cells` grains over the picture; the same pattern at every size."""
        grid = rng.standard_normal((cells, across or cells)).astype(np.float32)
        coarse = max(grid.shape) > len(self.x)
        return cv2.resize(grid, self.x.shape, interpolation=cv2.INTER_AREA if coarse else cv2.INTER_CUBIC)

    def blob(self, x: float, y: float, sx: float, sy: float, *, angle: float = 0.0) -> np.ndarray:
        """A Gaussian hill at (x, y) and one at (-x, y), with spreads (sx, sy), turned by `angle`."""
        dx, dy = np.abs(self.x) - x, self.y - y
        if angle:
            dx, dy = turned(dx, dy, np.cos(angle), np.sin(angle))
        return np.exp(-0.5 * ((dx / sx) ** 2 + (dy / sy) ** 2))

    def stroke(self, image: np.ndarray, points: np.ndarray, width: float, shade: float = 1.0) -> None:
        """Draw a line of `width` face units through `points` (k, 2) on `image`."""
        pixels = np.rint((points + 1) / self.pixel * 16).astype(np.int32)
        cv2.polylines(image, [pixels], False, shade, max(1, round(width / self.pixel)), cv2.LINE_AA, 4)

    def groove(self, points: np.ndarray, width: float) -> np.ndarray:
        """A soft line through `points` (k, 2), mirrored to both sides: 1 on the line, fading over `width`."""
        image = np.zeros(self.x.shape, np.float32)
        for side in (-1, 1):
            self.stroke(image, points * (side, 1), width)
        image = self.blur(image, width * 0.6)
        return image / max(image.max(), 1e-9)


def _head_height(p: Identity, c: Canvas, grain: np.ndarray) -> np.ndarray:
    """Height of the skin towards the viewer in face units; `grain` is fine noise that becomes pores."""
    m, age = p.masculine, p.age
    across = np.abs(c.x) / np.maximum(p.half_width(c.y), 1e-3)
    under = np.clip((c.y - 0.42) / (p.chin_y + 0.030 - 0.42), 0, 1)
    z = 0.50 * np.sqrt(np.clip(1 - np.minimum(across, 1) ** 2.3 - under**6, 0.004, 1))
    z -= 0.30 * np.clip(-0.34 - c.y, 0, 1) ** 2 + 0.05 * np.clip(c.y - 0.35, 0, 1) ** 1.5
    z += 0.020 * c.blob(0, -0.42, 0.24, 0.11)  # forehead
    z += 0.012 * c.blob(0.14, -0.44, 0.10, 0.09)
    z += (0.018 + 0.026 * m) * c.blob(0.17, p.brow_y + 0.005, 0.13, 0.045, angle=-0.1)  # brow ridge
    z -= (0.055 + 0.015 * m + 0.012 * age) * c.blob(0.165, p.eye_y - 0.015, 0.105, 0.066)  # sockets
    z += 0.040 * c.blob(p.eye_x, p.eye_y, 0.078, 0.054)  # eyeballs under the lids
    z += (0.042 + 0.012 * (1 - age)) * c.blob(0.335, 0.075, 0.10, 0.080, angle=-0.45)  # cheekbones
    z += (0.010 + 0.028 * p.cheek_full) * c.blob(0.265, 0.24, 0.12, 0.12)
    z -= (0.014 + 0.026 * (1 - p.cheek_full)) * c.blob(0.34, 0.36, 0.07, 0.12, angle=0.35)  # hollow cheek

    root, tip = p.eye_y - 0.04, p.nose_y
    along = np.clip((c.y - root) / (tip - root), 0, 1)
    rise = (0.030 * p.nose_bridge + (0.105 - 0.012 * p.tone) * along**1.25) * (1 + 0.05 * m)
    below = 1 - c.soft(c.y - (tip + 0.034), 0.105)
    nose = rise * bell(c.x, 0.044 + (0.40 * p.nose_width) * along**1.8) * below * c.soft(c.y - (root - 0.02), 0.20)
    nose = nose + 0.046 * p.nose_tip * c.blob(0, tip + 0.004, 0.36 * p.nose_width + 0.014, 0.036)
    nose = nose + 0.058 * c.blob(p.nose_width * 0.84, tip + 0.024, 0.020 + 0.14 * p.nose_width, 0.030)  # wings
    z += nose - 0.012 * c.blob(p.nose_width * 1.36, tip + 0.020, 0.016, 0.034)

    upper, line, lower, inside = p.mouth_lines(c.x)
    mouth = 0.042 * c.blob(0, p.mouth_y - 0.01, 0.17, 0.085)
    on_upper = np.clip((line - c.y) / np.maximum(line - upper, 1e-3), 0, 1)
    on_lower = np.clip((c.y - line) / np.maximum(lower - line, 1e-3), 0, 1)
    fade = np.clip(inside * 2.2, 0, 1)
    mouth += 0.017 * np.abs(np.sin(np.pi * on_upper)) ** 0.8 * fade * (on_upper < 1)
    mouth += 0.026 * np.abs(np.sin(np.pi * on_lower)) ** 0.7 * fade * (on_lower < 1)
    mouth -= 0.018 * hump(c.y - line, 0.010) * np.clip(inside * 4, 0, 1)
    philtrum = (p.nose_y + 0.06 + p.mouth_y - p.lip_upper) / 2
    mouth -= 0.007 * c.blob(0, philtrum, 0.019, 0.045)
    mouth += 0.0035 * c.blob(0.034, philtrum, 0.014, 0.045)
    z += mouth - 0.012 * c.blob(p.mouth_width * 1.05, p.mouth_y + 0.006, 0.022, 0.022)

    z += (0.020 + 0.010 * m) * c.blob(0, p.chin_y - 0.105, 0.105 + 0.02 * m, 0.060)  # chin
    z -= 0.020 * c.blob(0, p.mouth_y + p.lip_lower + 0.045, 0.10, 0.026)
    z += _lines_of_age(p, c)
    return z + 0.00016 * p.texture * (1 + age) * grain


def _lines_of_age(p: Identity, c: Canvas) -> np.ndarray:
    t = np.linspace(0, 1, 12)[:, None]
    wing = np.array([p.nose_width * 1.32, p.nose_y + 0.02])
    fold = wing + t * ((p.mouth_width * 1.28, p.mouth_y - 0.005) - wing) + (0.022, -0.01) * np.sin(np.pi * t)
    z = -(0.004 + 0.012 * p.age**1.2) * c.groove(fold, 0.018)
    along, down = np.linspace(-0.8, 0.6, 9), np.sin(np.linspace(0.2, 2.9, 9))
    bag = np.stack([p.eye_x + p.eye_width * along, p.eye_y + 0.066 + 0.014 * down], 1)
    z -= (0.0015 + 0.006 * p.age) * c.groove(bag, 0.012)
    if p.age > 0.3:
        deep = 0.0042 * (p.age - 0.3)
        for k, y in enumerate((-0.335, -0.385, -0.435)):
            x = np.linspace(0, 0.22 - 0.02 * k, 12)
            z -= deep * c.groove(np.stack([x, y + 0.012 * np.sin(9 * x + k)], 1), 0.010)
        for k in (-1, 0, 1):
            start = np.array([p.eye_x + p.eye_width * 1.12, p.eye_y + 0.014 * k])
            z -= deep * c.groove(start + t * (0.06, 0.028 * k), 0.008)
    return z


def light_skin(p: Identity, c: Canvas, grain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Light reaching the skin, (n, n, 3) linear, red wrapping furthest round the terminator; and the gloss, (n, n)."""
    z = _head_height(p, c, grain).astype(np.float32)
    # Unit normals of the height field; slopes are eased so that the silhouette does not turn black.
    zx, zy = (cv2.Sobel(z, cv2.CV_32F, 1 - k, k, ksize=3, scale=1 / (8 * c.pixel)) for k in (0, 1))
    steep = np.sqrt(zx * zx + zy * zy) + 1e-6
    eased = np.tanh(steep / 1.9) * 1.9 / steep
    normal = np.stack([-zx * eased, -zy * eased, np.ones_like(z)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)

    key = np.array(p.light) / np.linalg.norm(p.light)
    wrap = np.array([0.40, 0.25, 0.18], np.float32)
    diffuse = np.clip(((normal @ key.astype(np.float32))[..., None] + wrap) / (1 + wrap), 0, 1) ** 1.25
    fill = np.clip(normal @ np.array([-0.75 * np.sign(key[0]), -0.1, 0.65], np.float32), 0, 1)
    sky = 0.5 - 0.5 * normal[..., 1]
    hollow = np.clip(1 - 3.2 * (c.blur(z, 0.055) - z) - 3.0 * (c.blur(z, 0.016) - z), 0.46, 1.14)
    bounce = np.clip(normal[..., 1], 0, 1)[..., None] * np.array([0.10, 0.075, 0.06], np.float32)
    ambient = (0.09 * fill + 0.15 * sky + 0.10)[..., None] * np.array([0.97, 1.0, 1.05], np.float32)
    half = key + np.array([0, 0, 1.0])
    shine = np.clip(normal @ (half / np.linalg.norm(half)).astype(np.float32), 0, 1)
    # The underside of the nose is small and close to lit skin: without this light it would be one dark wedge.
    glow = c.blob(0, p.nose_y + 0.052, 0.75 * p.nose_width, 0.019)
    light = (0.92 * diffuse + ambient + bounce) * hollow[..., None] * (1 + 0.75 * glow)[..., None]
    return light, shine**22 * 0.8 + 0.5 * shine**60
