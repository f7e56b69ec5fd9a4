"""One clip from its files to the network's input: crop, register, flow, sample; and the user's own video as a clip."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from medn_lab.data.crop import BACKGROUND, LEAST_PART, FaceBox, crop_face, face_mask, find_face, level_eyes
from medn_lab.data.face_finders import LandmarkModel, NoFaceError, centerface_faces, has_face
from medn_lab.data.flow import FlowRecipe, code_flow, optical_flow
from medn_lab.data.frames import ClipError, FrameFiles, Problem, cv2, list_frames, nearest, open_frames, problem
from medn_lab.data.registration import SPOTTING_SIDE, register, spot_apex
from medn_lab.records import PROBLEM_COLUMNS, Clips, ViewingCopy, frame_numbers, frames_of_strip

CropRule = Literal["auto", "detect", "none"]
Landmarks = np.ndarray | LandmarkModel

MOST_TURNED = 45
"""Degrees between the line of the eyes and the horizontal, above which a row of ``problems`` reports it."""

VIEWING = 256
"""Largest side of the frames of the viewing copy of one's own clip, in pixels."""

WEBP_QUALITY = 85
"""Of the viewing copy's pictures, 1 to 100."""

NEARLY_BLACK = 16
"""A clip of 8-bit frames with no larger value lost its picture before it came here."""


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
        Columns of the table of clips: where the face is in pixels of the frames, and what found it.
    problems : list of dict
        ``field, found, done`` of what was repaired on the way.
    strip : bytes
        The frames for people, one below the other, as a WebP file; empty where none was wanted.
    """

    frames: np.ndarray
    flow: np.ndarray
    apex: int
    apex_confidence: float
    face: dict[str, Any]
    problems: list[Problem]
    strip: bytes = b""


def input_of_clip(row: Mapping[str, Any], **options: Any) -> ClipInput:
    """The network's input from one row of a ``ClipIndex`` table: ``frames_folder, onset, apex, offset, cropped``.

    `options` are those of :func:`input_of_frames`. An empty apex is spotted; ``cropped`` need not be there. ClipError
    is raised for a clip that cannot be prepared.
    """
    onset, offset = int(row["onset"]), int(row["offset"])
    try:
        paths = list_frames(row["frames_folder"])
    except FileNotFoundError as error:
        raise ClipError(str(error)) from error
    numbers = np.array([number for number in paths if onset <= number <= offset])
    if len(numbers) < 2:
        raise ClipError(f"only {len(numbers)} frames from {onset} to {offset} are in the folder")
    return input_of_frames(
        numbers,
        FrameFiles([paths[int(number)] for number in numbers]),
        apex=None if pd.isna(row.get("apex")) else int(row["apex"]),
        span=(onset, offset),
        cropped=bool(row.get("cropped", False)),
        **options,
    )


def input_of_frames(
    numbers: np.ndarray,
    frames: Sequence[np.ndarray],
    *,
    apex: int | None,
    recipe: FlowRecipe,
    span: tuple[int, int] | None = None,
    box: FaceBox | None = None,
    crop: CropRule = "detect",
    cropped: bool = False,
    landmarks: Landmarks | None = None,
    viewing: int | None = None,
) -> ClipInput:
    """Crop, register, flow and samples of one clip.

    `numbers` are those of the frames, rising; `span` is onset and offset, by default the first and the last. An
    `apex` that is None is spotted, and without a `box` the face is found on the first frame. `crop` is ``detect``
    (search it, and look for it in every frame that is used), ``none`` (take frames as they are), or ``auto`` (search it
    if the frames are not `cropped` to a face already). `landmarks` of the onset, or what finds them, may take the place
    of :func:`find_face`. `viewing` is the largest side of the frames of the viewing copy; without it none is made.
    """
    onset, offset = (int(numbers[0]), int(numbers[-1])) if span is None else span
    look = crop != "none"
    if box is None:
        rule: CropRule = crop if crop != "auto" else "none" if cropped else "detect"
        if rule not in get_args(CropRule):
            raise ValueError(f"crop must be {', '.join(get_args(CropRule))}; not {crop!r}")
        still = frames[0]
        try:
            box = _find_box(still, rule, landmarks)
        except NoFaceError as error:
            raise ClipError(f"{error} (frame {numbers[0]}, the onset)") from error
        height, width = still.shape[:2]
        if cropped and box.detector == "centerface" and box.side < LEAST_PART * min(height, width):
            raise ClipError(f"a face of {box.side:.0f} px was found in a picture of a face of {width}x{height} px")
        if box.landmarks is None and look and recipe.align == "eyes":
            box = replace(box, landmarks=next((face.landmarks for face in centerface_faces(still)), None))
    problems = _box_problems(box)
    confidence = 1.0
    if apex is None:
        apex, confidence = _spotted(numbers, frames, box, look)
        done = f"spotted at {apex}, confidence {confidence:.2f}"
        problems.append(problem("apex", "not coded or not usable", done))
    wanted = frame_numbers(onset, apex, offset, recipe.n_frames)
    there = nearest(numbers, wanted)
    missing = wanted != there
    if missing.any():
        gone, taken = (", ".join(map(str, np.unique(one[missing]))) for one in (wanted, there))
        problems.append(problem("frames", f"missing: {gone}", f"nearest taken: {taken}"))
    first = int(numbers[0])
    # The next frame where the apex's own neighbours are missing: a field from a frame to itself means nothing.
    apex_there = max(int(nearest(numbers, np.array([apex]))[0]), int(numbers[1]))
    needed = np.unique([*there, first, apex_there])
    images = {int(number): frames[int(np.searchsorted(numbers, number))] for number in needed}
    sizes = sorted({image.shape[:2] for image in images.values()})
    if len(sizes) > 1:
        raise ClipError(f"the frames differ in size: {' and '.join(f'{width}x{height}' for height, width in sizes)} px")
    if look:
        problems += _face_problems(images, box, {"onset": first, "apex": apex_there})
    if isinstance(frames, FrameFiles):
        problems += frames.depth_problems()
    largest = max(int(image.max()) for image in images.values())
    if largest < NEARLY_BLACK:
        problems.append(problem("frames", f"nearly black: no value over {largest} of 255", "kept as they are"))
    faces, outline = _cropped(images, box, recipe, problems)
    if recipe.register:
        _register(faces, problems, onset=first)
    size = (recipe.size, recipe.size)
    found_by = {"face_detector": box.detector, "face_score": box.score, "n_faces": box.n_faces}
    return ClipInput(
        frames=np.stack([cv2.resize(faces[int(number)], size, interpolation=cv2.INTER_AREA) for number in there]),
        flow=flow_of_faces(faces[first], faces[apex_there], recipe=recipe, outline=outline),
        apex=apex,
        apex_confidence=confidence,
        face={f"face_{name}": float(getattr(box, name)) for name in ("x", "y", "side")} | found_by,
        problems=problems,
        strip=b"" if viewing is None else _strip([faces[int(number)] for number in there], viewing),
    )


def _strip(faces: Sequence[np.ndarray], size: int) -> bytes:
    """Faces one below the other as a WebP file; not enlarged."""
    side = min(size, len(faces[0]))
    picture = np.concatenate([cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in faces])
    return cv2.imencode(".webp", picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])[1].tobytes()


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


def _find_box(onset: np.ndarray, rule: CropRule, landmarks: Landmarks | None) -> FaceBox:
    """The face's square: around landmarks, the whole frame (``none``), or what a detector finds."""
    if isinstance(landmarks, LandmarkModel):
        return FaceBox.of_landmarks(landmarks.landmarks(onset), detector="mediapipe")
    if landmarks is not None:
        return FaceBox.of_landmarks(landmarks)
    return FaceBox.around(onset) if rule == "none" else find_face(onset)


