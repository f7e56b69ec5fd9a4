"""A real portrait, moved: the AU fields of SynthME placed on a photograph."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

import cv2
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.data.crop import NoFaceError, find_face
from medn_lab.data.flow import optical_flow
from medn_lab.records import Clips, Truth, frame_numbers
from medn_lab.synthme.action_table import AUS, PEAK_PIXELS, check_au, check_intensity, sides_of
from medn_lab.synthme.actions import au_mask, expression_field, time_course
from medn_lab.synthme.corpus import SIZES, render_size
from medn_lab.synthme.cue import CUES, cue_course, cue_mask
from medn_lab.synthme.faces import OVERSAMPLING, Face
from medn_lab.synthme.landmarks import Landmarks
from medn_lab.synthme.render import compose, shrunk, shrunk_mask, to_bytes
from medn_lab.synthme.script import FPS

LANDMARK_NAMES = ("eye_right", "eye_left", "nose", "mouth_right", "mouth_left")
"""The five points that place AUs on a photo: the pupils, the tip of the nose, the corners of the mouth. Sides are the
subject's own: ``eye_right`` lies on the left of the picture."""

PORTRAIT_LANDMARKS = {
    "eye_right": (202.3, 100.3),
    "eye_left": (247.3, 102.7),
    "nose": (225.0, 125.5),
    "mouth_right": (204.0, 141.7),
    "mouth_left": (244.0, 141.7),
}
"""The five points of scikit-image's portrait, measured by hand."""

_IN_BOX = {
    "eye_right": (0.33, 0.37),
    "eye_left": (0.67, 0.37),
    "nose": (0.5, 0.60),
    "mouth_right": (0.37, 0.78),
    "mouth_left": (0.63, 0.78),
}
"""Where the five points lie on an average face in the square of a detector without landmarks, as shares of its side."""

_TEMPLATE_SIDE = {
    "brow_inner": (0.109, -0.224), "brow_mid": (0.236, -0.246), "brow_outer": (0.345, -0.228), "eye": (0.212, -0.085),
    "eye_inner": (0.108, -0.073), "eye_outer": (0.316, -0.096), "lid_upper": (0.212, -0.125),
    "lid_lower": (0.212, -0.057),
    "cheek": (0.272, 0.115), "nose_wing": (0.098, 0.224), "nose_side": (0.075, 0.064), "mouth_corner": (0.171, 0.422),
    "lip_top": (0.077, 0.391), "jaw": (0.360, 0.430),
}  # fmt: skip
_TEMPLATE_MIDDLE = {
    "glabella": (0.0, -0.203), "forehead": (0.0, -0.393), "nose_tip": (0.0, 0.194), "lip_upper": (0.0, 0.399),
    "mouth": (0.0, 0.434), "lip_lower": (0.0, 0.499), "chin": (0.0, 0.665),
}  # fmt: skip
"""Mean landmarks of a hundred drawn faces: what the five points are completed with."""

ONSET, APEX, OFFSET = 0, 28, 68
"""The frames of a photo's clip, at 200 frames a second: 0.34 s."""


