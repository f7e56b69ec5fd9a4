"""One clip of a drawn face or a photograph, with frames, flow and truth, from AUs, cue and noise set by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any, Literal

import cv2
import numpy as np

from medn_lab.data.crop import find_face
from medn_lab.records import Clips, require
from medn_lab.synthme import actions as act
from medn_lab.synthme.actions import CueKind
from medn_lab.synthme.corpus import VERSION, cached_face, draw_clips, render_size
from medn_lab.synthme.identity import read_table
from medn_lab.synthme.paint import OVERSAMPLING, Face
from medn_lab.synthme.render import Script, draw_nuisance, head_truth
from medn_lab.synthme.script import EMOTIONS, FPS, allowed_emotions

# The frames of a clip made by hand: 0.34 s.
MARKS = {"onset": 0, "apex": 28, "offset": 68}

# What a state holds, and the values for what it leaves out.
STATE = {"aus": {}, "sides": {}, "cue": "still", "cue_strength": 1.0, "noise": 1.0, "drift": 1.0}

# Pupils, tip of the nose and corners of the mouth in scikit-image's portrait, by hand; first those at the left.
_PORTRAIT = ((202.3, 100.3), (247.3, 102.7), (225.0, 125.5), (204.0, 141.7), (244.0, 141.7))


class FaceStudio:
    """One face, ready to play any state; made by `face_studio` or `photo_studio`.

    Parameters
    ----------
    make : callable
        From a size in pixels, the face at that size.
    recipe : mapping
        How this face was made; the clips' recipe holds it. The first word of its ``corpus`` is the clips' ``dataset``;
        ``size``, ``n_frames`` and ``cue`` are as in `face_studio`. ``nuisance_seed`` is that of sensor noise and drift,
        which are the same in every clip of this studio: two clips that differ in their cue differ in nothing else.

    Attributes
    ----------
    aus : tuple of str
        What can move.
    one_sided : tuple of str
        Those of them that can move on one side alone.
    cues : tuple of str
        The states of the cue.
    name : str
        Whose face it is.

    See Also
    --------
    medn_lab.widgets.FaceLab : sliders for it.

    Examples
    --------
    >>> from medn_lab.synthme import face_studio
    >>> studio = face_studio(identity_seed=3)
    >>> studio({"aus": {"AU4": "C"}}).flow.shape
    (1, 64, 64, 2)
    """

    aus = act.AUS
    one_sided = tuple(au for au in act.AUS if au not in act.MIDLINE_AUS)

    def __init__(self, make: Callable[[int], Face], *, recipe: Mapping[str, Any]) -> None:
        self._make, self.cues = cache(make), act.CUES[act.one_of(recipe["cue"], act.CUES, "cue")]
        face = self._make(render_size(recipe["size"]))
        self.name, made = face.name, {"flow": "dis", "head": "registered to the onset with a residual"}
        self._recipe = {**recipe, **made, "render_size": face.size}
        rng = np.random.default_rng(np.random.SeedSequence(recipe["nuisance_seed"], spawn_key=(3,)))
        self._usual = draw_nuisance(rng, noise=1.0, apex=MARKS["apex"], offset=MARKS["offset"])

    def __call__(self, state: Mapping[str, Any] | None = None) -> Clips:
        """Play a state.

        Parameters
        ----------
        state : mapping, optional
            ``aus``: AU to an intensity ``"A"`` to ``"E"`` (the middle of its range) or to its peak in pixels of a 128
            px picture, 0 to 5; ``sides``: AU to ``both`` (where it is left out), ``left`` or ``right``, the subject's
            own; ``cue``: one of `cues`; ``cue_strength``, ``noise`` (sensor, light, JPEG) and ``drift`` (of the head):
            0 to 4, where 1 is what SynthME has. What is left out does not move, or is 1.

        Returns
        -------
        Clips
            One clip with truth. Its label is the emotion that the published table gives these AUs and this cue, None
            where it gives none or leaves several; the truth's table holds ``given_aus_<emotion>``, what the table
            allows with the AUs alone, and ``given_cue_<emotion>``, with AUs and cue; NaN for an AU set that is not in
            it.

        Raises
        ------
        ValueError
            If the state names something that is not there, or a value out of its range.
        """
        whole: dict[str, Any] = {**STATE, **(state or {})}
        for name in whole:
            act.one_of(name, STATE, "an entry of a state")
        aus, sides = ({act.check_au(au): value for au, value in whole[name].items()} for name in ("aus", "sides"))
        for au, side in sides.items():
            act.one_of(side, ("both", "left", "right"), f"the side of {au}")
        pixels = act.pixels_of(aus, sides)
        act.check_range(0, 5, **{f"the motion of {au} in px of 128": peak for (au, _), peak in pixels.items()})
        act.one_of(whole["cue"], self.cues, "the cue of this face")
        strengths = {name: float(whole[name]) for name in ("noise", "drift", "cue_strength")}
        act.check_range(0, 4, **strengths)
        noise, drift, cue_strength = strengths.values()
        quality = max(round(100 - noise * (100 - self._usual["quality"])), 50) if noise else None
        scaled = self._usual["drift"] * np.array([drift] * 3 + [noise] * 3)  # head motion and light apart; no blink

        played = {au: "both" if au in act.MIDLINE_AUS else sides.get(au, "both") for au, _ in pixels}
        coded = "+".join(_facs(au, played[au], aus[au]) for au in act.AUS if au in played)
        numbers = "+".join(au[2:] for au in act.AUS if au in played)
        cue = whole["cue"] if cue_strength > 0 else "absent"
        given = {"aus": allowed_emotions(numbers), "cue": allowed_emotions(numbers, cue=cue)}
        label = str(given["cue"].idxmax()) if given["cue"].max() == 1 else None
        row = {
            "clip_id": f"{self.name}-{coded or 'rest'}-{cue}", "dataset": self._recipe["corpus"].partition(" ")[0],
            "subject": self.name, **MARKS, "fps": FPS, "emotion": label or "unknown", "label": label,
            "action_units": numbers, "side": "+".join(dict.fromkeys(played.values())) or "both", "cue": cue,
        }  # fmt: skip
        truth = {
            "intensities": coded or "none", "peak_px128": max(pixels.values(), default=0.0),
            "cue_kind": self._recipe["cue"], "cue_strength": cue_strength, **head_truth(scaled, **MARKS),
            **{f"given_{factor}_{name}": shares[name] for factor, shares in given.items() for name in EMOTIONS},
        }  # fmt: skip
        script = Script(row, truth, pixels, (self._recipe["nuisance_seed"], 2), noise, scaled, None, quality)
        return draw_clips({0: [script]}, recipe=self._recipe | strengths, n_jobs=1, progress=False, face=self._make)


def _facs(au: str, side: str, amount: float | str) -> str:
    """An AU as FACS writes it: R or L before what moves on one side, the letter of its intensity behind."""
    if not isinstance(amount, str):
        amount = next((letter for letter, (_, high) in act.PEAK_PIXELS.items() if amount <= high), "E")
    return f"{'' if side == 'both' else side[0].upper()}{au[2:]}{amount}"


def face_studio(
    *, identity_seed: int = 0, person: int = 0, size: int = 64, n_frames: int = 8, cue: CueKind = "colour",
    seed: int = 0,
) -> FaceStudio:  # fmt: skip
    """A drawn face: call it with a state to get the clip.

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
    recipe = {"corpus": "SynthME by hand", "version": VERSION, "seed": int(identity_seed), "person": int(person)}
    recipe |= {"size": int(size), "n_frames": int(n_frames), "cue": cue, "nuisance_seed": int(seed)}
    return FaceStudio(partial(cached_face, identity_seed, person), recipe=recipe)


