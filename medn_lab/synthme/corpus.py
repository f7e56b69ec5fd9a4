"""Clips of SynthME: faces that play scripts, the truth of each clip, and clips with one factor changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from itertools import chain
from typing import Any, Literal

import numpy as np
import pandas as pd

from medn_lab.data.flow import optical_flow
from medn_lab.records import Clips, Truth, ViewingCopy, frame_numbers, positions
from medn_lab.synthme import actions as act
from medn_lab.synthme.identity import Identity
from medn_lab.synthme.paint import Face, draw_face
from medn_lab.synthme.render import Script, draw_nuisance, head_truth, shrunk
from medn_lab.synthme.script import Table, allowed_emotions, check_emotions, draw_script, draw_scripts, table_of

# Version of the drawing: the same recipe gives the same bytes within one version.
VERSION = 1

# Side of the frames that people are shown, in pixels.
VIEWING_SIZE = 256


def render_size(size: int) -> int:
    """Side at which frames are drawn and flow is computed: twice the clips' size, at least 128, at most 512 px."""
    act.check_range(64, 512, size=size)
    return max(min(2 * size, 512), 128)


def synthetic_clips(
    *, n_subjects: int = 24, clips_per_subject: int = 30, size: int = 64, n_frames: int = 8, cue: str = "colour",
    cue_strength: float = 1.0, noise: float = 1.0, emotions_given_aus: Table | None = None, seed: int = 0,
    n_jobs: int | None = None, progress: bool = False,
) -> Clips:  # fmt: skip
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

    size, large, kinds = recipe["size"], render_size(recipe["size"]), act.cue_kinds(recipe["cue"])

    def play(person: int) -> list[np.ndarray]:
        """Frames, flow, displacement and course of the cue of each clip; the masks of AUs and cue."""
        # Not from the cache: a person is needed once here, and the cache is for calls of render_frames.
        drawn = face(large) if face else draw_face(Identity(recipe["seed"], person), size=large)
        rows, still = [], np.zeros((large, large, 2), np.float32)
        # Eyeballs do not move, the lids over them do.
        bare = 0 if drawn.lids is None else shrunk((drawn.lids.min(axis=-1) > 0).astype(np.float32), large)
        skin = (drawn.mask * (1 - bare))[..., None]
        for script in scripts[person]:
            numbers = frame_numbers(**script.marks, n_frames=recipe["n_frames"]).tolist()
            pictures = {number: script.frame(drawn, number) for number in {*numbers, script.row["apex"]}}
            frames = np.stack([shrunk(pictures[number], size) for number in numbers])
            flow = optical_flow(pictures[numbers[0]], pictures[script.row["apex"]], size=size, mask=drawn.mask)
            peaks = script.pixels.items()
            moved = sum((np.float32(peak * large / 128) * act.unit_field(drawn, *au) for au, peak in peaks), still)
            course = script.truth["cue_strength"] * np.array([script.cue_at(number) for number in numbers])
            rows.append((frames, flow, (shrunk(moved * skin, size) * (size / large)).astype(np.float16), course))
        played = [np.stack(arrays) for arrays in zip(*rows, strict=True)]
        return [*played, _masks(drawn, size, act.AUS), _masks(drawn, size, kinds)]

    workers = min(os.cpu_count() or 1, 8) if n_jobs is None else max(int(n_jobs), 1)
    with ThreadPoolExecutor(workers) as pool:
        played = list(tqdm(pool.map(play, scripts), total=len(scripts), desc="SynthME", disable=not progress))
    frames, flow, displacement, course, au_masks, cue_mask = map(np.concatenate, zip(*played, strict=True))
    every = list(chain(*scripts.values()))
    table = table_of(every)
    drawn = table[["clip_id", "subject"]].join(pd.DataFrame([script.truth for script in every]))
    subjects = tuple(own[0].row["subject"] for own in scripts.values())
    truth = Truth(drawn, displacement, au_masks, cue_mask, course, subjects=subjects, aus=act.AUS, cue_kinds=kinds)
    views = tuple(
        partial(_view, face or partial(cached_face, recipe["seed"], person), script, recipe["n_frames"])
        for person, own in scripts.items() for script in own
    )  # fmt: skip
    return Clips(frames, flow, table, recipe=recipe, truth=truth, viewing=ViewingCopy(VIEWING_SIZE, views))


