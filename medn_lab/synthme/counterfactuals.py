"""Counterfactual clips: the scripts of a corpus drawn again with one factor changed and everything else kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from medn_lab.records import Clips
from medn_lab.synthme import actions as act
from medn_lab.synthme.actions import AUS
from medn_lab.synthme.corpus import draw_clips, drawn_script
from medn_lab.synthme.render import Disturbance, Script
from medn_lab.synthme.script import allowed_emotions, check_emotions

Change = Literal["au", "intensity", "head", "person", "cue"]
"""The factors that can be changed, by their names in `CHANGES`."""


def counterfactual_clips(
    clips: Clips, *, change: Change, seed: int = 0, n_jobs: int | None = None, progress: bool = False
) -> Clips:
    """The same clips drawn again with one factor changed: what a network's feature moves with, and what it should not.

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
    act.one_of(change, CHANGES, "change")
    act.check_range(0, seed=seed)
    recipe = dict(clips.recipe) | {"counterfactual": change, "counterfactual_seed": int(seed)}
    people: dict[int, list[Script]] = {}
    for name in clips.table["clip_id"]:
        script = drawn_script(clips, name)
        if {"head": recipe["noise"], "cue": recipe["cue_strength"]}.get(change) == 0:
            raise ValueError(f"these clips have no {change} to change: its strength is 0; draw them with more")
        rng = np.random.default_rng(np.random.SeedSequence([seed, *script.grain]))
        change_script, column = CHANGES[change]
        new = change_script(script, rng, recipe)
        old_value, new_value = (str({**one.truth, **one.row}[column]) for one in (script, new))
        row = {**new.row, "changed": change, "changed_from": old_value, "changed_to": new_value}
        if change in ("au", "cue"):
            cue = None if row["cue"] == "absent" else row["cue"]
            given = allowed_emotions(row["action_units"], cue=cue, emotions_given_aus=recipe.get("emotions_given_aus"))
            label = str(given.idxmax()) if given.max() == 1 else None
            row |= {"label": label, "emotion": label or "unknown"}
        people.setdefault(new.truth["identity"], []).append(replace(new, row=row))
    drawn = draw_clips(people, recipe=recipe | {"corpus": "SynthME counterfactual"}, n_jobs=n_jobs, progress=progress)
    return drawn.select(clips.table["clip_id"])


def _coded(script: Script) -> dict[str, str]:
    """The intensity of each coded AU, A to E."""
    return {f"AU{part[:-1]}": part[-1] for part in script.truth["intensities"].split("+")}


def _with_aus(script: Script, letters: Mapping[str, str], pixels: act.Pixels) -> Script:
    """The script with other coded AUs and peaks."""
    aus = [au for au in AUS if au in letters]
    truth = {
        "intensities": "+".join(f"{au[2:]}{letters[au]}" for au in aus),
        "peak_px128": max(peak for (au, _), peak in pixels.items() if au in letters),
    }
    side = "both" if set(aus) <= set(act.MIDLINE_AUS) else script.row["side"]
    row = {"action_units": "+".join(au[2:] for au in aus), "side": side}
    return replace(script, row={**script.row, **row}, truth={**script.truth, **truth}, pixels=pixels)


def _switch_au(script: Script, rng: np.random.Generator, recipe: Mapping[str, Any]) -> Script:
    letters, pixels = _coded(script), dict(script.pixels)
    old, weak = set(letters), {au for au, _ in pixels} - set(letters)
    sets = [{f"AU{n}" for n in name.split("+")} for name in check_emotions(recipe.get("emotions_given_aus")).index]
    free = [au for au in AUS if au not in old | weak]
    options = [new for new in sets if not new & weak and (len(new - old), len(old - new)) in ((0, 1), (1, 0), (1, 1))]
    options = options or [old - {gone} | {come} for gone in sorted(old) for come in free]
    new = options[rng.integers(len(options))]
    like = sorted(old - new or old)
    like_au = like[rng.integers(len(like))]  # whose strength a new AU has
    peak = max(amount for (au, _), amount in pixels.items() if au == like_au)
    kept = {key: amount for key, amount in pixels.items() if key[0] in new | weak}
    kept |= {(au, half): peak for au in new - old for half in act.sides_of(au, script.row["side"])}
    return _with_aus(script, {au: letters.get(au, letters[like_au]) for au in new}, kept)


def _change_intensity(script: Script, rng: np.random.Generator, recipe: Mapping[str, Any]) -> Script:
    letters = _coded(script)
    au = sorted(letters)[rng.integers(len(letters))]
    others = [letter for letter in act.PEAK_PIXELS if letter != letters[au]]
    letter = others[rng.integers(len(others))]
    old = {key: peak for key, peak in script.pixels.items() if key[0] == au}
    scale = rng.uniform(*act.PEAK_PIXELS[letter]) / max(old.values())
    pixels = script.pixels | {key: scale * peak for key, peak in old.items()}
    return _with_aus(script, letters | {au: letter}, pixels)


def _move_head(script: Script, rng: np.random.Generator, recipe: Mapping[str, Any]) -> Script:
    onset, apex, offset = script.marks.values()
    drift = script.disturbance.drift.copy()
    drift[:, :3] = Disturbance.draw(rng, noise=recipe["noise"], apex=apex, offset=offset).drift[:, :3]
    moved = replace(script.disturbance, drift=drift)
    truth = {**script.truth, **moved.head((apex - onset) / (offset - onset))}
    return replace(script, disturbance=moved, truth=truth)


def _change_person(script: Script, rng: np.random.Generator, recipe: Mapping[str, Any]) -> Script:
    person = recipe["n_subjects"] + script.truth["identity"]
    name = f"synthme{recipe['seed']}-s{person + 1:02d}"
    return replace(script, row={**script.row, "subject": name}, truth={**script.truth, "identity": person})


def _change_cue(script: Script, rng: np.random.Generator, recipe: Mapping[str, Any]) -> Script:
    others = [state for state in act.CUES[script.truth["cue_kind"]] if state != script.row["cue"]]
    return replace(script, row={**script.row, "cue": others[rng.integers(len(others))]})


CHANGES: dict[str, tuple[Callable[[Script, np.random.Generator, Mapping[str, Any]], Script], str]] = {
    "au": (_switch_au, "action_units"),
    "intensity": (_change_intensity, "intensities"),
    "head": (_move_head, "head_x_px128"),
    "person": (_change_person, "subject"),
    "cue": (_change_cue, "cue"),
}
"""How a script is changed, and the column of table or truth that says so; another factor is a function, an entry here,
and its name in `Change`."""
