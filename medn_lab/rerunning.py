"""A result made again from the record that it carries, and held against what was stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medn_lab.evaluate import evaluate_cross_dataset, evaluate_loso, extract_features, predict
from medn_lab.model import MEDNConfig, load_pretrained, weights_sha256
from medn_lab.records import BranchFeatures, Clips, Predictions, run_record
from medn_lab.synthme import synthetic_clips
from medn_lab.train import TrainConfig

_DRAWN = ("seed", "n_subjects", "clips_per_subject", "size", "n_frames", "cue", "cue_strength", "noise")
"""What of a SynthME recipe draws the same clips again."""

_ARRAYS = {Predictions: ("logits", "au_logits"), BranchFeatures: ("motion", "emotion", "fused", "gate", "nats")}


@dataclass(frozen=True, eq=False, repr=False)
class Rerun:
    """A stored result and the same made again.

    Attributes
    ----------
    stored, again : Predictions or BranchFeatures
    identical : bool
        Whether all numbers agree to the last bit.
    difference : float
        The largest difference of any number; infinite where the shapes differ.
    changed : dict
        What of versions and hardware is another than it was: name to (then, now).
    """

    stored: Predictions | BranchFeatures
    again: Predictions | BranchFeatures
    identical: bool
    difference: float
    changed: Mapping[str, tuple[Any, Any]]

    def __repr__(self) -> str:
        kind = type(self.stored).__name__
        found = "identical to the last bit" if self.identical else f"the largest difference is {self.difference:.3g}"
        same = (
            "same versions and hardware"
            if not self.changed
            else "changed since: " + ", ".join(f"{name} {then} -> {now}" for name, (then, now) in self.changed.items())
        )
        return f"Rerun of {len(self.stored)} {kind}: {found}; {same}"


def rerun(record: Predictions | BranchFeatures, *, clips: Clips | None = None, progress: bool = True) -> Rerun:
    """Make a stored result again from what it says about itself, and compare.

    Parameters
    ----------
    record : Predictions or BranchFeatures
        Of ``predict``, ``extract_features``, ``evaluate_loso`` or ``evaluate_cross_dataset``; from a folder, or just
        made.
    clips : Clips, optional
        Drawn clips are drawn again by their recipe. Others are not in the record: give the prepared set.
    progress : bool
        Show bars.

    Returns
    -------
    Rerun
        ``identical`` on the same machine and versions; ``changed`` names what is not the same.

    Raises
    ------
    ValueError
        If the record does not say how it was made, the clips are needed and not given or not the same ones, or the
        model is not in ``pretrained/`` or has other weights by now.

    See Also
    --------
    medn_lab.records.Predictions.save

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> predictions = medn.predict(medn.load_pretrained("medn_tiny.synthme_v1"), clips)
    >>> medn.rerun(predictions, progress=False)
    Rerun of 2 Predictions: identical to the last bit; same versions and hardware
    """
    run = record.source.get("run")
    if not run:
        raise ValueError("this record does not say how it was made; only results of this version on do")
    clips = _clips_of(record, clips)
    again: Predictions | BranchFeatures
    if run["call"] in ("evaluate_loso", "evaluate_cross_dataset"):
        evaluate = evaluate_loso if run["call"] == "evaluate_loso" else evaluate_cross_dataset
        again = evaluate(
            MEDNConfig(**record.source["model"]), clips, training=TrainConfig(**record.source["training"]),
            label=run["label"], progress=progress,
        ).predictions  # fmt: skip
    elif run["call"] in ("predict", "extract_features"):
        model = load_pretrained(record.source["name"])
        sha = weights_sha256(model)
        if sha != record.source["sha256"]:
            raise ValueError(
                f"{record.source['name']} has other weights by now: {sha[:12]} and not {record.source['sha256'][:12]}"
            )
        call = predict if run["call"] == "predict" else extract_features
        again = call(model, clips, progress=progress)
    else:
        raise ValueError(f"what {run['call']} has made cannot be made again from its record: the folds are not in it")
    return _compared(record, again)


def _clips_of(record: Predictions | BranchFeatures, clips: Clips | None) -> Clips:
    recipe, wanted = record.source.get("recipe", {}), record.source["run"]["clips"]
    if clips is None:
        if recipe.get("corpus") != "SynthME":
            raise ValueError(
                f"the {wanted['n']} clips are not in the record; give the prepared set:"
                " rerun(record, clips=Clips.load(path))"
            )
        clips = synthetic_clips(**{name: recipe[name] for name in _DRAWN})
    ids = record.table["clip_id"]
    missing = sorted(set(ids) - set(clips.table["clip_id"]))
    if len(ids) != wanted["n"]:
        raise ValueError(f"{wanted['n'] - len(ids)} of {wanted['n']} clips have no prediction: their folds failed")
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(ids)} clips of the record are not among these, such as {missing[0]!r}"
        )
    if dict(clips.recipe) != dict(recipe):
        differing = sorted(k for k in {*clips.recipe, *recipe} if clips.recipe.get(k) != recipe.get(k))
        raise ValueError(f"these clips were made by another recipe; they differ in {', '.join(map(str, differing))}")
    return clips.with_table(record.table)


def _compared(stored: Predictions | BranchFeatures, again: Predictions | BranchFeatures) -> Rerun:
    difference = 0.0
    for name in _ARRAYS[type(stored)]:
        one, other = getattr(stored, name), getattr(again, name)
        if one is None and other is None:
            continue
        if one is None or other is None or one.shape != other.shape:
            difference = np.inf
        else:
            difference = max(difference, float(np.abs(np.asarray(one) - np.asarray(other)).max(initial=0.0)))
    then = stored.source["run"]
    now = run_record(then["call"], table=stored.table)
    changed = {
        name: (then[part].get(name), now[part].get(name))
        for part in ("versions", "hardware")
        for name in {**then[part], **now[part]}
        if then[part].get(name) != now[part].get(name)
    }
    return Rerun(stored, again, difference == 0.0, difference, changed)