@act.kept
def _masks(face: Face, size: int, names: tuple[str, ...]) -> np.ndarray:
    """Where AUs or cues have a fifth of their peak, bool (1, names, size, size): half of a pixel or more."""
    masks = []
    for name in names:
        sides = ("both",) if name == "timing" else ("right", "left")
        if name in act.CUE_PATCHES:
            reach = act.cue_weight(face, name)
        else:
            reach = sum(np.linalg.norm(act.unit_field(face, name, side), axis=-1) for side in sides)
        masks.append(shrunk((reach > 0.2).astype(np.float32), size) >= 0.5)
    return np.stack(masks)[None]


def _view(face: Callable[[int], Face], script: Script, n_frames: int) -> np.ndarray:
    """The sampled frames for looking at, (n_frames, 256, 256, 3) uint8: not shrunk."""
    drawn, numbers = face(VIEWING_SIZE), frame_numbers(**script.marks, n_frames=n_frames)
    return np.stack([script.frame(drawn, int(number)) for number in numbers])


@lru_cache(maxsize=8)
def cached_face(seed: int, subject: int, size: int) -> Face:
    """The face of a person of SynthME at `size` px, kept while it is among the last eight that were used."""
    return draw_face(Identity(seed, subject), size=size)


def drawn_script(clips: Clips, clip_id: str) -> Script:
    """The script of a SynthME clip, drawn again; ValueError where the clips are not SynthME's."""
    recipe = clips.recipe
    corpus, version = recipe.get("corpus", "an unnamed corpus"), recipe.get("version")
    if (corpus, version) != ("SynthME", VERSION):
        raise ValueError(f"only SynthME version {VERSION} can be drawn again; these are of {corpus} version {version}")
    positions(clips.table, clip_id, owner="these Clips")
    _, person, clip = (int(part.lstrip("synthmec")) for part in clip_id.split("-"))
    emotions = check_emotions(recipe.get("emotions_given_aus"))
    return draw_script(person - 1, clip - 1, recipe=recipe, emotions=emotions)


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
    script, size = drawn_script(clips, clip_id), int(clips.recipe["size"] if size is None else size)
    face = cached_face(script.grain[0], script.truth["identity"], render_size(size))
    return np.stack([shrunk(script.frame(face, int(number)), size) for number in numbers])


Change = Literal["au", "intensity", "head", "person", "cue"]
# The factors that can be changed, and the column of table or truth that has each.
CHANGED = {"au": "action_units", "intensity": "intensities", "head": "head_x_px128", "person": "subject", "cue": "cue"}


def counterfactual_clips(
    clips: Clips, *, change: Change, seed: int = 0, n_jobs: int | None = None, progress: bool = False
) -> Clips:
    """The same clips drawn again with one factor changed, to measure which features of a network change with it.

    Timing, light, sensor noise, blinks, weak distractor AUs and every factor that is not named stay as they were. With
    the AUs, their intensity, the head or the person changed the cue is the same; with the cue changed the AUs are.

    Parameters
    ----------
    clips : Clips
        From :func:`synthetic_clips`, also after ``select`` or a round trip to disk; only its table and recipe are read.
    change : {"au", "intensity", "head", "person", "cue"}
        ``au``: one AU is switched on, off, or exchanged for another, such that the new AU set is in the table P(emotion
        | AU set) (where that cannot be, exchanged for any); a new AU is as strong as the one that it replaces or joins.
        ``intensity``: one AU gets another intensity, A to E. ``head``: the head drifts along another path. ``person``:
        person `i` becomes person ``n_subjects + i`` of the same seed, who is not in the corpus. ``cue``: the cue has
        another of the three states of its kind.
    seed : int
        Of the choice of what is changed to what.
    n_jobs : int, optional
        Threads, as :func:`synthetic_clips` takes it.
    progress : bool
        Show a bar, one step a person.

    Returns
    -------
    Clips
        In the order of `clips` and with their ids: the pairs. Table and truth are those of the new clips; the table's
        columns ``changed`` (the factor), ``changed_from`` and ``changed_to`` (AU set, intensities, the head's x at the
        apex in pixels of 128, person, cue) are new. After a change of AU or cue the
        label is the emotion that the corpus's table gives them, None where it gives none or leaves several (``emotion``
        is then ``unknown``). The recipe's corpus is ``SynthME counterfactual``.

    Raises
    ------
    ValueError
        If the clips are not SynthME's, there is no such factor, the head is to change where noise is 0, or the cue
        where its strength is 0.

    See Also
    --------
    medn_lab.diagnose.counterfactual_shift : how far each branch's feature moves.
    medn_lab.diagnose.dci

    Examples
    --------
    >>> from medn_lab.synthme import synthetic_clips
    >>> clips = synthetic_clips(n_subjects=1, clips_per_subject=2, n_frames=4, seed=3)
    >>> other = counterfactual_clips(clips, change="cue")
    >>> bool((other.table["cue"] != clips.table["cue"]).all()), bool(other.table["AU4"].equals(clips.table["AU4"]))
    (True, True)
    """
    act.one_of(change, CHANGED, "change")
    recipe = dict(clips.recipe) | {"counterfactual": change, "counterfactual_seed": int(seed)}
    people: dict[int, list[Script]] = {}
    for name in clips.table["clip_id"]:
        script = drawn_script(clips, name)
        if {"head": recipe["noise"], "cue": recipe["cue_strength"]}.get(change) == 0:
            raise ValueError(f"these clips have no {change} to change: its strength is 0; draw them with more")
        new = _changed(script, change, np.random.default_rng([seed, *script.grain]), recipe)
        old_value, new_value = (str({**one.truth, **one.row}[CHANGED[change]]) for one in (script, new))
        row = {**new.row, "changed": change, "changed_from": old_value, "changed_to": new_value}
        if change in ("au", "cue"):
            table = recipe.get("emotions_given_aus")
            given = allowed_emotions(row["action_units"], cue=row["cue"], emotions_given_aus=table)
            label = str(given.idxmax()) if given.max() == 1 else None
            row |= {"label": label, "emotion": label or "unknown"}
        people.setdefault(new.truth["identity"], []).append(replace(new, row=row))
    drawn = draw_clips(people, recipe=recipe | {"corpus": "SynthME counterfactual"}, n_jobs=n_jobs, progress=progress)
    return drawn.select(clips.table["clip_id"])


