"""Clips of SynthME: faces play what their scripts say, and what is true of each clip is written down."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.data.flow import optical_flow
from medn_lab.records import Clips, Truth, ViewingCopy, positions
from medn_lab.synthme import actions as act
from medn_lab.synthme.actions import AUS
from medn_lab.synthme.identity import draw_identity
from medn_lab.synthme.paint import Face, draw_face
from medn_lab.synthme.render import Script, moving_skin, shrunk
from medn_lab.synthme.script import Table, check_emotions, draw_script, draw_scripts, emotion_arrays, table_of

VERSION = 1
"""Version of the drawing: the same recipe gives the same bytes within one version."""

VIEWING_SIZE = 256
"""Side of the frames that people are shown, in pixels."""


def render_size(size: int) -> int:
    """Side at which frames are drawn and flow is computed: twice the clips' size, at least 128, at most 512 px."""
    act.check_range(64, 512, size=size)
    return max(min(2 * size, 512), 128)


def synthetic_clips(
    *,
    n_subjects: int = 24,
    clips_per_subject: int = 30,
    size: int = 64,
    n_frames: int = 8,
    cue: str = "colour",
    cue_strength: float = 1.0,
    noise: float = 1.0,
    emotions_given_aus: Table | None = None,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: bool = False,
) -> Clips:
    """Draw SynthME: synthetic micro-expression clips whose motion, implicit emotion cue and label are known exactly.

    The label is drawn from the published :func:`emotion_table` given the AU set, and sets the state of the cue. AUs
    alone are right in 42 of 100 clips, AUs and cue together always (:func:`ceilings`). Another table makes another
    distribution of the same clips, for training on one and testing on another.

    Parameters
    ----------
    n_subjects : int
        People, at least 1. Person `i` of a seed is the same however many are drawn.
    clips_per_subject : int
        At least 1.
    size : int
        Side of frames and flow in pixels, 64 to 512. Pictures are drawn, and flow computed, at :func:`render_size`.
    n_frames : int
        Frames a clip from onset to offset, at least 2 (:func:`medn_lab.records.frame_numbers`). The timing and the
        brightness cue need 5 or more to be seen.
    cue : str
        Kind of the implicit cue, ``colour``, ``timing`` or ``brightness`` (:mod:`medn_lab.synthme.actions`). Each clip
        of ``colour+brightness`` has one of the two, drawn independently of AUs and emotion; ``mixed`` is
        ``colour+timing``. The column ``cue`` holds the state, ``truth.table["cue_kind"]`` the kind.
    cue_strength : float
        0 (no cue; the column ``cue`` says ``absent``) to 4; 1 is a change of 5 levels of red, a pulse of 1.1 px at
        128 px, or a change of 5 levels of grey.
    noise : float
        0 to 4; scales head motion, light, sensor noise, JPEG, blinks and the weak distractor AUs; 0 removes them.
    emotions_given_aus : DataFrame, optional
        Another table P(emotion | AU set), as :func:`emotion_table` returns it: an AU set a row, the shares in
        proportion, each row of emotions summing to 1, zeros allowed. The recipe keeps it. The published one where
        None.
    seed : int
        Other seeds have other people. Same arguments, same bytes.
    n_jobs : int, optional
        Threads; the result does not depend on it. By default as many as there are cores, up to 8.
    progress : bool
        Show a bar, one step a person.

    Returns
    -------
    Clips
        ``frames (n, n_frames, size, size, 3)``, ``flow (n, size, size, 2)`` in pixels at `size`, a table with one row
        a clip, ``.truth``, and ``.viewing``: the same frames at 256 px, drawn from the scripts when they are shown,
        with sensor noise drawn anew; a saved set holds no viewing copy. Frame numbers count at 200 frames a second.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    See Also
    --------
    render_frames : any frame of a clip, at any size.

    Examples
    --------
    >>> clips = synthetic_clips(n_subjects=1, clips_per_subject=2, n_frames=4, seed=3)
    >>> clips.frames.shape, clips.flow.shape, clips.truth.displacement.dtype
    ((2, 4, 64, 64, 3), (2, 64, 64, 2), dtype('float16'))
    """
    recipe = {
        "corpus": "SynthME", "version": VERSION, "seed": int(seed), "n_subjects": int(n_subjects),
        "clips_per_subject": int(clips_per_subject), "size": int(size), "n_frames": int(n_frames),
        "cue": "+".join(act.cue_kinds(cue)), "cue_strength": float(cue_strength), "noise": float(noise),
        "render_size": render_size(size), "flow": "dis", "head": "registered to the onset with a residual",
    }  # fmt: skip
    if emotions_given_aus is not None:  # lists of text and numbers, which a recipe can keep
        table = check_emotions(emotions_given_aus).rename_axis("action_units").reset_index()
        recipe["emotions_given_aus"] = table.to_dict("list")
    return draw_clips(draw_scripts(recipe), recipe=recipe, n_jobs=n_jobs, progress=progress)


