"""One clip from its files to the network's input: crop, register, flow, sample. Pure but for reading frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from medn_lab.data import centerface
from medn_lab.data.crop import LEAST_PART, Detector, FaceBox, NoFaceError, crop_face, face_mask, find_face
from medn_lab.data.eye_alignment import BACKGROUND, eye_alignment, face_outline, five_points, transform_points
from medn_lab.data.flow import optical_flow
from medn_lab.data.flow_coding import code_flow
from medn_lab.data.frames import NEARLY_BLACK, FrameFiles, FrameNameError, UnreadableFrameError, list_frames, nearest
from medn_lab.data.landmark_model import LandmarkModel
from medn_lab.data.opencv import cv2
from medn_lab.data.recipe import FlowRecipe
from medn_lab.data.registration import register
from medn_lab.data.spotting import SPOTTING_SIDE, spot_apex
from medn_lab.records import frame_numbers

CropRule = Literal["auto", "detect", "none"]

MOST_TURNED = 45
"""Degrees between the line of the eyes and the horizontal, above which a row of ``problems`` says so."""


class ClipError(ValueError):
    """A clip cannot be prepared; it becomes a row of the problems table."""


@dataclass(frozen=True, eq=False)
class ClipInput:
    """What the network gets of one clip.

    Attributes
    ----------
    frames : (n_frames, size, size, 3) uint8
    flow : (size, size, c) float32
    apex : int
        Frame number that was used.
    apex_confidence : float
        1 where the apex was coded, as in :class:`SpottedApex` where it was spotted.
    face : dict
        Where the face is and what found it: the columns of :func:`face_columns`.
    problems : list of dict
        ``field, found, done`` of what was repaired on the way.
    """

    frames: np.ndarray
    flow: np.ndarray
    apex: int
    apex_confidence: float = 1.0
    face: dict[str, Any] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)


class _Faces(Sequence):
    """Small crops of a clip's frames, made when they are asked for."""

    def __init__(self, frames: Sequence[np.ndarray], box: FaceBox, places: np.ndarray) -> None:
        self.frames, self.box, self.places = frames, box, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: int) -> np.ndarray:  # type: ignore[override]  # one frame, no slices
        return crop_face(self.frames[self.places[place]], box=self.box, size=SPOTTING_SIDE)


def input_of_clip(
    row: Mapping[str, Any],
    *,
    recipe: FlowRecipe,
    crop: CropRule = "auto",
    landmarks: np.ndarray | LandmarkModel | None = None,
    detector: Detector | None = None,
) -> ClipInput:
    """Crop, register, flow and samples of one clip of an index.

    Parameters
    ----------
    row : mapping
        One row of a ``ClipIndex`` table: ``frames_folder, onset, apex, offset``, and ``cropped`` where it is known. An
        empty apex is spotted.
    recipe : FlowRecipe
    crop : {"auto", "detect", "none"}
        ``detect`` searches the face on the onset; ``none`` takes frames as they are; ``auto`` asks the row.
    landmarks : (k, 2) array or LandmarkModel, optional
        The onset's landmarks in pixels, or what finds them, instead of a detector.
    detector : str, optional
        As in :func:`find_face`.

    Returns
    -------
    ClipInput

    Raises
    ------
    ClipError
        If it cannot be done; the text says why.
    """
    onset, offset = int(row["onset"]), int(row["offset"])
    try:
        paths = list_frames(row["frames_folder"])
    except (FileNotFoundError, FrameNameError) as error:
        raise ClipError(str(error)) from error
    numbers = np.array([number for number in paths if onset <= number <= offset])
    if len(numbers) < 2:
        raise ClipError(f"only {len(numbers)} frames from {onset} to {offset} are in the folder")
    frames = FrameFiles([paths[int(number)] for number in numbers])
    apex = row.get("apex")
    apex = None if apex is None or np.isnan(float(apex)) else int(apex)
    cropped = bool(row.get("cropped", False))
    rule: CropRule = crop if crop != "auto" else "none" if cropped else "detect"
    try:
        box = face_box(frames[0], crop=rule, landmarks=landmarks, detector=detector)
        if cropped and box.detector in get_args(Detector) and box.side < LEAST_PART * min(frames[0].shape[:2]):
            height, width = frames[0].shape[:2]
            raise ClipError(f"a face of {box.side:.0f} px was found in a picture of a face of {width}x{height} px")
        if box.landmarks is None and crop != "none" and recipe.align == "eyes" and centerface.available():
            box = replace(box, landmarks=next((face.landmarks for face in centerface.faces_in(frames[0])), None))
        span = (onset, offset)
        return input_of_frames(numbers, frames, box=box, apex=apex, recipe=recipe, span=span, look=crop != "none")
    except NoFaceError as error:
        raise ClipError(f"{error} (frame {numbers[0]}, the onset)") from error
    except UnreadableFrameError as error:
        raise ClipError(str(error)) from error


