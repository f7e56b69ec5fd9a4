"""A face that plays what it is told at once: AUs, cue and noise in, one clip with frames, flow and truth out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.data.flow import optical_flow
from medn_lab.records import Clips, Truth, frame_numbers
from medn_lab.synthme.action_table import AUS, MIDLINE_AUS, peak_of, sides_of
from medn_lab.synthme.actions import au_mask, expression_field, time_course
from medn_lab.synthme.cue import CUES, CueKind, cue_course, cue_mask
from medn_lab.synthme.emotions import EMOTIONS, allowed_emotions
from medn_lab.synthme.faces import Face
from medn_lab.synthme.nuisance import Disturbance
from medn_lab.synthme.photo import APEX, OFFSET, ONSET
from medn_lab.synthme.render import bare_eyes, compose, shrunk, shrunk_mask
from medn_lab.synthme.script import FPS
from medn_lab.synthme.studio_state import letter_of, whole_state


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
    one_sided = tuple(au for au in AUS if au not in MIDLINE_AUS)

    def __init__(
        self,
        face: Face,
        *,
        size: int,
        n_frames: int,
        cue: CueKind,
        dataset: str,
        recipe: Mapping[str, Any],
        seed: int,
    ) -> None:
        self._face, self._size, self._kind, self._seed = face, int(size), cue, int(seed)
        self._dataset, self.name, self.cues = dataset, face.name, CUES[cue]
        self._numbers = frame_numbers(ONSET, APEX, OFFSET, n_frames)
        self._recipe = dict(recipe) | {
            "size": int(size), "n_frames": int(n_frames), "cue": cue, "render_size": face.size, "flow": "dis",
            "nuisance_seed": int(seed), "head": "registered to the onset with a residual",
        }  # fmt: skip
        rng = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(3,)))
        self._usual = Disturbance.draw(rng, noise=1.0, apex=APEX, offset=OFFSET)
        self._skin = (face.mask * (1 - bare_eyes(face)))[..., None]
        self._masks: tuple[np.ndarray, np.ndarray] | None = None

    def __repr__(self) -> str:
        return f"FaceStudio: {self.name}, {len(self._numbers)} frames at {self._size} px, {self._kind} cue"

    def __call__(self, state: Mapping[str, Any] | None = None) -> Clips:
        """Play a state.

        Parameters
        ----------
        state : mapping, optional
            ``aus``: AU to an intensity ``"A"`` to ``"E"`` (the middle of its range) or to its peak in pixels of a 128
            px picture, 0 to 5; ``sides``: AU to ``both`` (where it is left out), ``left`` or ``right``, the subject's
            own; ``cue``: one of `cues`; ``cue_strength``, ``noise`` (sensor, light, JPEG) and ``drift`` (of the head):
            0 to 4, where 1 is what SynthME has. What is left out is at rest, or 1.

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
        state = whole_state(state, cues=self.cues)
        pixels, sides = self._pixels(state)
        strength = float(state["cue_strength"])
        shown = state["cue"] if strength > 0 else "absent"
        marks = {"onset": ONSET, "apex": APEX, "offset": OFFSET}
        course = strength * cue_course(self._kind, shown, self._numbers, **marks)
        noise = float(state["noise"])
        disturbance = self._disturbance(noise, float(state["drift"]))
        rises = time_course(self._numbers, **marks)
        large = {
            int(number): self._frame(int(number), pixels, float(rise), float(level), disturbance)
            for number, rise, level in zip(self._numbers, rises, course, strict=True)
        }
        if APEX not in large:  # two frames hold no apex
            level = strength * float(cue_course(self._kind, shown, np.array([APEX]), **marks)[0])
            large[APEX] = self._frame(APEX, pixels, 1.0, level, disturbance)
        face, size = self._face, self._size
        moved = expression_field(face, pixels) * self._skin
        aus = sorted({au for au, _ in pixels}, key=AUS.index)
        table, truth_table = self._tables(state, pixels, aus, sides, shown, disturbance)
        au_masks, cue_region = self._regions()
        return Clips(
            frames=np.stack([shrunk(large[int(number)], size) for number in self._numbers])[None],
            flow=optical_flow(large[ONSET], large[APEX], size=size, mask=face.mask)[None],
            table=table,
            recipe=self._recipe | {"noise": noise, "drift": float(state["drift"]), "cue_strength": strength},
            truth=Truth(
                table=truth_table,
                displacement=(shrunk(moved, size) * (size / face.size)).astype(np.float16)[None],
                au_masks=au_masks,
                cue_mask=cue_region,
                cue_course=np.asarray(course, np.float32)[None],
                subjects=(self.name,),
                aus=AUS,
                cue_kinds=(self._kind,),
            ),
        )

    def _pixels(self, state: Mapping[str, Any]) -> tuple[dict[tuple[str, str], float], dict[str, str]]:
        """Each AU's peak on each half of the face, and the side of each AU that moves on one alone."""
        pixels: dict[tuple[str, str], float] = {}
        sides: dict[str, str] = {}
        for au, amount in state["aus"].items():
            peak = peak_of(amount)
            side = state["sides"].get(au, "both")
            if peak > 0:
                pixels |= {(au, half): peak for half in sides_of(au, side)}
                sides[au] = "both" if au in MIDLINE_AUS else side
        return pixels, sides

    def _disturbance(self, noise: float, drift: float) -> Disturbance:
        """The usual nuisance with its head motion and its light scaled apart; no blink."""
        usual = self._usual
        scale = np.array([drift] * 3 + [noise] * 3)
        quality = None if noise == 0 or usual.quality is None else max(round(100 - noise * (100 - usual.quality)), 50)
        return replace(usual, noise=noise, drift=usual.drift * scale, blink=None, quality=quality)

    def _frame(
        self, number: int, pixels: dict[tuple[str, str], float], rise: float, level: float, disturbance: Disturbance
    ) -> np.ndarray:
        along = (number - ONSET) / (OFFSET - ONSET)
        x, y, degrees = disturbance.slow(along)[:3]
        frame = compose(
            self._face,
            {key: rise * peak for key, peak in pixels.items()},
            cue=self._kind,
            level=level,
            head=(float(x), float(y), float(degrees)),
        )
        grain = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(2, number)))
        return disturbance.record(disturbance.expose(frame, along), grain)

    def _tables(
        self,
        state: Mapping[str, Any],
        pixels: dict[tuple[str, str], float],
        aus: list[str],
        sides: dict[str, str],
        shown: str,
        disturbance: Disturbance,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        numbers = "+".join(au[2:] for au in aus)
        given_aus = allowed_emotions(numbers)
        given_cue = given_aus if shown == "absent" else allowed_emotions(numbers, cue=shown)
        certain = given_cue.max() == 1
        label = str(given_cue.idxmax()) if certain else None
        # Intensities as FACS writes them, R or L before what moves on one side.
        coded = "+".join(
            f"{'' if sides[au] == 'both' else sides[au][0].upper()}{au[2:]}{letter_of(state['aus'][au])}" for au in aus
        )
        clip_id = f"{self.name}-{coded or 'rest'}-{shown}"
        row = {
            "clip_id": clip_id, "dataset": self._dataset, "subject": self.name, "onset": ONSET, "apex": APEX,
            "offset": OFFSET, "fps": FPS, "emotion": label or "unknown", "label": label, "action_units": numbers,
            "side": "+".join(dict.fromkeys(sides.values())) or "both", "cue": shown,
            **{au: float(au in aus) for au in AUS},
        }  # fmt: skip
        shift = disturbance.slow((APEX - ONSET) / (OFFSET - ONSET))
        truth = {
            "clip_id": clip_id, "subject": self.name, "intensities": coded or "none",
            "peak_px128": max(pixels.values(), default=0.0), "cue_kind": self._kind,
            "cue_strength": float(state["cue_strength"]), "head_x_px128": shift[0], "head_y_px128": shift[1],
            "head_degrees": shift[2],
            **{f"given_aus_{emotion}": given_aus[emotion] for emotion in EMOTIONS},
            **{f"given_cue_{emotion}": given_cue[emotion] for emotion in EMOTIONS},
        }  # fmt: skip
        return pd.DataFrame([row]).astype({"label": object}), pd.DataFrame([truth])

    def _regions(self) -> tuple[np.ndarray, np.ndarray]:
        if self._masks is None:
            face, size = self._face, self._size
            of_aus = np.stack([shrunk_mask(au_mask(face, au), size) for au in AUS])[None]
            of_cue = shrunk_mask(cue_mask(face, self._kind), size)[None, None]
            self._masks = of_aus, of_cue
        return self._masks