def _box_problems(box: FaceBox) -> list[Problem]:
    problems = []
    if box.n_faces > 1:
        done = f"the largest taken, {box.side:.0f} px at ({box.x:.0f}, {box.y:.0f})"
        problems.append(problem("face", f"{box.n_faces:.0f} faces on the onset", done))
    if box.detector == "centerface" and box.landmarks is not None:
        across, down = box.landmarks[1] - box.landmarks[0]
        turn = abs(float(np.degrees(np.arctan2(down, across))))
        if turn > MOST_TURNED:
            done = "kept as it is; turn the frames upright"
            problems.append(problem("face", f"turned by {turn:.0f} degrees", done))
    return problems


class _Faces(Sequence):
    """Small crops of some of a clip's frames, made when they are needed."""

    def __init__(self, frames: Sequence[np.ndarray], box: FaceBox, places: Sequence[int]) -> None:
        self.frames, self.box, self.places = frames, box, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: int) -> np.ndarray:  # type: ignore[override]  # one frame, no slices
        return crop_face(self.frames[self.places[place]], box=self.box, size=SPOTTING_SIDE)


def _spotted(numbers: np.ndarray, frames: Sequence[np.ndarray], box: FaceBox, look: bool) -> tuple[int, float]:
    """Number of the apex and its confidence, among the frames that show the face where the best of all does not."""
    places = list(range(len(numbers)))
    spotted = spot_apex(_Faces(frames, box, places))
    if look and _faceless(frames[spotted.position], box):
        with_face = [place for place in places if not _faceless(frames[place], box)]
        if len(with_face) >= 2:
            places = with_face
            spotted = spot_apex(_Faces(frames, box, places))
        elif box.detector == "centerface":
            raise ClipError(f"no face in {len(numbers) - len(with_face)} of {len(numbers)} frames")
    return int(numbers[places[spotted.position]]), spotted.confidence