def input_of_frames(
    numbers: np.ndarray,
    frames: Sequence[np.ndarray],
    *,
    box: FaceBox,
    apex: int | None,
    recipe: FlowRecipe,
    span: tuple[int, int] | None = None,
    look: bool = True,
) -> ClipInput:
    """As :func:`input_of_clip`, from frames: `numbers` rises and says which they are, `span` is onset and offset.

    `look` asks for a face in every frame that is used.
    """
    onset, offset = (int(numbers[0]), int(numbers[-1])) if span is None else span
    problems: list[dict[str, str]] = []
    confidence = 1.0
    if box.n_faces > 1:
        found = f"{box.n_faces:.0f} faces on the onset"
        done = f"the largest taken, {box.side:.0f} px at ({box.x:.0f}, {box.y:.0f})"
        problems.append({"field": "face", "found": found, "done": done})
    if box.detector == "centerface" and box.landmarks is not None:
        across, down = box.landmarks[1] - box.landmarks[0]
        turn = float(np.degrees(np.arctan2(down, across)))
        if abs(turn) > MOST_TURNED:
            found = f"turned by {abs(turn):.0f} degrees"
            problems.append({"field": "face", "found": found, "done": "kept as it is; turn the frames upright"})
    if apex is None:
        places = np.arange(len(numbers))
        spotted = spot_apex(_Faces(frames, box, places))
        if look and _faceless({spotted.position: frames[spotted.position]}, box):
            places = np.array([place for place in range(len(numbers)) if not _faceless({place: frames[place]}, box)])
            if len(places) >= 2:
                spotted = spot_apex(_Faces(frames, box, places))
            elif box.detector in get_args(Detector):
                raise ClipError(f"no face in {len(numbers) - len(places)} of {len(numbers)} frames")
            else:
                places = np.arange(len(numbers))
        apex, confidence = int(numbers[places[spotted.position]]), spotted.confidence
        done = f"spotted at {apex}, confidence {confidence:.2f}"
        problems.append({"field": "apex", "found": "not coded or not usable", "done": done})
    wanted = frame_numbers(onset, apex, offset, recipe.n_frames)
    there = nearest(numbers, wanted)
    _say_missing(wanted, there, problems)
    first = int(numbers[0])
    apex_there = int(nearest(numbers, np.array([apex]))[0])
    if apex_there == first:  # the apex's own neighbours are missing; a field from a frame to itself says nothing
        apex_there = int(numbers[1])
    needed = np.unique([*there.tolist(), first, apex_there])
    images = {int(number): frames[int(np.searchsorted(numbers, number))] for number in needed}
    _check_sizes(images)
    if look:
        _check_faces(images, box, problems, first=first, apex=apex_there)
    if isinstance(frames, FrameFiles):
        problems += frames.depth_problems()
    largest = max(int(image.max()) for image in images.values())
    if largest < NEARLY_BLACK:
        found = f"nearly black: no value over {largest} of 255"
        problems.append({"field": "frames", "found": found, "done": "kept as they are"})
    faces, outline = _cropped_faces(images, box, recipe, problems)
    if recipe.register:
        _register_faces(faces, problems, first=first)
    return ClipInput(
        frames=np.stack([_shrunk(faces[int(number)], recipe.size) for number in there]),
        flow=flow_of_faces(faces[first], faces[apex_there], recipe=recipe, outline=outline),
        apex=apex,
        apex_confidence=confidence,
        face=face_columns(box),
        problems=problems,
    )


def flow_of_faces(
    onset: np.ndarray, apex: np.ndarray, *, recipe: FlowRecipe, outline: np.ndarray | None = None
) -> np.ndarray:
    """The flow input of two registered face crops at the computing resolution, (size, size, c) float32.

    `outline` is 1 inside the face and 0 outside; an ellipse where it is not given.
    """
    face = face_mask(onset.shape[0]) if outline is None else outline
    mask = recipe.outside + (1.0 - recipe.outside) * face
    flow = optical_flow(onset, apex, method=recipe.method, mask=mask, blur=recipe.blur)
    return code_flow(flow, coding=recipe.coding, size=recipe.size, face=face)