def move_photo(
    photo: np.ndarray | None = None,
    action_units: str = "12",
    *,
    intensity: Literal["A", "B", "C", "D", "E"] = "C",
    cue: str | None = None,
    size: int = 128,
    n_frames: int = 8,
    landmarks: Mapping[str, tuple[float, float]] | None = None,
    seed: int = 0,
) -> Clips:
    """Make one clip of a photograph whose skin moves as an AU would move it.

    The photo is real and the motion is drawn: smooth displacement, no folds of the person's own, eyes that move with
    the lids. A clip of it shows what flow and network do with real skin, hair and light; it says nothing about how
    this person would look.

    Parameters
    ----------
    photo : (h, w, 3) uint8, optional
        RGB, one upright frontal face. By default the public-domain portrait of Eileen Collins that ships inside
        scikit-image (``skimage.data.astronaut``; no download).
    action_units : str
        For instance ``"12"``, ``"1+2"``, ``"L12"`` (the subject's left side), ``"R14"``; the AUs of :data:`AUS`.
    intensity : {"A", "B", "C", "D", "E"}
        Of all of them; ``"A"`` moves the skin by 0.4 px at 128 px, ``"E"`` by 1.8 px.
    cue : str, optional
        State of an implicit cue to add: ``flush``, ``pallor``, ``early``, ``late``, ``brighten``, ``dim`` or ``still``.
    size : int
        Side of frames and flow, 64 to 512 px.
    n_frames : int
        At least 2.
    landmarks : mapping of str to (x, y), optional
        Photo pixels of all of :data:`LANDMARK_NAMES`. By default they are taken from the face detector's square, which
        is coarse (a tenth of the distance between the eyes); give them where precision matters.
    seed : int
        Of the small differences between AUs' strengths.

    Returns
    -------
    Clips
        One clip, ``photo-<action units>``, with truth. Its emotion is ``unknown``.

    Raises
    ------
    ValueError
        If the photo is not RGB uint8, no face is found, an AU, intensity, cue or landmark is unknown, or `size` is out
        of range.

    Examples
    --------
    >>> clip = move_photo(action_units="12", size=64)
    >>> clip.frames.shape, clip.table["action_units"].tolist()
    ((1, 8, 64, 64, 3), ['12'])
    """
    if not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"a photo is moved at {SIZES[0]} to {SIZES[1]} px; size is {size}")
    check_intensity(intensity)
    kind = _cue_kind(cue)
    parts = _parse(action_units)
    face, found = photo_face(photo, landmarks=landmarks, size=render_size(size))

    rng = np.random.default_rng(seed)
    low, high = PEAK_PIXELS[intensity]
    pixels: dict[tuple[str, str], float] = {}
    for au, side in parts:
        peak = (low + high) / 2 + rng.uniform(-0.25, 0.25) * (high - low)
        pixels |= {(au, half): peak for half in sides_of(au, side)}

    marks = {"onset": ONSET, "apex": APEX, "offset": OFFSET}
    numbers = frame_numbers(ONSET, APEX, OFFSET, n_frames)
    course = cue_course(kind, cue or "absent", numbers, **marks)
    large = []
    for strength, level in zip(time_course(numbers, **marks), course, strict=True):
        moved = {key: float(strength) * peak for key, peak in pixels.items()}
        large.append(to_bytes(compose(face, moved, cue=kind, level=float(level))))
    at_apex = dict(zip(numbers.tolist(), large, strict=True)).get(APEX)
    if at_apex is None:
        level = float(cue_course(kind, cue or "absent", np.array([APEX]), **marks)[0])
        at_apex = to_bytes(compose(face, pixels, cue=kind, level=level))

    flow = optical_flow(large[0], at_apex, size=size, mask=face.mask)
    truth = expression_field(face, pixels) * face.mask[..., None]
    named = "+".join(f"{'' if side == 'both' else side[0].upper()}{au[2:]}" for au, side in parts)
    sides = {side for _, side in parts}
    present = {au for au, _ in parts}
    table = pd.DataFrame(
        [
            {
                "clip_id": f"photo-{named}" + (f"-{cue}" if cue else ""), "dataset": "photo", "subject": "photo",
                "onset": ONSET, "apex": APEX, "offset": OFFSET, "fps": FPS, "emotion": "unknown",
                "action_units": "+".join(au[2:] for au, _ in parts),
                "side": sides.pop() if len(sides) == 1 else "mixed",
                "cue": cue or "absent", **{au: float(au in present) for au in AUS},
            }
        ]
    )  # fmt: skip
    return Clips(
        frames=np.stack([shrunk(frame, size) for frame in large])[None],
        flow=flow[None],
        table=table,
        recipe={
            "corpus": "photo", "size": int(size), "n_frames": int(n_frames), "intensity": intensity, "flow": "dis",
            "render_size": render_size(size), "seed": int(seed),
            "landmarks": found,
        },
        truth=Truth(
            table=table[["clip_id", "subject"]].assign(
                intensities="+".join(f"{au[2:]}{intensity}" for au, _ in parts), peak_px128=max(pixels.values()),
                cue_kind=kind,
            ),
            displacement=(shrunk(truth, size) * (size / face.size)).astype(np.float16)[None],
            au_masks=np.stack([shrunk_mask(au_mask(face, au), size) for au in AUS])[None],
            cue_mask=shrunk_mask(cue_mask(face, kind), size)[None, None],
            cue_course=course[None],
            subjects=("photo",),
            aus=AUS,
            cue_kinds=(kind,),
        ),
    )  # fmt: skip