def _faceless(image: np.ndarray, box: FaceBox) -> bool:
    """Whether no face is where the onset's is."""
    return not has_face(image, x=box.x, y=box.y, side=box.side)


def _face_problems(images: Mapping[int, np.ndarray], box: FaceBox, used: Mapping[str, int]) -> list[Problem]:
    """A row that names the frames without a face; a clip whose onset or apex has none where others have is refused."""
    gone = [number for number, image in images.items() if _faceless(image, box)]
    if not gone:
        return []
    found = f"no face in {len(gone)} of {len(images)} frames looked at: {', '.join(map(str, gone))}"
    if len(gone) == len(images):  # given by hand, or frames of a kind in which CenterFace finds none
        return [problem("face", found, "kept: the box was not found by a detector")]
    for name, number in used.items():
        if number in gone and box.detector not in ("box", "landmarks"):
            raise ClipError(f"{found}; frame {number} is the {name}")
    return [problem("face", found, "kept as they are")]


def _cropped(
    images: Mapping[int, np.ndarray], box: FaceBox, recipe: FlowRecipe, problems: list[Problem]
) -> tuple[dict[int, np.ndarray], np.ndarray | None]:
    """Every frame's face at the computing resolution, and the face's outline in it where the landmarks give one."""
    if recipe.align == "eyes":
        level = level_eyes(box.landmarks, size=recipe.compute_size)
        if level is not None:
            matrix, outline = level
            size = (recipe.compute_size, recipe.compute_size)
            return {n: cv2.warpAffine(one, matrix, size, borderValue=BACKGROUND) for n, one in images.items()}, outline
        marks = box.landmarks
        found = "no eye positions" if marks is None else f"{len(marks)} landmarks, of which the eyes are unknown"
        problems.append(problem("landmarks", found, "cropped to the box, the eyes not made level"))
    # Enlarging adds nothing, yet flow wants twice the network's size: coarse faces stay near their own resolution.
    side = min(recipe.compute_size, max(round(box.side), 2 * recipe.size))
    return {number: crop_face(image, box=box, size=side) for number, image in images.items()}, None


def _register(faces: dict[int, np.ndarray], problems: list[Problem], *, onset: int) -> None:
    """Move each face onto the onset's, where enough points can be followed."""
    mask = face_mask(faces[onset].shape[0])
    moves = {number: register(face, onset=faces[onset], mask=mask) for number, face in faces.items() if number != onset}
    for number, move in moves.items():
        if move.found:
            faces[number] = move.warp(faces[number])
    lost = sum(not move.found for move in moves.values())
    if lost:
        found = f"too few points to follow in {lost} of {len(faces)} frames"
        problems.append(problem("registration", found, "left where they were"))


