"""The pictures of a confusable pair: both flows and their difference on one scale, and what made the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medn_lab.records import Attribution, Clips, positions
from medn_lab.view.images import (
    SCALED_NOTE,
    common_scale,
    draw_arrows,
    draw_heat,
    draw_magnitude,
    enlarge,
    flow_magnitude,
    full_colour,
    motion_field,
    scaled_by_clip,
    smooth,
)
from medn_lab.view.rows import clip_row

_BLUR = 1.0  # pixels: single pixels of an attribution are noisy
_GROUND = 205


@dataclass(frozen=True)
class Tile:
    """One picture with what stands above and below it.

    Attributes
    ----------
    heading, note : str
        Plain text.
    picture : (h, w, 3) uint8 or None
        None where there is nothing to draw; the note says why.
    """

    heading: str
    picture: np.ndarray | None
    note: str = ""


def flow_tiles(clips: Clips, clip_ids: Sequence[str], *, size: int) -> list[Tile]:
    """Flow of the first clip, difference of the two flows, flow of the second; one scale for all three.

    Parameters
    ----------
    clips : Clips
    clip_ids : sequence of str
        Two.
    size : int
        Pixels of a picture's longer side.

    Returns
    -------
    list of Tile
        Three. The difference is the first clip's flow minus the second's, drawn over both faces blended; it is also
        where the two faces differ in shape, for a crop brings eyes and mouth together only so far.
    """
    places = [clip_row(clips, name)[0] for name in clip_ids]
    (one, why_one), (other, why_other) = (motion_field(clips, place) for place in places)
    headings = "flow of a", "difference of flows, a − b", "flow of b"
    if one is None or other is None:
        return [Tile(heading, None, why_one or why_other) for heading in headings]
    faces = [_ground(clips, place) for place in places]
    both = (0.5 * faces[0] + 0.5 * faces[1]).astype(np.uint8)
    flows = [one, one - other, other]
    grounds = [faces[0], both, faces[1]]
    largest, gain = common_scale(flows)
    unit = SCALED_NOTE if scaled_by_clip(clips.recipe) else "px"
    tiles = []
    for heading, flow, ground in zip(headings, flows, grounds, strict=True):
        glow, _ = draw_magnitude(enlarge(ground, size), flow, largest=largest)
        drawn, _ = draw_arrows(glow, flow, gain=gain)
        longest = f"longest {float(flow_magnitude(flow).max()):.2f}"
        tiles.append(Tile(heading, drawn, f"{longest} {unit}, arrows ×{gain:g}"))
    return tiles


def difference_tiles(
    attribution: Attribution, clips: Clips, clip_ids: Sequence[str], *, part: str, size: int
) -> list[Tile]:
    """What made the difference, in each of the two clips: red for the first one's emotion, blue for the second's.

    Parameters
    ----------
    attribution : Attribution
        Of ``medn.diagnose.attribute_pair``: holds both clips.
    clips : Clips
    clip_ids : sequence of str
        Two.
    part : {"frames", "flow"}
        Which input; the other one where this was not attributed.
    size : int
        Pixels of a picture's longer side.

    Returns
    -------
    list of Tile
        Two, with one scale of colours.

    Raises
    ------
    ValueError
        If a clip is not in the attribution.
    """
    part = part if getattr(attribution, part) is not None else {"frames": "flow", "flow": "frames"}[part]
    rows = positions(attribution.table, list(clip_ids), owner="this attribution")
    heats = []
    for row in rows:
        values = np.asarray(getattr(attribution, part)[row]).sum(axis=-1)
        # Of the frames without the onset: against it all others are measured, so that its slope takes back theirs.
        heats.append(smooth(values[1:].sum(axis=0) if part == "frames" else values, _BLUR))
    largest = full_colour(*heats)
    tiles = []
    for name, clip_id, heat in zip("ab", clip_ids, heats, strict=True):
        place, _ = clip_row(clips, clip_id)
        face = None if clips.frames is None else np.asarray(clips.frames[place, 0])
        drawn = draw_heat(face, heat, largest=largest, size=size)
        said = f"the {part} of {name} add up to {float(heat.sum()):+.1f}"
        tiles.append(Tile(f"{attribution.target}, in {name}", drawn, said))
    return tiles


def scale_line(attribution: Attribution, *, part: str) -> str:
    """One line on the colours of :func:`difference_tiles`."""
    part = part if getattr(attribution, part) is not None else {"frames": "flow", "flow": "frames"}[part]
    first, _, second = attribution.target.partition(" - ")
    method = attribution.method.replace("_", " ")
    summed = "summed over time" if part == "frames" else "onset to apex"
    return f"{part}, {summed}, by {method}: red speaks for {first}, blue for {second or 'the other'}"


def _ground(clips: Clips, place: int) -> np.ndarray:
    if clips.frames is None:
        return np.full((*clips.size, 3), _GROUND, dtype=np.uint8)
    return np.asarray(clips.frames[place, 0])