def photo_face(
    photo: np.ndarray | None, *, landmarks: Mapping[str, tuple[float, float]] | None, size: int
) -> tuple[Face, str]:
    """A photograph as a face that AUs and cue can be placed on, and whether its landmarks were given or detected.

    Parameters
    ----------
    photo : (h, w, 3) uint8 or None
        scikit-image's portrait where None.
    landmarks : mapping of str to (x, y) or None
    size : int
        Side of the pictures taken from it, in pixels.

    Returns
    -------
    face : Face
    found : {"given", "detected"}

    Raises
    ------
    ValueError
        If the photo is not RGB uint8, no face is found, or a landmark is missing.
    """
    if photo is None:
        from skimage import data

        photo = data.astronaut()
        landmarks = PORTRAIT_LANDMARKS if landmarks is None else landmarks
    _check_photo(photo)
    points = _find_points(photo) if landmarks is None else _check_landmarks(landmarks)
    return _face_of(photo, points, size), "detected" if landmarks is None else "given"


def _cue_kind(cue: str | None) -> str:
    for kind, states in CUES.items():
        if cue is None or cue in states:
            return kind
    raise ValueError(f"no cue state {cue!r}; there are {', '.join(dict.fromkeys(s for c in CUES.values() for s in c))}")


def _parse(action_units: str) -> list[tuple[str, Literal["both", "left", "right"]]]:
    sides: dict[str, Literal["both", "left", "right"]] = {"L": "left", "R": "right", "": "both"}
    parts = []
    for token in str(action_units).replace("AU", "").split("+"):
        found = re.fullmatch(r"\s*([LR]?)(\d+)\s*", token)
        if not found:
            raise ValueError(
                f"{action_units!r} is not an AU set such as '12', '1+2' or 'L12': {token!r} is not understood"
            )
        parts.append((check_au(found[2]), sides[found[1]]))
    return parts


def _check_photo(photo: np.ndarray) -> None:
    if not isinstance(photo, np.ndarray) or photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        what = f"{photo.dtype} of shape {photo.shape}" if isinstance(photo, np.ndarray) else type(photo).__name__
        raise ValueError(f"a photo must be RGB, (h, w, 3) uint8; this is {what}")
    if min(photo.shape[:2]) < 48:
        raise ValueError(f"the photo is {photo.shape[1]}x{photo.shape[0]} px; it takes at least 48 px a side")


def _check_landmarks(landmarks: Mapping[str, tuple[float, float]]) -> np.ndarray:
    missing = [name for name in LANDMARK_NAMES if name not in landmarks]
    if missing:
        raise ValueError(
            f"landmarks lack {', '.join(missing)}; all of {', '.join(LANDMARK_NAMES)} are needed, as (x, y) in pixels"
        )
    points = np.array([landmarks[name] for name in LANDMARK_NAMES], dtype=float)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise ValueError("landmarks must be five finite (x, y) in photo pixels")
    if points[1, 0] - points[0, 0] < 8:
        raise ValueError(
            f"eye_left is at x = {points[1, 0]:.0f} and eye_right at {points[0, 0]:.0f}; sides are the subject's own,"
            " so eye_left lies further right in the picture, by 8 px or more"
        )
    return points


