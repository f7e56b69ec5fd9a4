"""A face moved by hand, drawn or on a photograph: AUs, cue and noise in, one clip with frames, flow and truth out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from medn_lab.records import Clips
from medn_lab.synthme import actions as act
from medn_lab.synthme.actions import AUS, CueKind
from medn_lab.synthme.corpus import VERSION, check_clip, clips_of, play, render_size
from medn_lab.synthme.identity import draw_identity
from medn_lab.synthme.paint import Face, draw_face
from medn_lab.synthme.render import Disturbance, Script
from medn_lab.synthme.script import EMOTIONS, allowed_emotions, clip_row

MARKS: dict[str, Any] = {"onset": 0, "apex": 28, "offset": 68}
"""The frames of a clip made by hand, at 200 frames a second: 0.34 s."""

MOST = 4.0
"""The largest strength of the cue, of noise and of drift, as in ``synthetic_clips``."""

MOST_PIXELS = 5.0
"""The largest motion, in pixels of a 128 px picture; beyond it skin folds over itself."""

STATE = {"aus": {}, "sides": {}, "cue": "still", "cue_strength": 1.0, "noise": 1.0, "drift": 1.0}
"""What a state holds, and the values for what it leaves out."""


class FaceStudio:
    """One face, ready to play any state in a few milliseconds; made by `face_studio` or `photo_studio`.

    Parameters
    ----------
    face : Face
        At the size at which pictures are drawn and flow is computed.
    size : int
        Side of frames and flow of the clips in pixels.
    n_frames : int
        Frames a clip.
    cue : {"colour", "timing", "brightness"}
    dataset : str
        What the clips' table says under ``dataset``.
    recipe : mapping
        How this face was made; the clips' recipe holds it.
    seed : int
        Of sensor noise and drift, which are the same in every clip of this studio: two clips that differ in their cue
        differ in nothing else.

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

    aus = AUS
    one_sided = tuple(au for au in AUS if au not in act.MIDLINE_AUS)

    def __init__(
        self, face: Face, *, size: int, n_frames: int, cue: CueKind, dataset: str, recipe: Mapping[str, Any], seed: int
    ) -> None:
        self.name, self.cues = face.name, act.CUES[cue]
        self._face, self._kind, self._seed, self._dataset = face, cue, int(seed), dataset
        self._recipe = dict(recipe) | {
            "size": int(size), "n_frames": int(n_frames), "cue": cue, "render_size": face.size, "flow": "dis",
            "nuisance_seed": int(seed), "head": "registered to the onset with a residual",
        }  # fmt: skip
        rng = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(3,)))
        self._usual = Disturbance.draw(rng, noise=1.0, apex=MARKS["apex"], offset=MARKS["offset"])

    def __repr__(self) -> str:
        size, n_frames = self._recipe["size"], self._recipe["n_frames"]
        return f"FaceStudio: {self.name}, {n_frames} frames at {size} px, {self._kind} cue"

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
        state = self._checked(state or {})
        script = self._script(state)
        recipe = self._recipe | {name: state[name] for name in ("noise", "drift", "cue_strength")}
        kinds = (self._kind,)
        return clips_of([play(self._face, [script], recipe=recipe, kinds=kinds)], recipe=recipe, kinds=kinds)

    def _checked(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """The state with everything that it left out, AUs named as columns."""
        for name in state:
            act.one_of(name, STATE, "an entry of a state")
        whole = {**STATE, **state}
        for name in ("aus", "sides"):
            whole[name] = {act.check_au(au): value for au, value in dict(whole[name]).items()}
        for au, side in whole["sides"].items():
            act.one_of(side, ("both", "left", "right"), f"the side of {au}")
        for au, amount in whole["aus"].items():
            act.check_range(act.peak_of(amount), f"the motion of {au} in px of 128", 0, MOST_PIXELS)
        act.one_of(whole["cue"], self.cues, "the cue of this face")
        for name in ("cue_strength", "noise", "drift"):
            act.check_range(whole[name], name, 0, MOST)
            whole[name] = float(whole[name])
        return whole

    def _script(self, state: Mapping[str, Any]) -> Script:
        """What happens in the clip of a whole state."""
        usual, noise, drift = self._usual, state["noise"], state["drift"]
        quality = None if noise == 0 or usual.quality is None else max(round(100 - noise * (100 - usual.quality)), 50)
        scaled = usual.drift * np.array([drift] * 3 + [noise] * 3)  # head motion and light apart; no blink
        disturbance = replace(usual, noise=noise, drift=scaled, blink=None, quality=quality)

        pixels = act.pixels_of(state["aus"], state["sides"])
        sides = {au: "both" if au in act.MIDLINE_AUS else state["sides"].get(au, "both") for au, _ in pixels}
        aus = sorted(sides, key=AUS.index)
        coded = "+".join(_facs(au, sides[au], state["aus"][au]) for au in aus)
        numbers = "+".join(au[2:] for au in aus)
        cue = state["cue"] if state["cue_strength"] > 0 else "absent"
        given = {"aus": allowed_emotions(numbers)}
        given["cue"] = given["aus"] if cue == "absent" else allowed_emotions(numbers, cue=cue)
        label = str(given["cue"].idxmax()) if given["cue"].max() == 1 else None
        row = clip_row(
            clip_id=f"{self.name}-{coded or 'rest'}-{cue}", dataset=self._dataset, subject=self.name, **MARKS,
            emotion=label or "unknown", label=label, action_units=numbers,
            side="+".join(dict.fromkeys(sides.values())) or "both", cue=cue,
        )  # fmt: skip
        truth = {
            "intensities": coded or "none", "peak_px128": max(pixels.values(), default=0.0), "cue_kind": self._kind,
            "cue_strength": state["cue_strength"], **disturbance.head(MARKS["apex"] / MARKS["offset"]),
            **{f"given_{factor}_{name}": shares[name] for factor, shares in given.items() for name in EMOTIONS},
        }  # fmt: skip
        return Script(
            **MARKS, pixels=pixels, kind=self._kind, state=cue, strength=state["cue_strength"],
            disturbance=disturbance, grain=(self._seed, 2), row=row, truth=truth,
        )  # fmt: skip


def _facs(au: str, side: str, amount: float | str) -> str:
    """An AU as FACS writes it: R or L before what moves on one side, the letter of its intensity behind."""
    if not isinstance(amount, str):
        amount = next((letter for letter, (_, high) in act.PEAK_PIXELS.items() if amount <= high), "E")
    return f"{'' if side == 'both' else side[0].upper()}{au[2:]}{amount}"


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
    check_clip(size, n_frames)
    act.one_of(cue, act.CUES, "cue")
    act.check_range(identity_seed, "identity_seed", 0)
    act.check_range(person, "person", 0)
    face = draw_face(draw_identity(identity_seed, person), size=render_size(size))
    recipe = {"corpus": "SynthME by hand", "version": VERSION, "seed": int(identity_seed), "person": int(person)}
    return FaceStudio(face, size=size, n_frames=n_frames, cue=cue, dataset="SynthME", recipe=recipe, seed=seed)
