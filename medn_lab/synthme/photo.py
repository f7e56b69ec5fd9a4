"""A real portrait, moved: the AU fields of SynthME placed on a photograph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import cv2
import numpy as np

from medn_lab.data.crop import NoFaceError, find_face
from medn_lab.records import Clips
from medn_lab.synthme import actions as act
from medn_lab.synthme.actions import CueKind, Pixels
from medn_lab.synthme.corpus import VERSION, check_clip, clips_of, play, render_size
from medn_lab.synthme.identity import Landmarks
from medn_lab.synthme.paint import OVERSAMPLING, Face
from medn_lab.synthme.render import Script
from medn_lab.synthme.script import clip_row
from medn_lab.synthme.studio import MARKS, FaceStudio

LANDMARK_NAMES = ("eye_right", "eye_left", "nose", "mouth_right", "mouth_left")
"""The five points that place AUs on a photo: the pupils, the tip of the nose, the corners of the mouth. Sides are the
subject's own: ``eye_right`` lies on the left of the picture."""

_PORTRAIT = ((202.3, 100.3), (247.3, 102.7), (225.0, 125.5), (204.0, 141.7), (244.0, 141.7))
"""The five points of scikit-image's portrait, measured by hand."""

_IN_BOX = ((0.33, 0.37), (0.67, 0.37), (0.5, 0.60), (0.37, 0.78), (0.63, 0.78))
"""Where the five points lie on an average face in the square of a detector without landmarks, as shares of its side."""

_TEMPLATE_SIDE = {
    "brow_inner": (0.109, -0.224), "brow_mid": (0.236, -0.246), "brow_outer": (0.345, -0.228), "eye": (0.212, -0.085),
    "eye_inner": (0.108, -0.073), "eye_outer": (0.316, -0.096), "lid_upper": (0.212, -0.125),
    "lid_lower": (0.212, -0.057), "cheek": (0.272, 0.115), "nose_wing": (0.098, 0.224), "nose_side": (0.075, 0.064),
    "mouth_corner": (0.171, 0.422), "lip_top": (0.077, 0.391), "jaw": (0.360, 0.430),
}  # fmt: skip
_TEMPLATE_MIDDLE = {
    "glabella": (0.0, -0.203), "forehead": (0.0, -0.393), "nose_tip": (0.0, 0.194), "lip_upper": (0.0, 0.399),
    "mouth": (0.0, 0.434), "lip_lower": (0.0, 0.499), "chin": (0.0, 0.665),
}  # fmt: skip
"""Mean landmarks of a hundred drawn faces: what the five points are completed with."""

_SIDES = {"L": "left", "R": "right"}


def photo_studio(
    photo: np.ndarray | None = None,
    *,
    landmarks: Mapping[str, tuple[float, float]] | None = None,
    size: int = 64,
    n_frames: int = 8,
    cue: CueKind = "colour",
    seed: int = 0,
) -> FaceStudio:
    """A photograph to play with: its skin moves and flushes as a drawn face would.

    The photo is real, motion and cue are drawn, and the table that the truth is read from is SynthME's: what a model
    answers shows what it makes of real skin, hair and light, and nothing about the person.

    Parameters
    ----------
    photo : (h, w, 3) uint8, optional
        RGB, one upright frontal face; by default the portrait that ships inside scikit-image, as in `move_photo`.
    landmarks : mapping of str to (x, y), optional
        Photo pixels of all of :data:`LANDMARK_NAMES`; from the face detector's square where None.
    size : int
        Side of frames and flow in pixels, 64 to 512; what the model reads.
    n_frames : int
        At least 2.
    cue : {"colour", "timing", "brightness"}
        Kind of the implicit cue.
    seed : int
        Of sensor noise and drift.

    Returns
    -------
    FaceStudio

    Raises
    ------
    ValueError
        If the photo is not RGB uint8, no face is found in it, or an argument is out of its range.

    See Also
    --------
    move_photo, face_studio

    Examples
    --------
    >>> photo_studio()({"aus": {"AU4": "D"}}).table["action_units"].tolist()
    ['4']
    """
    check_clip(size, n_frames)
    act.one_of(cue, act.CUES, "cue")
    face, found = _photo_face(photo, landmarks, render_size(size))
    recipe = {"corpus": "photo by hand", "version": VERSION, "landmarks": found}
    return FaceStudio(face, size=size, n_frames=n_frames, cue=cue, dataset="photo", recipe=recipe, seed=seed)


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
    check_clip(size, n_frames)
    act.one_of(intensity, act.PEAK_PIXELS, "intensity")
    kind = "colour" if cue is None else act.kind_of_state(cue)
    tokens = [token.strip() for token in str(action_units).replace("AU", "").split("+")]
    strange = [token for token in tokens if not re.fullmatch(r"[LR]?\d+", token)]
    if strange:
        raise ValueError(
            f"{action_units!r} is not an AU set such as '12', '1+2' or 'L12': {strange[0]!r} is not understood"
        )
    parts = [(act.check_au(token.lstrip("LR")), _SIDES.get(token[0], "both")) for token in tokens]
    face, found = _photo_face(photo, landmarks, render_size(size))

    rng = np.random.default_rng(seed)
    low, high = act.PEAK_PIXELS[intensity]
    pixels: Pixels = {}
    for au, side in parts:
        peak = (low + high) / 2 + rng.uniform(-0.25, 0.25) * (high - low)
        pixels |= {(au, half): peak for half in act.sides_of(au, side)}
    named = "+".join(f"{'' if side == 'both' else side[0].upper()}{au[2:]}" for au, side in parts)
    sides = {side for _, side in parts}
    row = clip_row(
        clip_id=f"photo-{named}" + (f"-{cue}" if cue else ""), dataset="photo", subject="photo", **MARKS,
        emotion="unknown", action_units="+".join(au[2:] for au, _ in parts),
        side=sides.pop() if len(sides) == 1 else "mixed", cue=cue or "absent",
    )  # fmt: skip
    intensities = "+".join(f"{au[2:]}{intensity}" for au, _ in parts)
    truth = {"intensities": intensities, "peak_px128": max(pixels.values()), "cue_kind": kind}
    script = Script(**MARKS, pixels=pixels, kind=kind, state=row["cue"], row=row, truth=truth)
    recipe = {
        "corpus": "photo", "size": int(size), "n_frames": int(n_frames), "intensity": intensity, "flow": "dis",
        "render_size": render_size(size), "seed": int(seed), "landmarks": found,
    }  # fmt: skip
    return clips_of([play(face, [script], recipe=recipe, kinds=(kind,))], recipe=recipe, kinds=(kind,))


