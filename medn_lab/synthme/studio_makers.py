"""A drawn face or a photograph, made ready to play with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medn_lab.synthme.corpus import SIZES, VERSION, render_size
from medn_lab.synthme.cue import CueKind, check_cue
from medn_lab.synthme.faces import draw_face
from medn_lab.synthme.identity import draw_identity
from medn_lab.synthme.photo import photo_face
from medn_lab.synthme.studio import FaceStudio


def face_studio(
    *,
    identity_seed: int = 0,
    person: int = 0,
    size: int = 64,
    n_frames: int = 8,
    cue: CueKind = "colour",
    seed: int = 0,
) -> FaceStudio:
    """A drawn face to play with: call it with a state, get the clip.

    Parameters
    ----------
    identity_seed, person : int
        Whose face: person `person` of ``synthetic_clips(seed=identity_seed)``.
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
        If an argument is out of its range.

    See Also
    --------
    photo_studio : the same with a photograph.
    move_face : one still.

    Examples
    --------
    >>> studio = face_studio(identity_seed=3)
    >>> clip = studio({"aus": {"AU12": "C"}, "cue": "pallor"})
    >>> clip.table["label"].tolist(), clip.frames.shape
    (['repression'], (1, 8, 64, 64, 3))
    """
    _check(size, n_frames, cue)
    if identity_seed < 0 or person < 0:
        raise ValueError(f"identity_seed and person must not be negative; they are {identity_seed} and {person}")
    face = draw_face(draw_identity(identity_seed, person), size=render_size(size))
    recipe = {"corpus": "SynthME by hand", "version": VERSION, "seed": int(identity_seed), "person": int(person)}
    return FaceStudio(face, size=size, n_frames=n_frames, cue=cue, dataset="SynthME", recipe=recipe, seed=seed)


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
    _check(size, n_frames, cue)
    face, found = photo_face(photo, landmarks=landmarks, size=render_size(size))
    recipe = {"corpus": "photo by hand", "version": VERSION, "landmarks": found}
    return FaceStudio(face, size=size, n_frames=n_frames, cue=cue, dataset="photo", recipe=recipe, seed=seed)


def _check(size: int, n_frames: int, cue: str) -> None:
    if not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"a face is drawn at {SIZES[0]} to {SIZES[1]} px; size is {size}")
    if n_frames < 2:
        raise ValueError(f"n_frames must be at least 2, the onset and the offset; it is {n_frames}")
    check_cue(cue)
