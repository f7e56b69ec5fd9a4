"""Pixels: faces with flow, magnification and attribution over them, and their packing for a page."""

from __future__ import annotations

import io
from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from medn_lab.records import Clips, au_columns
from medn_lab.view import theme
from medn_lab.view.rows import clip_moments, clip_row, shown_frames

_ARROW_COLOUR, _ARROW_CASING = (255, 226, 64), (20, 16, 32)


def enlarge(image: np.ndarray, size: int) -> np.ndarray:
    """The image (h, w, 3) uint8 with its longer side at `size` pixels, smoothly interpolated."""
    return resize_field(image, *(max(1, round(side * size / max(image.shape[:2]))) for side in image.shape[:2]))


def resize_field(field: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image or a field of floats, (h, w) or (h, w, k), at another size, smoothly interpolated; values are kept."""
    smaller = height < field.shape[0]
    return cv2.resize(field, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)


def flow_magnitude(flow: np.ndarray) -> np.ndarray:
    """Length of the displacement at each pixel, (..., h, w) in pixels."""
    return np.hypot(flow[..., 0], flow[..., 1]).astype(np.float32)


def arrow_grid(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """Where to draw arrows over a flow, and how much longer than the motion.

    Each arrow is the mean displacement of its cell; cells that hardly move get none.

    Parameters
    ----------
    flow : (h, w, 2) float
        In pixels.

    Returns
    -------
    x, y, dx, dy : (k,) float
        Feet of the arrows and the displacement, in pixels of the flow.
    gain : float
        By how much to lengthen: the longest arrow then spans a little more than a cell.
    """
    h, w = flow.shape[:2]
    cell = max(1, round(max(h, w) / 13))
    rows, columns = h // cell, w // cell
    blocks = flow[: rows * cell, : columns * cell, :2].reshape(rows, cell, columns, cell, 2).mean(axis=(1, 3))
    lengths = np.hypot(blocks[..., 0], blocks[..., 1])
    longest = float(lengths.max(initial=0.0))
    row, column = np.nonzero(lengths > max(0.15 * longest, 1e-3))
    gain = 1.2 * cell / longest if longest > 1e-3 else 1.0
    gain = float(np.clip(round(gain) if gain >= 2 else round(gain, 1), 1.0, 50.0))
    x = (column + 0.5) * cell + (w - columns * cell) / 2
    y = (row + 0.5) * cell + (h - rows * cell) / 2
    return x, y, blocks[row, column, 0], blocks[row, column, 1], gain


def draw_arrows(image: np.ndarray, flow: np.ndarray, *, gain: float | None = None) -> tuple[np.ndarray, float]:
    """The image with the flow as arrows over it.

    Parameters
    ----------
    image : (h', w', 3) uint8
    flow : (h, w, 2) float
        In pixels at its own size, which may differ from the image's.
    gain : float or None
        How many times longer than the motion the arrows are; so many that the longest spans a cell where None.

    Returns
    -------
    (h', w', 3) uint8, and how many times longer than the motion the arrows are.
    """
    x, y, dx, dy, own = arrow_grid(flow)
    gain, picture, fraction = own if gain is None else gain, np.ascontiguousarray(image).copy(), 4
    ends = np.array([[x, y], [x + gain * dx, y + gain * dy]]).transpose(2, 0, 1) * image.shape[1] / flow.shape[1]
    unit = max(image.shape[:2]) / 320  # a dark edge keeps the arrows visible on skin
    for colour, thick in ((_ARROW_CASING, 3.6 * unit), (_ARROW_COLOUR, 1.6 * unit)):  # dark, then light
        for foot, tip in np.rint(ends * 2**fraction).astype(int).tolist():
            cv2.arrowedLine(picture, foot, tip, colour, max(1, round(thick)), cv2.LINE_AA, fraction, tipLength=0.35)
    return picture, gain


def magnitude_colours(share: np.ndarray) -> np.ndarray:
    """Colours of the magnitude scale, (..., 3) float from 0 to 255, for shares in [0, 1]."""
    stops = np.array([stop for stop, _ in theme.MAGNITUDE_SCALE])
    colours = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for _, code in theme.MAGNITUDE_SCALE])
    return np.stack([np.interp(share, stops, colours[:, channel]) for channel in range(3)], axis=-1)


def to_webp(image: np.ndarray, *, quality: int = 82) -> bytes:
    """An image (h, w, 3) uint8 as a WebP file; `quality` lies in 1 to 100."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, "WEBP", quality=quality, method=2)
    return stream.getvalue()


SCALED_NOTE = "each clip scaled separately: not in pixels, 0 can be motion"


def motion_field(clips: Clips, place: int) -> tuple[np.ndarray | None, str]:
    """The displacement from onset to apex of the clip at `place`, or why there is none.

    Some recipes give flow as a colour picture, from which lengths in pixels can no longer be read.

    Parameters
    ----------
    clips : Clips
    place : int
        Row of the clip.

    Returns
    -------
    field, why_not
        (h, w, 2) float32 in pixels (:func:`scaled_by_clip` says where it is not) and an empty text, or None and a
        sentence.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"clip_id": ["a"], "subject": ["s01"]})
    >>> motion_field(Clips(None, np.zeros((1, 4, 4, 3)), table, recipe={"coding": "hsv"}), 0)[1]
    'The flow of these clips is coded as colours, which do not give the motion in pixels.'
    """
    if clips.flow is None:
        return None, "These clips have no flow."
    if clips.recipe.get("coding") == "hsv":
        return None, "The flow of these clips is coded as colours, which do not give the motion in pixels."
    return np.asarray(clips.flow[place][..., :2], dtype=np.float32), ""


def scaled_by_clip(recipe: Mapping[str, object]) -> bool:
    """Whether each channel of the flow was scaled clip by clip, as in the packs that circulate.

    Examples
    --------
    >>> scaled_by_clip({"name": "flow pack"}), scaled_by_clip({"name": "default"})
    (True, False)
    """
    return "scaled" in recipe or recipe.get("name") == "flow pack"


MOST = 20.0  # the largest factor that widgets offer


def time_course(frames: np.ndarray, apex: int | None, *, flow: np.ndarray | None = None) -> np.ndarray:
    """How far each frame is on the way from onset (0) to apex (1).

    The difference of each frame from the onset is projected on the apex's difference, over the pixels that the flow
    says move. It is an estimate from the pictures, so it falls back to 0 after the apex as the face does.

    Parameters
    ----------
    frames : (t, h, w, 3) uint8
    apex : int or None
        Position of the apex among the frames; None takes the frame that differs most from the onset.
    flow : (h', w', 2) float or None
        Onset to apex.

    Returns
    -------
    (t,) float in [-0.25, 1.25]; 0 at the onset, 1 at the apex. All 0 where nothing changes.

    Examples
    --------
    >>> frames = np.stack([np.full((4, 4, 3), v, np.uint8) for v in (10, 20, 30, 20)])
    >>> time_course(frames, 2).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    differences = (frames.astype(np.float32) - frames[0].astype(np.float32)).mean(axis=-1)
    if flow is not None:
        differences = differences * resize_field(flow_magnitude(flow), *differences.shape[1:])
    squares = (differences**2).sum(axis=(1, 2))
    apex = int(squares.argmax()) if apex is None else apex
    course = (differences * differences[apex]).sum(axis=(1, 2)) / (squares[apex] or 1)
    return np.clip(course, -0.25, 1.25).astype(float)


def magnify(
    frames: np.ndarray, flow: np.ndarray | None, place: int, factor: float, *, apex: int | None, size: int
) -> np.ndarray:
    """The frame at `place` of a clip with its motion made `factor` times as large.

    Parameters
    ----------
    frames : (t, h, w, 3) uint8
    flow : (h', w', 2) float or None
        Onset to apex, in pixels at its own size. None amplifies frame differences instead.
    place : int
    factor : float
        1 or more.
    apex : int or None
        Position of the apex among the frames.
    size : int
        Pixels of the longer side; enlarged before warping, which keeps edges smooth.

    Returns
    -------
    (h', w', 3) uint8
    """
    if not factor >= 1:
        raise ValueError(f"the motion can be magnified by 1 or more, not by {factor}")
    onset, image = (enlarge(frame, size) for frame in (frames[0], frames[place]))
    if flow is None:
        difference = image.astype(np.float32) - onset
        return np.clip(onset + factor * difference, 0, 255).astype(np.uint8)
    step = (factor - 1) * time_course(frames, apex, flow=flow)[place]
    if abs(step) < 1e-3:
        return image
    flow = step * steady(flow[..., :2].astype(np.float32))

    def sample(picture: np.ndarray, back: np.ndarray) -> np.ndarray:
        """Bilinear values at the pixels moved back by a displacement, the border repeated."""
        y, x = ((at - back[..., 1 - k]).astype(np.float32) for k, at in enumerate(np.indices(back.shape[:2])))
        return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    # A pixel looks up where it came from: the displacement d with d(p) = flow(p - d(p)), by iteration. Half steps keep
    # the iteration calm where a large factor makes the field steep.
    back = flow
    for _ in range(8):
        back = 0.5 * back + 0.5 * sample(flow, back)
    back = resize_field(back, *image.shape[:2]) * (image.shape[1] / flow.shape[1])
    return np.clip(sample(image.astype(np.float32), back) + 0.5, 0, 255).astype(np.uint8)


def magnified_apex(clips: Clips, clip_id: str, factor: float, *, size: int) -> tuple[np.ndarray | None, str]:
    """The apex of a clip (its middle frame where that is not known) with its motion magnified, and what it is.

    The picture is (h, w, 3) uint8, None where the clips have no frames.
    """
    place = clip_row(clips, clip_id)[0]
    frames = shown_frames(clips, place)[0]
    if frames is None:
        return None, "no frames in these clips"
    moments, flow = clip_moments(clips, clip_id), motion_field(clips, place)[0]
    name = "middle frame" if moments.apex is None else "apex"
    picture = magnify(frames, flow, moments.peak, factor, apex=moments.apex, size=size)
    return picture, name if factor == 1 else f"{name}, motion × {factor:g}"


def onset_face(clips: Clips, clip_id: str) -> np.ndarray:
    """The onset of a clip as people are shown it, (h, w, 3) uint8; a plain ground where there are no frames."""
    frames = shown_frames(clips, clip_row(clips, clip_id)[0])[0]
    return np.full((*clips.size, 3), 205, dtype=np.uint8) if frames is None else frames[0]


def draw_flow(
    ground: np.ndarray, flow: np.ndarray, *, scaled: bool = False, largest: float | None = None,
    gain: float | None = None,
) -> tuple[np.ndarray, str]:  # fmt: skip
    """A face in grey under the magnitude, as colour, and the arrows of a flow, and a note on their scale.

    `largest` is the magnitude that gets the brightest colour and `gain` the lengthening of the arrows, both the flow's
    own where None; `scaled` says that the flow is not in pixels.
    """
    magnitude = flow_magnitude(flow)
    longest = float(magnitude.max())
    share = resize_field(magnitude / max(longest if largest is None else largest, 1e-6), *ground.shape[:2]).clip(0, 1)
    picture, gain = draw_arrows(covered(ground, magnitude_colours(share), 0.8 * np.sqrt(share)), flow, gain=gain)
    return picture, SCALED_NOTE if scaled else f"longest {longest:.2f} px of {flow.shape[1]}, arrows ×{gain:g}"


def steady(flow: np.ndarray) -> np.ndarray:
    """The flow without what a large factor would tear: blurred, and still where it hardly moved."""
    h, w = flow.shape[:2]
    blurred = gaussian_filter(flow, max(h, w) / 40, axes=(0, 1), mode="nearest", truncate=3)
    magnitude = flow_magnitude(blurred)
    quiet = 0.1 * float(magnitude.max())
    return blurred * np.clip((magnitude - quiet) / max(quiet, 1e-6), 0, 1)[..., None]


FOR, AGAINST = (196, 40, 28), (28, 84, 196)  # a positive and a negative value


def full_colour(*heats: np.ndarray) -> float:
    """The absolute value that gets the full colour in all of some maps; a few pixels lie beyond, 0 if all are 0."""
    values = np.concatenate([np.zeros(0), *(np.abs(heat).ravel() for heat in heats)])
    return (float(np.quantile(values, 0.995)) or float(values.max())) if values.size else 0.0


def smooth(heat: np.ndarray, sigma: float) -> np.ndarray:
    """A map (..., h, w) blurred by a Gaussian of `sigma` pixels; its sum is kept but for what leaves at the border."""
    return gaussian_filter(heat, sigma, axes=(-2, -1), mode="nearest", truncate=3) if sigma > 0 else heat


def covered(face: np.ndarray, colours: np.ndarray, cover: np.ndarray, *, light: float = 0) -> np.ndarray:
    """A face in grey, `light` added, under colours (h, w, 3) from 0 to 255 that cover a share (h, w) of each pixel."""
    grey, cover = light + 0.74 * face.mean(axis=2, keepdims=True), cover[..., None]
    return np.clip(grey * (1 - cover) + colours * cover, 0, 255).astype(np.uint8)


def draw_heat(
    face: np.ndarray | None, heat: np.ndarray, *, largest: float, size: int, outline: np.ndarray | None = None
) -> np.ndarray:
    """A face in grey with a signed map over it.

    Parameters
    ----------
    face : (h, w, 3) uint8 or None
        A plain ground where None.
    heat : (h, w) float
    largest : float
        The absolute value that gets the full colour.
    size : int
        Pixels of the picture's longer side.
    outline : (h, w) bool or None
        A region to draw a line around.

    Returns
    -------
    (h', w', 3) uint8
    """
    ground = enlarge(np.full((*heat.shape, 3), 205, dtype=np.uint8) if face is None else face, size)
    share = np.clip(heat / largest, -1, 1) if largest > 0 else np.zeros_like(heat)
    # Nearest neighbour: the pixels of a map are what was measured, and a patch has an edge.
    share = cv2.resize(share.astype(np.float32), ground.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    colours = np.where(share[..., None] >= 0, FOR, AGAINST)
    picture = covered(ground, colours, 0.9 * np.abs(share) ** 0.7, light=60)
    return picture if outline is None else draw_outline(picture, outline)


def signed_colours(share: np.ndarray) -> np.ndarray:
    """Shares (h, w) from -1 to 1 as blue, white and red (h, w, 3) uint8; the distance from white is proportional."""
    cover = np.abs(share)[..., None]
    return (255 * (1 - cover) + np.where(share[..., None] >= 0, FOR, AGAINST) * cover).astype(np.uint8)


def draw_kept(face: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """A face (h, w, 3) uint8, dark where positions of the grid were dropped, dimmed where `kept` is between 0 and 1.

    `kept` (grid, grid) is a mask, or the share of the keep rates that kept a position.
    """
    share = cv2.resize(kept.astype(np.float32), face.shape[1::-1], interpolation=cv2.INTER_NEAREST)[..., None]
    dropped = 0.32 * face.mean(axis=2, keepdims=True) + 14
    return np.where(share > 0, face * (0.55 + 0.45 * share), dropped).astype(np.uint8)


def draw_outline(picture: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The picture with a white line, dark on both sides, around a region (h, w) bool of another size."""
    inside = cv2.resize(region.astype(np.float32), picture.shape[1::-1], interpolation=cv2.INTER_LINEAR) >= 0.5
    edges, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    drawn, thick = np.ascontiguousarray(picture).copy(), 1 + round(max(picture.shape[:2]) / 300)
    for colour, width in (((25, 25, 30), thick + 3), ((255, 255, 255), thick)):
        cv2.drawContours(drawn, edges, -1, colour, width)
    return drawn


def region_of(clips: Clips, clip_id: str, region: str) -> np.ndarray:
    """Where something was planted in a synthetic clip.

    Parameters
    ----------
    clips : Clips
        With truth.
    clip_id : str
    region : str
        ``cue``, an AU, or ``AUs``: wherever the clip's own AUs can move the face.

    Returns
    -------
    (h, w) bool

    Raises
    ------
    ValueError
        If the clips have no truth, or no such region was planted.
    """
    if clips.truth is None:
        raise ValueError(f"these clips have no truth to draw the region {region!r} from; only synthetic clips have one")
    if region == "cue":
        return clips.truth.cue_region(clip_id)
    row = clip_row(clips, clip_id)[1]
    shown = [name for name in au_columns(clips.table) if row[name] == 1 and name in clips.truth.aus]
    masks = [clips.truth.au_mask(clip_id, name) for name in (shown if region == "AUs" else [region])]
    return np.any(masks, axis=0) if masks else np.zeros(clips.size, dtype=bool)