def photo_studio(
    photo: np.ndarray | None = None, *, size: int = 64, n_frames: int = 8, cue: CueKind = "colour", seed: int = 0
) -> FaceStudio:
    """A photograph whose skin moves and flushes like that of a drawn face.

    The photo is real, motion and cue are drawn, and the table that the truth is read from is SynthME's: what a model
    answers shows its response to real skin, hair and light, and nothing about the person.

    Parameters
    ----------
    photo : (h, w, 3) uint8, optional
        RGB, one upright frontal face: the detector's eyes, nose and mouth place the AUs. By default the public-domain
        portrait of Eileen Collins that ships inside scikit-image (``skimage.data.astronaut``; no download).
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
    found = "given" if photo is None else "detected"
    if photo is None:
        from skimage import data

        photo = data.astronaut()
    if photo.shape[2:] != (3,) or photo.dtype != np.uint8:
        raise ValueError(f"a photo must be RGB, (h, w, 3) uint8; this is {photo.dtype} of shape {photo.shape}")
    points = np.array(_PORTRAIT if found == "given" else find_face(photo).landmarks, dtype=float)
    recipe = {"corpus": "photo by hand", "version": VERSION, "landmarks": found}
    recipe |= {"size": int(size), "n_frames": int(n_frames), "cue": cue, "nuisance_seed": int(seed)}
    return FaceStudio(partial(_photo_face, photo, points), recipe=recipe)


def move_photo(
    photo: np.ndarray | None = None, action_units: str = "12", *, intensity: Literal["A", "B", "C", "D", "E"] = "C",
    cue: str | None = None, size: int = 128,
) -> Clips:  # fmt: skip
    """Make one clip of a photograph whose skin moves as an AU would move it.

    The photo is real and the motion is drawn: smooth displacement, no folds of the person's own, eyes that move with
    the lids. A clip of it shows what flow and network do with real skin, hair and light; it says nothing about how
    this person would look.

    Parameters
    ----------
    photo : (h, w, 3) uint8, optional
        As `photo_studio` takes it.
    action_units : str
        For instance ``"12"``, ``"1+2"``, ``"L12"`` (the subject's left side), ``"R14"``; the AUs of :data:`AUS`.
    intensity : {"A", "B", "C", "D", "E"}
        Of all of them, with small differences; ``"A"`` moves the skin by 0.4 px at 128 px, ``"E"`` by 1.8 px.
    cue : str, optional
        State of an implicit cue to add: ``flush``, ``pallor``, ``early``, ``late``, ``brighten``, ``dim`` or ``still``.
    size : int
        Side of frames and flow, 64 to 512 px.

    Returns
    -------
    Clips
        One clip, ``photo-<action units>``, with truth. Its label is the emotion that the published table gives these
        AUs and this cue, None where it gives none or leaves several (``emotion`` is then ``unknown``).

    Raises
    ------
    ValueError
        If the photo is not RGB uint8, no face is found, an AU, intensity or cue is unknown, or `size` is out of range.

    Examples
    --------
    >>> clip = move_photo(action_units="12", size=64)
    >>> clip.frames.shape, clip.table["action_units"].tolist()
    ((1, 8, 64, 64, 3), ['12'])
    """
    low, high = act.PEAK_PIXELS[act.one_of(intensity, act.PEAK_PIXELS, "intensity")]
    act.one_of(cue or "still", [state for states in act.CUES.values() for state in states], "cue")
    kind: Any = next(kind for kind in act.CUES if cue in (None, *act.CUES[kind]))
    rng = np.random.default_rng(0)
    aus, sides = {}, {}
    for token in map(str.strip, str(action_units).replace("AU", "").split("+")):
        side = {"L": "left", "R": "right"}.get(token[:1], "both")
        au = act.check_au(token if side == "both" else token[1:])
        aus[au], sides[au] = (low + high) / 2 + rng.uniform(-0.25, 0.25) * (high - low), side
    quiet = {"cue": cue or "still", "cue_strength": float(cue is not None), "noise": 0, "drift": 0}
    clip = photo_studio(photo, size=size, cue=kind)({"aus": aus, "sides": sides, **quiet})
    name = "-".join(["photo", "+".join(_facs(au, side, "") for au, side in sides.items()), *([cue] if cue else [])])
    table, truth = clip.table.assign(clip_id=name), require(clip.truth, otherwise="the clip has no truth")
    return replace(clip, table=table, truth=replace(truth, table=truth.table.assign(clip_id=name)))


def _photo_face(photo: np.ndarray, points: np.ndarray, size: int) -> Face:
    """Cut the photo so that its face is where a drawn one is, and complete the five points."""
    # Mean landmarks of a hundred drawn faces; x is that of the subject's left side.
    mean = read_table("mean_landmarks")
    eye, mouth, nose = mean.loc[["eye", "mouth_corner", "nose_tip"]].to_numpy()
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
    model = np.array([eye * (-1, 1), eye, nose, mouth * (-1, 1), mouth])
    affine, *_ = np.linalg.lstsq(np.column_stack([model, np.ones(5)]), here, rcond=None)

    def placed(xy: np.ndarray) -> np.ndarray:
        return np.column_stack([xy, np.ones(len(xy))]) @ affine

    right, left = (dict(zip(mean.index, placed(mean.to_numpy() * (way, 1)).tolist(), strict=True)) for way in (-1, 1))
    right["eye"], left["eye"], _, right["mouth_corner"], left["mouth_corner"] = here.tolist()
    across = here[1] - here[0]
    scale = float(np.sqrt(abs(np.linalg.det(affine[:2]))))
    axis = tuple((across / np.linalg.norm(across)).tolist())
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    outline = placed(np.column_stack([0.46 * np.cos(turns), 0.13 + 0.68 * np.sin(turns)]))
    oval = np.zeros((size, size), np.float32)
    cv2.fillPoly(oval, [np.rint((outline + 1) / 2 * size).astype(np.int32)], 1.0)
    mask = np.clip(cv2.GaussianBlur(oval, (0, 0), size / 64), 0, 1)
    return Face(size, skin, None, None, {"right": right, "left": left}, (0.2, -0.5, 0.78), "photo", mask, scale, axis)