def _photo_face(
    photo: np.ndarray | None, landmarks: Mapping[str, tuple[float, float]] | None, size: int
) -> tuple[Face, str]:
    """A photograph as a face at `size` px, and whether its landmarks were given or detected."""
    if photo is None:
        from skimage import data

        photo = data.astronaut()
        landmarks = dict(zip(LANDMARK_NAMES, _PORTRAIT, strict=True)) if landmarks is None else landmarks
    if not isinstance(photo, np.ndarray) or photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        what = f"{photo.dtype} of shape {photo.shape}" if isinstance(photo, np.ndarray) else type(photo).__name__
        raise ValueError(f"a photo must be RGB, (h, w, 3) uint8; this is {what}")
    if min(photo.shape[:2]) < 48:
        raise ValueError(f"the photo is {photo.shape[1]}x{photo.shape[0]} px; it takes at least 48 px a side")
    if landmarks is None:
        return _face_of(photo, _find_points(photo), size), "detected"
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
    return _face_of(photo, points, size), "given"


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
    return np.array([(box.x + u * box.side, box.y + v * box.side) for u, v in _IN_BOX])


def _face_of(photo: np.ndarray, points: np.ndarray, size: int) -> Face:
    """Cut the photo so that its face lies where a drawn one would, and complete the five points."""
    eye, mouth = _TEMPLATE_SIDE["eye"], _TEMPLATE_SIDE["mouth_corner"]
    middle, mouth_middle = (points[0] + points[1]) / 2, (points[3] + points[4]) / 2
    # Photo pixels a face unit: what the width between the eyes says, and the height from eyes to mouth.
    wide = np.linalg.norm(points[1] - points[0]) / (2 * eye[0])
    high = np.linalg.norm(mouth_middle - middle) / (mouth[1] - eye[1])
    span = float(np.sqrt(wide * high))
    corner = middle - span * np.array([1.0, 1.0 + eye[1]])
    side = OVERSAMPLING * size
    zoom = side / (2 * span)
    matrix = np.array([[zoom, 0, -corner[0] * zoom], [0, zoom, -corner[1] * zoom]], np.float64)
    if zoom < 1:
        photo = cv2.GaussianBlur(photo, (0, 0), 0.5 / zoom)  # so that fine detail does not alias
    flags = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_LINEAR
    skin = cv2.warpAffine(photo, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)

    here = (points - corner) / span - 1
    model = np.array([(-eye[0], eye[1]), eye, _TEMPLATE_MIDDLE["nose_tip"], (-mouth[0], mouth[1]), mouth])
    affine, *_ = np.linalg.lstsq(np.column_stack([model, np.ones(5)]), here, rcond=None)

    def place(x: float, y: float) -> tuple[float, float]:
        moved = np.array([x, y, 1.0]) @ affine
        return float(moved[0]), float(moved[1])

    eye_right, eye_left, _, mouth_right, mouth_left = (tuple(point) for point in here.tolist())
    right = {name: place(-x, y) for name, (x, y) in _TEMPLATE_SIDE.items()}
    left = {name: place(x, y) for name, (x, y) in _TEMPLATE_SIDE.items()}
    marks = Landmarks(
        right=right | {"eye": eye_right, "mouth_corner": mouth_right},
        left=left | {"eye": eye_left, "mouth_corner": mouth_left},
        middle={name: place(x, y) for name, (x, y) in _TEMPLATE_MIDDLE.items()},
        scale=float(np.sqrt(abs(np.linalg.det(affine[:2])))),
        axis=tuple(((here[1] - here[0]) / np.linalg.norm(here[1] - here[0])).tolist()),
    )
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    outline = np.array([place(0.46 * np.cos(t), 0.13 + 0.68 * np.sin(t)) for t in turns])
    oval = np.zeros((size, size), np.float32)
    cv2.fillPoly(oval, [np.rint((outline + 1) / 2 * size).astype(np.int32)], 1.0)
    mask = np.clip(cv2.GaussianBlur(oval, (0, 0), size / 64), 0, 1)
    return Face(size, skin, None, None, marks, (0.2, -0.5, 0.78), "photo", mask)