def draw_clips(
    scripts: Mapping[int, Sequence[Script]], *, recipe: Mapping[str, Any], n_jobs: int | None, progress: bool,
    face: Callable[[int], Face] | None = None,
) -> Clips:  # fmt: skip
    """The scripts of each person, played by that person of the recipe's seed, or by the face that `face` makes."""
    from tqdm.auto import tqdm

    size, n_frames, kinds = recipe["size"], recipe["n_frames"], act.cue_kinds(recipe["cue"])

    def play(person: int) -> list[np.ndarray]:
        """Frames, flow, displacement and course of the cue; the masks of AUs and cue."""
        # Not from the cache: a person is needed once here, and the cache is for calls of render_frames.
        make = face or partial(cached_face.__wrapped__, recipe["seed"], person)
        drawn, rows = make(render_size(size)), []
        for script in scripts[person]:
            numbers, onset, apex = script.numbers(n_frames).tolist(), script.row["onset"], script.row["apex"]
            large = {number: script.frame(drawn, number) for number in {*numbers, apex}}
            frames = np.stack([shrunk(large[number], size) for number in numbers])
            flow = optical_flow(large[onset], large[apex], size=size, mask=drawn.mask)
            moved = shrunk(act.expression_field(drawn, script.pixels) * moving_skin(drawn), size) * (size / drawn.size)
            rows.append(
                (frames, flow, moved.astype(np.float16), script.strength * script.cue_course(np.array(numbers)))
            )
        played = [np.stack(arrays) for arrays in zip(*rows, strict=True)]
        return [*played, _masks(drawn, size, AUS), _masks(drawn, size, kinds)]

    workers = min(os.cpu_count() or 1, 8) if n_jobs is None else max(int(n_jobs), 1)
    with ThreadPoolExecutor(workers) as pool:
        played = list(tqdm(pool.map(play, scripts), total=len(scripts), desc="SynthME", disable=not progress))
    frames, flow, displacement, course, au_masks, cue_mask = map(np.concatenate, zip(*played, strict=True))
    every = list(chain(*scripts.values()))
    table = table_of(every)
    drawn = table[["clip_id", "subject"]].join(pd.DataFrame([script.truth for script in every]))
    subjects = tuple(own[0].row["subject"] for own in scripts.values())
    truth = Truth(drawn, displacement, au_masks, cue_mask, course, subjects=subjects, aus=AUS, cue_kinds=kinds)
    makers = tuple(
        partial(_view, face or partial(cached_face, recipe["seed"], person), script, n_frames)
        for person, own in scripts.items()
        for script in own
    )
    return Clips(frames, flow, table, recipe=recipe, truth=truth, viewing=ViewingCopy(VIEWING_SIZE, makers))


@act.kept
def _masks(face: Face, size: int, names: tuple[str, ...]) -> np.ndarray:
    """Where AUs or cues have a fifth of their peak, bool (1, names, size, size): half of a pixel or more."""
    return np.stack([shrunk((act.reach(face, name) > 0.2).astype(np.float32), size) >= 0.5 for name in names])[None]


def _view(face: Callable[[int], Face], script: Script, n_frames: int) -> np.ndarray:
    """The sampled frames for looking at, (n_frames, 256, 256, 3) uint8: not shrunk."""
    drawn = face(VIEWING_SIZE)
    return np.stack([script.frame(drawn, number) for number in script.numbers(n_frames).tolist()])


@lru_cache(maxsize=8)
def cached_face(seed: int, subject: int, size: int) -> Face:
    """The face of a person of SynthME at `size` px, drawn once while it is among the last eight that were wanted."""
    return draw_face(draw_identity(seed, subject), size=size)


def drawn_script(clips: Clips, clip_id: str) -> Script:
    """The script of a SynthME clip, drawn again; ValueError where the clips are not SynthME's."""
    recipe = clips.recipe
    if recipe.get("corpus") != "SynthME" or recipe.get("version") != VERSION:
        raise ValueError(
            f"only clips of SynthME version {VERSION} can be drawn again; these are of"
            f" {recipe.get('corpus', 'an unnamed corpus')} version {recipe.get('version')}"
        )
    positions(clips.table, clip_id, owner="these Clips")
    seed, person, clip = (int(part.lstrip("synthmec")) for part in clip_id.split("-"))
    emotions = emotion_arrays(recipe.get("emotions_given_aus"))
    return draw_script(seed, person - 1, clip - 1, recipe=recipe, emotions=emotions)


def render_frames(clips: Clips, clip_id: str, numbers: Sequence[int], *, size: int | None = None) -> np.ndarray:
    """Draw frames of a SynthME clip again, any of them and at any size.

    Parameters
    ----------
    clips : Clips
        From :func:`synthetic_clips`, also after ``select`` or a round trip to disk; only its table and recipe are read.
    clip_id : str
        A clip in it.
    numbers : sequence of int
        Frame numbers, from the clip's onset to its offset or around them (the face does not move there).
    size : int, optional
        64 to 512; by default the clips' own. At their own size and numbers the bytes are those of ``clips.frames``.

    Returns
    -------
    (k, size, size, 3) uint8, RGB.

    Raises
    ------
    ValueError
        If the clip is not there, the clips are not SynthME's, or `size` is out of range.

    Examples
    --------
    >>> clips = synthetic_clips(n_subjects=1, clips_per_subject=1, n_frames=2, seed=22)
    >>> render_frames(clips, clips.table["clip_id"][0], [0], size=96).shape
    (1, 96, 96, 3)
    """
    script = drawn_script(clips, clip_id)
    size = int(clips.recipe["size"] if size is None else size)
    face = cached_face(script.grain[0], script.truth["identity"], render_size(size))
    return np.stack([shrunk(script.frame(face, int(number)), size) for number in numbers])