def face_box(
    onset: np.ndarray,
    *,
    crop: CropRule,
    landmarks: np.ndarray | LandmarkModel | None = None,
    detector: Detector | None = None,
) -> FaceBox:
    """The face's square on the onset: around landmarks, the whole frame (``none``), or what a detector finds."""
    if crop not in get_args(CropRule):
        raise ValueError(f"crop must be {', '.join(get_args(CropRule))}; not {crop!r}")
    if isinstance(landmarks, LandmarkModel):
        points = landmarks.landmarks(onset)
        return replace(FaceBox.of_landmarks(points), detector="mediapipe", landmarks=points)
    if landmarks is not None:
        return replace(FaceBox.of_landmarks(landmarks), landmarks=landmarks)
    return FaceBox.around(onset) if crop == "none" else find_face(onset, detector=detector)


def face_columns(box: FaceBox) -> dict[str, Any]:
    """What a table of clips says of the face: ``face_x, face_y, face_side`` in pixels of the frames, and by what."""
    place = {"face_x": float(box.x), "face_y": float(box.y), "face_side": float(box.side)}
    return place | {"face_detector": box.detector, "face_score": box.score, "n_faces": box.n_faces}


def _faceless(images: Mapping[int, np.ndarray], box: FaceBox) -> list[int]:
    """The frames that have no face where the onset's is; none where CenterFace is not there: LBP misses too many."""
    if not centerface.available():
        return []
    return [number for number, one in images.items() if not centerface.has_face(one, x=box.x, y=box.y, side=box.side)]


def _check_faces(
    images: Mapping[int, np.ndarray], box: FaceBox, problems: list[dict[str, str]], *, first: int, apex: int
) -> None:
    """Say which frames have no face; refuse a clip whose onset or apex has none where others have."""
    gone = _faceless(images, box)
    if not gone:
        return
    found = f"no face in {len(gone)} of {len(images)} frames looked at: {', '.join(str(number) for number in gone)}"
    if len(gone) == len(images):  # given by hand, or frames that are said to be cropped, of a kind that it cannot see
        problems.append({"field": "face", "found": found, "done": "kept: the box was not found by a detector"})
        return
    for name, number in (("onset", first), ("apex", apex)):
        if number in gone and box.detector not in ("box", "landmarks"):
            raise ClipError(f"{found}; frame {number} is the {name}")
    problems.append({"field": "face", "found": found, "done": "kept as they are"})


def _check_sizes(images: Mapping[int, np.ndarray]) -> None:
    shapes = {image.shape[:2] for image in images.values()}
    if len(shapes) > 1:
        told = " and ".join(f"{width}x{height}" for height, width in sorted(shapes))
        raise ClipError(f"the frames differ in size: {told} px")


def _say_missing(wanted: np.ndarray, there: np.ndarray, problems: list[dict[str, str]]) -> None:
    missing = wanted != there
    if missing.any():
        found = f"missing: {', '.join(str(number) for number in np.unique(wanted[missing]))}"
        done = f"nearest taken: {', '.join(str(number) for number in np.unique(there[missing]))}"
        problems.append({"field": "frames", "found": found, "done": done})


def _cropped_faces(
    images: Mapping[int, np.ndarray], box: FaceBox, recipe: FlowRecipe, problems: list[dict[str, str]]
) -> tuple[dict[int, np.ndarray], np.ndarray | None]:
    """Every frame's face at the computing resolution, and the face's outline in it where the landmarks give one."""
    landmarks = box.landmarks
    points = five_points(landmarks) if recipe.align == "eyes" else None
    if landmarks is not None and points is not None:
        side = recipe.compute_size
        matrix = eye_alignment(points, size=side)
        turned = {
            number: cv2.warpAffine(image, matrix, (side, side), borderValue=BACKGROUND)
            for number, image in images.items()
        }
        return turned, face_outline(transform_points(np.asarray(landmarks, dtype=float), matrix), size=side)
    if recipe.align == "eyes":
        found = (
            "no eye positions" if landmarks is None else f"{len(landmarks)} landmarks, of which the eyes are unknown"
        )
        problems.append({"field": "landmarks", "found": found, "done": "cropped to the box, the eyes not made level"})
    # Enlarging adds nothing, yet flow wants twice the network's size: coarse faces stay near their own resolution.
    side = min(recipe.compute_size, max(round(box.side), 2 * recipe.size))
    return {number: crop_face(image, box=box, size=side) for number, image in images.items()}, None


def _register_faces(faces: dict[int, np.ndarray], problems: list[dict[str, str]], *, first: int) -> None:
    """Move each face onto the onset's, where enough points can be followed."""
    mask = face_mask(faces[first].shape[0])
    lost = []
    for number, face in faces.items():
        if number == first:
            continue
        found = register(face, onset=faces[first], mask=mask)
        if found.found:
            faces[number] = found.warp(face)
        else:
            lost.append(number)
    if lost:
        told = f"too few points to follow in {len(lost)} of {len(faces)} frames"
        problems.append({"field": "registration", "found": told, "done": "left where they were"})


def _shrunk(face: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA)
