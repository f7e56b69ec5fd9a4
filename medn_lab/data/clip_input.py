"""The network's input from the files of a clip: crop, register, flow, sample; the user's own video as a clip."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import cv2
import numpy as np
import pandas as pd

from medn_lab.data.crop import FaceBox, centerface_faces, crop_face, face_mask, find_face, has_face, level_eyes
from medn_lab.data.flow import FlowRecipe, code_flow, optical_flow
from medn_lab.data.frames import ClipError, FrameFiles, Problem, list_frames, nearest, open_frames
from medn_lab.data.index import problem_table
from medn_lab.data.registration import SPOTTING_SIDE, register, spot_apex
from medn_lab.records import Clips, ViewingCopy, frame_numbers, frames_of_strip
from medn_lab.records.table import one_of

CropRule = Literal["auto", "detect", "none"]

VIEWING = 256
"""Largest side of the frames of the viewing copy of one's own clip, in pixels."""


ClipInput: TypeAlias = tuple[dict[str, Any], dict[str, np.ndarray]]
"""What is known of a clip, and its arrays; described at :func:`input_of_frames`."""


def input_of_clip(row: Mapping[str, Any], **options: Any) -> ClipInput:
    """The network's input from one row of a ``ClipIndex`` table: ``frames_folder, onset, apex, offset, cropped``.

    `options` are those of :func:`input_of_frames`. An empty apex is spotted; ``cropped`` need not be there. ClipError
    is raised for a clip that cannot be prepared.
    """
    onset, offset, folder = int(row["onset"]), int(row["offset"]), row.get("frames_folder")
    if pd.isna(folder) or not folder:
        raise ClipError("no folder of frames is known; read the data set without frames=None")
    try:
        paths = list_frames(folder)
    except FileNotFoundError as error:
        raise ClipError(str(error)) from error
    numbers = np.array([number for number in paths if onset <= number <= offset])
    if len(numbers) < 2:
        raise ClipError(f"only {len(numbers)} frames from {onset} to {offset} are in the folder")
    apex = None if pd.isna(row.get("apex")) else int(row["apex"])
    frames = FrameFiles([paths[int(number)] for number in numbers])
    cropped = str(row.get("cropped")).lower() in ("true", "1", "1.0")  # NaN and text after a join with an own index
    return input_of_frames(numbers, frames, apex=apex, span=(onset, offset), cropped=cropped, **options)


