"""An attribution over its faces: the frame in view, all frames together, the flow; and its course in time."""

from __future__ import annotations

import html

import numpy as np

from medn_lab.records import Attribution, Clips, require
from medn_lab.view import theme
from medn_lab.view.attribution import mapped_clip
from medn_lab.view.attribution_panels import MappedClip, summed, tells_moments, tells_places
from medn_lab.view.images import AGAINST, FOR, draw_heat, enlarge, full_colour, to_webp
from medn_lab.view.rows import clip_moments

GAP = 8
"""Pixels between two pictures of a strip."""


class MapPictures:
    """The pictures of one attribution, made when they are asked for and remembered.

    Parameters
    ----------
    attribution : Attribution
        Of one clip or a pair.
    clips : Clips
    region : str
        What to draw a line around; empty for nothing.
    blur : float
        Pixels by which maps are smoothed for the eye.
    size : int
        Of a picture.

    Attributes
    ----------
    titles : list of str
        What the pictures of a row are, from the left; escaped.
    n_frames : int
        How many frames can be looked at; 1 where there are none.
    """

    def __init__(self, attribution: Attribution, *, clips: Clips, region: str, blur: float, size: int) -> None:
        places = range(len(attribution))
        self._drawn = [mapped_clip(attribution, place, clips, region or None, blur) for place in places]
        self._clips, self._size = clips, size
        self._still: dict[tuple[int, str], np.ndarray] = {}
        self._made: dict[int, bytes] = {}
        one = self._drawn[0]
        self.n_frames = 1 if one.faces is None else len(one.faces)
        self._kinds = ["moment"] * (one.faces is not None or one.frames is not None)
        # Where a map does not tell moments apart, all of them together are the one in view.
        self._kinds += ["frames"] * (one.frames is not None and tells_moments(one) and tells_places(one))
        self._kinds += ["flow"] * (one.flow is not None)
        self._largest = {
            "moment": full_colour(*[clip.frames for clip in self._drawn if clip.frames is not None]),
            **{name: full_colour(*[heat for clip in self._drawn if (heat := summed(clip, name)) is not None])
               for name in ("frames", "flow")},
        }  # fmt: skip
        said = {
            "moment": "the frame in view" if one.frames is not None else "the frame in view: no say in this map",
            "frames": "all frames after the onset",
            "flow": "the flow, onset to apex",
        }
        self.titles = [
            f"{said[kind]}<br>{self._scale(kind)}" if self._largest[kind] > 0 else said[kind] for kind in self._kinds
        ]

    @property
    def width(self) -> int:
        """Of the strip, in pixels."""
        return len(self._kinds) * self._size + (len(self._kinds) - 1) * GAP

    @property
    def height(self) -> int:
        """Of the strip, in pixels."""
        return len(self._drawn) * self._size + (len(self._drawn) - 1) * GAP

    def picture(self, place: int) -> bytes:
        """The strip with the frame at `place` in view, as WebP: a row a clip."""
        if place not in self._made:
            rows = [self._row(number, place) for number in range(len(self._drawn))]
            ground = np.full((GAP, rows[0].shape[1], 3), 128, dtype=np.uint8)
            joined = np.concatenate([part for row in rows for part in (row, ground)][:-1], axis=0)
            self._made[place] = to_webp([joined], quality=86)
        return self._made[place]

    def course(self, place: int, *, width: int) -> str:
        """What each frame spoke, as bars with the frame in view marked: an SVG a clip; empty without frames."""
        parts = [
            self._bars(one, one.course, place, width)
            for one in self._drawn
            if one.course is not None and tells_moments(one)
        ]
        return "".join(parts)

    def _row(self, number: int, place: int) -> np.ndarray:
        one, pictures = self._drawn[number], []
        for kind in self._kinds:
            if kind == "moment":
                pictures.append(self._moment(one, place))
                continue
            if (number, kind) not in self._still:
                face = None if one.faces is None else one.faces[0]
                heat = require(summed(one, kind), otherwise=f"the {kind} have no map in this attribution")
                self._still[number, kind] = draw_heat(
                    face, heat, largest=self._largest[kind], size=self._size, outline=one.outline
                )
            pictures.append(self._still[number, kind])
        pictures = [_square(picture, self._size) for picture in pictures]
        gap = np.full((pictures[0].shape[0], GAP, 3), 128, dtype=np.uint8)
        return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)

    def _moment(self, one: MappedClip, place: int) -> np.ndarray:
        face = None if one.faces is None else one.faces[place]
        if one.frames is None:
            return enlarge(require(face, otherwise="these clips have no frames to show"), self._size)
        return draw_heat(face, one.frames[place], largest=self._largest["moment"], size=self._size, outline=one.outline)

    def _scale(self, kind: str) -> str:
        largest = self._largest[kind]
        return (
            f"<span style='color:rgb{FOR}'>■</span> +{largest:.2g} "
            f"<span style='color:rgb{AGAINST}'>■</span> −{largest:.2g}"
        )

    def _bars(self, one: MappedClip, course: np.ndarray, place: int, width: int) -> str:
        moments, count = clip_moments(self._clips, one.clip_id), len(course)
        left, right, height, foot = 46.0, 8.0, 58.0, 17.0
        largest = float(np.abs(course).max()) or 1.0
        low, high = min(0.0, float(course.min())), max(0.0, float(course.max()))
        span = (high - low) or 1.0
        step = (width - left - right) / count
        zero = 4 + (height - 8) * high / span
        parts = []
        for number, value in enumerate(course):
            x = left + number * step
            y = zero - (height - 8) * max(value, 0) / span
            tall = max((height - 8) * abs(value) / span, 0.5)
            colour = theme.GREY if not one.signed else f"rgb{FOR if value >= 0 else AGAINST}"
            if number == place:
                parts.append(
                    f"<rect x='{x:.1f}' y='1' width='{step:.1f}' height='{height - 2:.1f}' fill='none' rx='3' "
                    f"stroke='{theme.RING}' stroke-width='2'/>"
                )
            parts.append(
                f"<rect x='{x + 0.2 * step:.1f}' y='{y:.1f}' width='{0.6 * step:.1f}' height='{tall:.1f}' "
                f"fill='{colour}'><title>{html.escape(moments.describe(number))}: {value:.3g}</title></rect>"
            )
            name = moments.names(number) or (
                f"{number + 1}" if moments.milliseconds is None else f"{moments.milliseconds[number]:.0f} ms"
            )
            where = f"x='{x + step / 2:.1f}' y='{height + 12:.1f}' text-anchor='middle' font-size='10.5'"
            parts.append(f"<text {where}>{name}</text>")
        parts.append(f"<line class='medn-axis' x1='{left}' x2='{width - right}' y1='{zero:.1f}' y2='{zero:.1f}'/>")
        parts.append(f"<text x='0' y='14' font-size='10.5'>{'±' if one.signed else ''}{largest:.2g}</text>")
        what = "what each frame spoke" if one.signed else "what each frame weighs, without sign"
        label = f"{html.escape(one.clip_id)}: {what}"
        named = f"<div class='medn-note'>{label}</div>"
        svg = (
            f"<svg width='{width}' height='{height + foot:.0f}' role='img' aria-label='{label}'>{''.join(parts)}</svg>"
        )
        return named + svg


def _square(picture: np.ndarray, size: int) -> np.ndarray:
    """A picture with its shorter side filled up to `size`, so that pictures stand in line."""
    height, width = picture.shape[:2]
    if (height, width) == (size, size):
        return picture
    filled = np.full((size, size, 3), 128, dtype=np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    filled[top : top + height, left : left + width] = picture
    return filled