def read_clip(
    path: str | os.PathLike[str],
    *,
    onset: int | None = None,
    apex: int | None = None,
    offset: int | None = None,
    fps: float | None = None,
    subject: str = "own",
    recipe: FlowRecipe | None = None,
    crop: CropRule = "detect",
    landmarks: np.ndarray | str | os.PathLike[str] | None = None,
    box: FaceBox | Sequence[float] | None = None,
) -> Clips:
    """One video file or one folder of frames as a clip for the network.

    Parameters
    ----------
    path : path-like
        A video that OpenCV reads, or a folder of numbered pictures. A video is turned upright by its header, and its
        frames are taken as evenly spaced; where they are not, a row of ``problems`` reports it.
    onset, offset : int, optional
        Frame numbers, in a video from 0; by default its first and last frame.
    apex : int, optional
        Frame number; spotted where it is not given, with its confidence in the table.
    fps : float, optional
        Frames a second, above 0 and below 1000. By default a video's own, and 30 for a folder or where a video's
        header gives a rate that cannot be.
    subject : str
        Who it is.
    recipe : FlowRecipe, optional
        As the network was trained with; the default recipe where none is given.
    crop : {"detect", "none"}
        Whether the face is searched on the onset, or the frames are cropped already.
    landmarks : (k, 2) array or path-like, optional
        Pixels of the face's landmarks on the onset, 3 or more, or the ``.task`` file of a MediaPipe face landmarker,
        instead of the detector.
    box : FaceBox or (x, y, side), optional
        The face's square on the onset in pixels, instead of the detector.

    Returns
    -------
    Clips
        One clip, with a viewing copy of up to 256 px. Its table has ``apex_confidence``, 1 where the apex was given and
        otherwise as in :func:`spot_apex`; and ``face_x, face_y, face_side, face_detector, face_score, n_faces``: the
        square on the onset, what placed it, and how many faces there are.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ValueError
        If it is no video and no folder of frames, numbers are out of order or not there, two files have one number,
        it is too long for the memory, `fps` cannot be, no face is found (on the onset or the apex), or `box` or
        `landmarks` make no sense for the onset.

    See Also
    --------
    medn_lab.evaluate.predict : what a network makes of it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> from medn_lab.synthme import synthetic_clips
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as folder:
    ...     for number, frame in enumerate(drawn.frames[0]):
    ...         Image.fromarray(frame).save(f"{folder}/{number}.png")
    ...     clip = read_clip(folder, onset=0, apex=4, offset=7, fps=30, crop="none")
    >>> clip.frames.shape, clip.flow.shape
    ((1, 8, 64, 64, 3), (1, 64, 64, 2))
    """
    recipe = (FlowRecipe() if recipe is None else recipe).usable()
    source = Path(os.path.abspath(Path(path).expanduser()))
    if landmarks is not None and box is not None:
        raise ValueError("give landmarks or a box, not both")
    numbers, frames, rate, problems = open_frames(source, onset, offset, fps)
    first, last = int(numbers[0]), int(numbers[-1])
    if apex is not None and not first < apex <= last:
        raise ValueError(f"apex {apex} must come after the onset {first} and not after the offset {last}")
    for name, wanted, there in (("onset", onset, first), ("offset", offset, last)):
        if wanted is not None and wanted != there:
            problems.append(problem(name, f"no frame {wanted}", f"{there} taken"))
    clip_id = source.name if source.is_dir() else source.stem
    given = LandmarkModel.open(landmarks) if isinstance(landmarks, (str, os.PathLike)) else None
    try:
        made = input_of_frames(
            numbers,
            frames,
            apex=None if apex is None else int(apex),
            recipe=recipe,
            box=_given_box(frames[0], box, None if given else landmarks),
            crop=crop,
            landmarks=given,
            viewing=VIEWING,
        )
    except ClipError as error:
        raise ValueError(f"{source.name}: {error}") from error
    row = {"clip_id": clip_id, "dataset": "own", "subject": subject, "onset": first, "apex": made.apex, "offset": last}
    row |= {"fps": rate, "emotion": "", "action_units": "", "apex_confidence": made.apex_confidence, **made.face}
    rows = [{"clip_id": clip_id, **one, "kept": True} for one in [*problems, *made.problems]]
    return Clips(
        frames=made.frames[None],
        flow=made.flow[None],
        table=pd.DataFrame([row]),
        recipe=recipe.to_dict(),
        problems=pd.DataFrame(rows, columns=list(PROBLEM_COLUMNS)).astype({"kept": bool}),
        viewing=ViewingCopy(VIEWING, (partial(frames_of_strip, made.strip, n_frames=recipe.n_frames),)),
    )


def _given_box(onset: np.ndarray, box: Any, points: Any) -> FaceBox | None:
    """The face's square from what the user gives, checked against the onset."""
    try:
        if points is not None:
            points = np.asarray(points, dtype=float)
        elif box is not None and not isinstance(box, FaceBox):
            x, y, side = map(float, box)
            box = FaceBox(x, y, side)
    except (TypeError, ValueError):
        if points is not None:
            raise ValueError(f"landmarks must be (k, 2) pixels or the path of a .task file, not {points!r}") from None
        raise ValueError(f"box must be a FaceBox or (x, y, side) in pixels, not {box!r}") from None
    box = box if points is None else FaceBox.of_landmarks(points)
    return None if box is None else box.check(onset)