def input_of_frames(
    numbers: np.ndarray, frames: Sequence[np.ndarray], *, apex: int | None, recipe: FlowRecipe,
    span: tuple[int, int] | None = None, box: FaceBox | None = None, crop: CropRule = "detect",
    cropped: bool = False, viewing: int | None = None,
) -> ClipInput:  # fmt: skip
    """Crop, register, flow and samples of one clip.

    `numbers` are those of the frames, rising; `span` is onset and offset, by default the first and the last. An
    `apex` that is None is spotted, and without a `box` the face is found on the first frame. `crop` is ``detect``
    (search it, and look for it in every frame that is used), ``none`` (take frames as they are), or ``auto`` (search it
    if the frames are not `cropped` to a face already). `viewing` is the largest side of the frames of the viewing
    copy; without it none is made.

    Of the clip is known ``apex`` (the frame number that was used), ``confidence`` (1 where it was coded, as in
    :func:`spot_apex` where it was spotted), ``face`` (columns of the table of clips) and ``problems`` (``field, found,
    done`` of what was repaired). Its arrays are ``frames`` (n_frames, size, size, 3) uint8, ``flow`` (size, size, c)
    float32, and ``strip``, the bytes of a WebP file with the frames for people, one below the other; empty for none.
    """
    one_of(crop, get_args(CropRule), "crop")
    first, look, problems = int(numbers[0]), crop != "none", list[Problem]()
    onset, offset = (first, int(numbers[-1])) if span is None else span
    box = _find_box(frames[0], recipe, first, crop, cropped) if box is None else box
    if box.n_faces > 1:
        done = f"the largest taken, {box.side:.0f} px at ({box.x:.0f}, {box.y:.0f})"
        problems.append(("face", f"{box.n_faces:.0f} faces on the onset", done))
    if box.detector == "centerface" and box.landmarks is not None:
        across, down = box.landmarks[1] - box.landmarks[0]
        turn = abs(float(np.degrees(np.arctan2(down, across))))
        if turn > 45:
            problems.append(("face", f"turned by {turn:.0f} degrees", "kept as it is; turn the frames upright"))
    confidence = 1.0
    if apex is None:
        apex, confidence = _spotted(numbers, frames, box, look)
        done = f"spotted at {apex}, confidence {confidence:.2f}"
        problems.append(("apex", "not coded or not usable", done))
    wanted = frame_numbers(onset, apex, offset, recipe.n_frames)
    there = nearest(numbers, wanted)
    missing = wanted != there
    if missing.any():
        gone, taken = (", ".join(map(str, np.unique(one[missing]))) for one in (wanted, there))
        problems.append(("frames", f"missing: {gone}", f"nearest taken: {taken}"))
    # Never the first frame: flow from a frame to itself means nothing.
    apex_there = max(int(nearest(numbers, np.array([apex]))[0]), int(numbers[1]))
    needed = np.unique([*there, first, apex_there])
    images = {int(number): frames[int(np.searchsorted(numbers, number))] for number in needed}
    sizes = sorted({image.shape[:2] for image in images.values()})
    if len(sizes) > 1:
        raise ClipError(f"the frames differ in size: {' and '.join(f'{width}x{height}' for height, width in sizes)} px")
    faceless = [number for number, image in images.items() if look and not has_face(image, box)]
    if faceless:
        found = f"no face in {len(faceless)} of {len(images)} frames looked at: {', '.join(map(str, faceless))}"
        every = len(faceless) == len(images)  # given by hand, or frames of a kind in which CenterFace finds none
        for name, number in (("onset", first), ("apex", apex_there)):
            if number in faceless and not every and box.detector not in ("box", "landmarks"):
                raise ClipError(f"{found}; frame {number} is the {name}")
        problems.append(("face", found, "kept: the box was not found by a detector" if every else "kept as they are"))
    faces = _cropped(images, box, recipe, problems)
    still = faces[first]
    ellipse = face_mask(len(still))
    others = [number for number in faces if recipe.register and number != first]
    moves = {number: register(faces[number], onset=still, mask=ellipse) for number in others}
    faces |= {number: move.warp(faces[number]) for number, move in moves.items()}
    lost = sum(not move.found for move in moves.values())
    if lost:
        found = f"too few points to follow in {lost} of {len(faces)} frames"
        problems.append(("registration", found, "left where they were"))
    mask = recipe.outside + (1.0 - recipe.outside) * ellipse
    flow = optical_flow(still, faces[apex_there], method=recipe.method, mask=mask, blur=recipe.blur)
    flow = code_flow(flow, coding=recipe.coding, size=recipe.size, face=ellipse).astype(np.float32)
    chosen, strip = [faces[int(number)] for number in there], np.zeros(0, np.uint8)
    if viewing is not None:
        picture = np.concatenate(_resized(chosen, min(viewing, len(still))))[..., ::-1]
        strip = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 85])[1]
    face: dict[str, Any] = {f"face_{name}": float(getattr(box, name)) for name in ("x", "y", "side")}
    face |= {"face_detector": box.detector, "face_score": box.score, "n_faces": box.n_faces}
    note = {"apex": apex, "confidence": confidence, "face": face, "problems": problems}
    return note, {"frames": np.stack(_resized(chosen, recipe.size)), "flow": flow, "strip": strip}


def _resized(faces: Sequence[np.ndarray], size: int) -> list[np.ndarray]:
    return [cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA) for face in faces]


def _find_box(onset: np.ndarray, recipe: FlowRecipe, number: int, crop: CropRule, cropped: bool) -> FaceBox:
    """The face's square: the whole frame, or what the detector finds."""
    if crop == "none" or (crop == "auto" and cropped):
        faces = centerface_faces(onset) if crop == "auto" and recipe.align == "eyes" else []
        return replace(FaceBox.around(onset), landmarks=faces[0][0][2:] if faces else None)
    try:
        box = find_face(onset)
    except ClipError as error:
        raise ClipError(f"{error} (frame {number}, the onset)") from error
    height, width = onset.shape[:2]
    if cropped and box.side < 0.4 * min(height, width):  # a nose or an eye
        raise ClipError(f"a face of {box.side:.0f} px was found in a picture of a face of {width}x{height} px")
    return box