def _find_points(photo: np.ndarray) -> np.ndarray:
    try:
        box = find_face(photo)
    except NoFaceError as error:
        raise ValueError(
            f"no face was found in the photo of {photo.shape[1]}x{photo.shape[0]} px; give an upright frontal portrait,"
            f" or landmarks={{{', '.join(repr(name) + ': (x, y)' for name in LANDMARK_NAMES)}}}"
        ) from error
    if box.landmarks is not None:
        return np.asarray(box.landmarks, dtype=float)
    return np.array([(box.x + u * box.side, box.y + v * box.side) for u, v in _IN_BOX.values()])


def _face_of(photo: np.ndarray, points: np.ndarray, size: int) -> Face:
    """Cut the photo so that its face lies where a drawn one would, and complete the five points."""
    eye = _TEMPLATE_SIDE["eye"]
    middle, mouth_middle = (points[0] + points[1]) / 2, (points[3] + points[4]) / 2
    # Photo pixels a face unit: what the width between the eyes says, and the height from eyes to mouth.
    wide = np.linalg.norm(points[1] - points[0]) / (2 * eye[0])
    high = np.linalg.norm(mouth_middle - middle) / (_TEMPLATE_SIDE["mouth_corner"][1] - eye[1])
    span = float(np.sqrt(wide * high))
    corner = middle - span * np.array([1.0, 1.0 + eye[1]])
    zoom = OVERSAMPLING * size / (2 * span)
    matrix = np.array([[zoom, 0, -corner[0] * zoom], [0, zoom, -corner[1] * zoom]], np.float64)
    side = OVERSAMPLING * size
    if zoom < 1:
        photo = cv2.GaussianBlur(photo, (0, 0), 0.5 / zoom)  # so that fine detail does not alias
    flags = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_LINEAR
    skin = cv2.warpAffine(photo, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)

    here = (points - corner) / span - 1
    nose, mouth = _TEMPLATE_MIDDLE["nose_tip"], _TEMPLATE_SIDE["mouth_corner"]
    model = np.array([(-eye[0], eye[1]), eye, nose, (-mouth[0], mouth[1]), mouth])
    affine, *_ = np.linalg.lstsq(np.column_stack([model, np.ones(5)]), here, rcond=None)

    def place(x: float, y: float) -> tuple[float, float]:
        moved = np.array([x, y, 1.0]) @ affine
        return float(moved[0]), float(moved[1])

    right = {name: place(-x, y) for name, (x, y) in _TEMPLATE_SIDE.items()}
    left = {name: place(x, y) for name, (x, y) in _TEMPLATE_SIDE.items()}
    for side_marks, eye_at, corner_at in ((right, here[0], here[3]), (left, here[1], here[4])):
        side_marks["eye"], side_marks["mouth_corner"] = tuple(eye_at.tolist()), tuple(corner_at.tolist())
    centre = {name: place(x, y) for name, (x, y) in _TEMPLATE_MIDDLE.items()}
    across = here[1] - here[0]
    axis = across / np.linalg.norm(across)
    scale = float(np.sqrt(abs(np.linalg.det(affine[:2]))))
    marks = Landmarks(right, left, centre, scale, tuple(axis.tolist()))
    return Face(size, skin, None, None, marks, (0.2, -0.5, 0.78), "photo", _oval(place, size))


def _oval(place: Callable[[float, float], ArrayLike], size: int) -> np.ndarray:
    """A soft oval over the face, (size, size) float32."""
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    outline = np.array([place(0.46 * np.cos(t), 0.13 + 0.68 * np.sin(t)) for t in turns])
    image = np.zeros((size, size), np.float32)
    cv2.fillPoly(image, [np.rint((outline + 1) / 2 * size).astype(np.int32)], 1.0)
    return np.clip(cv2.GaussianBlur(image, (0, 0), size / 64), 0, 1)