def _changed(script: Script, change: Change, rng: np.random.Generator, recipe: Mapping[str, Any]) -> Script:
    """The script with one factor changed."""
    row, truth, pixels = dict(script.row), dict(script.truth), dict(script.pixels)

    def pick(options: Iterable[Any], *, old: object = None) -> Any:
        others = [option for option in options if option != old]
        return others[rng.integers(len(others))]

    if change == "cue":
        return replace(script, row=row | {"cue": pick(act.CUES[truth["cue_kind"]], old=row["cue"])})
    if change == "person":
        person = recipe["n_subjects"] + truth["identity"]
        row["subject"] = f"synthme{recipe['seed']}-s{person + 1:02d}"
        return replace(script, row=row, truth=truth | {"identity": person})
    if change == "head":
        nuisance = draw_nuisance(rng, noise=recipe["noise"], apex=row["apex"], offset=row["offset"])
        drift = np.hstack([nuisance["drift"][:, :3], script.drift[:, 3:]])
        return replace(script, drift=drift, truth=truth | head_truth(drift, **script.marks))

    letters = {f"AU{part[:-1]}": part[-1] for part in truth["intensities"].split("+")}
    if change == "intensity":
        au = pick(sorted(letters))
        letters[au] = pick(act.PEAK_PIXELS, old=letters[au])
        old = {key: peak for key, peak in pixels.items() if key[0] == au}
        scale = rng.uniform(*act.PEAK_PIXELS[letters[au]]) / max(old.values())
        pixels |= {key: scale * peak for key, peak in old.items()}
    else:
        had, weak = set(letters), {au for au, _ in pixels} - set(letters)
        table = check_emotions(recipe.get("emotions_given_aus"))
        sets = [{f"AU{n}" for n in name.split("+")} for name in table.index]
        options = [new for new in sets if not new & weak and max(len(new - had), len(had - new)) == 1]
        free = [au for au in act.AUS if au not in had | weak]
        new = pick(options or [had - {gone} | {come} for gone in sorted(had) for come in free])
        like = pick(sorted(had - new or had))  # the AU whose strength a new one has
        peak = max(amount for (au, _), amount in pixels.items() if au == like)
        pixels = {key: amount for key, amount in pixels.items() if key[0] in new | weak}
        pixels |= {(au, half): peak for au in new - had for half in act.sides_of(au, row["side"])}
        letters = {au: letters.get(au, letters[like]) for au in new}
    aus = [au for au in act.AUS if au in letters]
    row["action_units"] = "+".join(au[2:] for au in aus)
    row["side"] = "both" if set(aus) <= set(act.MIDLINE_AUS) else row["side"]
    truth["intensities"] = "+".join(f"{au[2:]}{letters[au]}" for au in aus)
    truth["peak_px128"] = max(peak for (au, _), peak in pixels.items() if au in letters)
    return replace(script, row=row, truth=truth, pixels=pixels)