def _spotted(numbers: np.ndarray, frames: Sequence[np.ndarray], box: FaceBox, look: bool) -> tuple[int, float]:
    """Number of the apex and its confidence, among the frames that show the face where the best of all does not."""
    position, confidence = spot_apex(frames, box=box)
    if look and not has_face(frames[position], box):
        places = [place for place in range(len(numbers)) if has_face(frames[place], box)]
        if len(places) >= 2:
            faces = [crop_face(frames[place], box=box, size=SPOTTING_SIDE) for place in places]
            position, confidence = spot_apex(faces)
            return int(numbers[places[position]]), confidence
        if box.detector == "centerface":
            raise ClipError(f"no face in {len(numbers) - len(places)} of {len(numbers)} frames")
    return int(numbers[position]), confidence


def _cropped(
    images: Mapping[int, np.ndarray], box: FaceBox, recipe: FlowRecipe, problems: list[Problem]
) -> dict[int, np.ndarray]:
    """Every frame's face at the computing resolution."""
    if recipe.align == "eyes" and box.landmarks is not None and box.landmarks.shape == (5, 2):
        matrix, size = level_eyes(box.landmarks, size=recipe.compute_size), (recipe.compute_size, recipe.compute_size)
        return {n: cv2.warpAffine(one, matrix, size, borderValue=(128.0,) * 3) for n, one in images.items()}
    if recipe.align == "eyes":
        problems.append(("landmarks", "no eye positions", "cropped to the box, the eyes not made level"))
    # Enlarging adds nothing, yet flow wants twice the network's size: coarse faces stay near their own resolution.
    side = min(recipe.compute_size, max(round(box.side), 2 * recipe.size))
    return {number: crop_face(image, box=box, size=side) for number, image in images.items()}


def read_clip(
    path: str | os.PathLike[str], *, onset: int | None = None, apex: int | None = None,
    offset: int | None = None, fps: float | None = None, subject: str = "own", recipe: FlowRecipe | None = None,
    crop: CropRule = "detect", box: FaceBox | Sequence[float] | None = None,
) -> Clips:  # fmt: skip
    """One video file or one folder of frames as a clip for the network.

    Parameters
    ----------
    path : path-like
        A video that OpenCV reads, or a folder of numbered pictures. A video is turned upright by its header, and its
        frames are taken as evenly spaced.
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
    box : FaceBox or (x, y, side), optional
        The face's square on the onset in pixels, instead of the detector; :meth:`FaceBox.of_landmarks` makes one.

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
        it is too long for the memory, `fps` cannot be, no face is found (on the onset or the apex), or `box` is
        outside the frame.

    See Also
    --------
    medn_lab.evaluate.predict : the scores that a network gives it.

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
    recipe = FlowRecipe() if recipe is None else recipe
    source = Path(os.path.abspath(Path(path).expanduser()))
    numbers, frames, rate, problems = open_frames(source, onset, offset, fps)
    first, last = int(numbers[0]), int(numbers[-1])
    if apex is not None and not first < apex <= last:
        raise ValueError(f"apex {apex} must come after the onset {first} and not after the offset {last}")
    for name, wanted, there in (("onset", onset, first), ("offset", offset, last)):
        if wanted is not None and wanted != there:
            problems.append((name, f"no frame {wanted}", f"{there} taken"))
    if box is not None:
        if not isinstance(box, FaceBox):
            x, y, side = map(float, box)
            box = FaceBox(x, y, side)
        crop_face(frames[0], box=box, size=1)  # whether it is a square of this frame
    apex = None if apex is None else int(apex)
    try:
        note, arrays = input_of_frames(numbers, frames, apex=apex, recipe=recipe, box=box, crop=crop, viewing=VIEWING)
    except ClipError as error:
        raise ValueError(f"{source.name}: {error}") from error
    clip_id = source.name if source.is_dir() else source.stem
    row = {"clip_id": clip_id, "dataset": "own", "subject": subject, "onset": first, "apex": note["apex"]}
    row |= {"offset": last, "fps": rate, "emotion": "", "action_units": "", "apex_confidence": note["confidence"]}
    strip = partial(frames_of_strip, arrays["strip"].tobytes(), n_frames=recipe.n_frames)
    frames_and_flow, table = (arrays["frames"][None], arrays["flow"][None]), pd.DataFrame([row | note["face"]])
    found = problem_table((clip_id, *one) for one in [*problems, *note["problems"]])
    copy = ViewingCopy(VIEWING, (strip,))
    return Clips(*frames_and_flow, table, recipe=recipe.to_dict(), problems=found, viewing=copy)
