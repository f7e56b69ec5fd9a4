"""Whether the network uses what leaks: its accuracy after a concept was erased from the emotion branch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from medn_lab.diagnose.interventions import Eraser, Whitened, concept_columns
from medn_lab.diagnose.leaks import MEAN_OF_AUS
from medn_lab.diagnose.probing import subject_folds
from medn_lab.diagnose.similarity import check_features
from medn_lab.evaluate.metrics import true_and_predicted
from medn_lab.evaluate.prediction import predict
from medn_lab.evaluate.resampling import draw_subjects, ratio
from medn_lab.model import MEDN
from medn_lab.records import Clips, people, require

CLIPS_A_DIRECTION = 3
"""With fewer clips for each direction of the feature an eraser leaves nearly everything in other persons."""

LEVEL = 0.95
"""Coverage of every interval."""


def erasure_effect(
    model: MEDN,
    clips: Clips,
    *,
    what: str = MEAN_OF_AUS,
    n_directions: Sequence[int | None] = (1, 2, 4, 8, None),
    n_draws: int = 50,
    n_folds: int = 5,
    n_resamples: int = 1000,
    label: str = "label",
    batch_size: int = 64,
    seed: int = 0,
) -> pd.DataFrame:
    """Change of accuracy when a concept is erased from the emotion branch, with random directions as control.

    :func:`leakage` says what a reader finds in the emotion feature; the network need not use it. Here the concept is
    erased (:func:`erase`) from everything that the fusion reads of the emotion branch, its feature and its tokens, and
    the rest of the trained network, fusion and classifier, answers again. Each person's clips are erased by an eraser
    that was fitted to other persons. Any erasure damages a feature, so the control erases as many random directions of
    the whitened feature in the same way, many times. If the accuracy falls more than with random directions, the
    network uses what was erased. What the motion branch holds is not touched.

    Parameters
    ----------
    model : MEDN
        With both branches; used in evaluation mode and left in the mode it was in.
    clips : Clips
        With frames, flow and labels, of persons that the model was not trained on.
    what : str
        ``AUs``, or a column of the table, as :func:`erase` takes it. The column ``cue`` is a control that should have
        an effect: without the cue an emotion branch has nothing to say.
    n_directions : sequence of int or None
        A row each: erase this many directions, those with the largest canonical correlations with the concept; None is
        all that covary with it. Sizes that come to the same as an earlier one are left out.
    n_draws : int
        Random erasures, at least 20.
    n_folds : int
        Folds of persons, at least 2.
    n_resamples : int
        Draws of subjects for the 95 % intervals, at least 2.
    label : str
        Column of the true class.
    batch_size : int
        Clips a forward pass.
    seed : int
        Of folds, random directions and draws.

    Returns
    -------
    DataFrame
        ``what, rank`` (directions erased from the feature), ``width`` (directions in which it varies), ``left`` (the
        share of the feature's squared covariance with the concept that is left in the persons that the eraser was not
        fitted to, without bias: it may fall outside [0, 1]; near 1 nothing was erased and the row says little; NaN
        where no fold holds two persons), ``accuracy, accuracy_erased``, ``change, change_low, change_high`` (in
        [-1, 1], with its interval over subjects), ``flipped, flipped_low, flipped_high`` (the share of answers that
        change), ``random_change`` (the mean of the random erasures), ``random_low, random_high`` (95 % of them),
        ``random_flipped``, ``excess, excess_low, excess_high`` (change minus mean random change, with its interval over
        subjects), ``p`` (how often a random erasure lowers the accuracy as much), ``n_draws, n_clips, n_subjects``,
        ``n_fitted`` (the fewest clips that an eraser was fitted to), ``direction`` (``higher``: an excess below 0 says
        that the network uses what was erased), ``reason`` (why there is no excess: every direction was erased, or an
        eraser was fitted to fewer than three clips a direction; a width of 64 and 5 folds need 240 clips).

    Raises
    ------
    ValueError
        If the model has one branch, the clips lack an input, a label or the concept, there are fewer than 2 persons, or
        a number is out of its range.

    See Also
    --------
    erase, leakage, swap_branches

    References
    ----------
    Belrose et al.: "LEACE: Perfect linear concept erasure in closed form", NeurIPS 2023. On random directions as
    control: Elazar, Ravfogel, Jacovi, Goldberg: "Amnesic probing", TACL 2021.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=4, clips_per_subject=6, seed=7)
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> erasure_effect(model, clips, what="cue", n_directions=[1], n_draws=20)[["rank", "width"]].to_dict("list")
    {'rank': [1], 'width': [2]}
    """
    if n_draws < 20 or n_folds < 2 or n_resamples < 2 or any(k is not None and k < 1 for k in n_directions):
        raise ValueError(
            f"n_draws must be at least 20, n_folds and n_resamples 2 and n_directions 1; got {n_draws}, {n_folds},"
            f" {n_resamples} and {', '.join(map(str, n_directions))}"
        )
    fusion = require(model.fusion, otherwise=f"a model with branches {model.config.branches!r} has no fusion to answer")
    read: list[tuple[Tensor, ...]] = []
    hook = fusion.register_forward_pre_hook(lambda _, given: read.append(given))
    try:
        predictions = predict(model, clips, batch_size=batch_size)
    finally:
        hook.remove()
    if not read:
        raise ValueError("the clips lack frames or flow, so that nothing is fused; give clips with both")
    true, before = true_and_predicted(predictions, label=label)
    draws = draw_subjects(clips.table, n_resamples=n_resamples, level=LEVEL, seed=seed)
    emotion, tokens = (torch.cat([given[place] for given in read]).cpu().numpy() for place in (2, 3))
    parts = [check_features(part, owner="the emotion features") for part in (emotion, *np.moveaxis(tokens, 1, 0))]
    concept = concept_columns(clips.table, what)
    known = np.isfinite(concept[:, 0])
    folds = subject_folds(people(clips.table).to_numpy(dtype=object), n_folds=n_folds, seed=seed)
    fitted = [known & (folds != fold) for fold in range(folds.max() + 1)]
    n_fitted = min(int(rows.sum()) for rows in fitted)
    if n_fitted < 2:
        raise ValueError(f"{what} is known of {n_fitted} clips outside a fold; an eraser needs 2 or more")
    whitened = [[Whitened(part[rows]) for part in parts] for rows in fitted]
    concepts = [Whitened(concept[rows]) for rows in fitted]
    width = min(own[0].width for own in whitened)

    def answers_without(away: Sequence[Whitened]) -> np.ndarray:
        """The answers after a concept of each fold was erased from the feature and from each token."""
        found = [part.copy() for part in parts]
        for fold, own in enumerate(whitened):
            test = folds == fold
            for part, one in zip(found, own, strict=True):
                part[test] = one.eraser(away[fold])(part[test])
        return _answers(model, read, found[0], np.stack(found[1:], axis=1))

    def interval(name: str, values: np.ndarray) -> dict[str, float]:
        of_draws = ratio(draws.counts @ draws.tally(every, weights=values), draws.counts @ draws.tally(every))
        low, high = draws.bounds(of_draws, n_clips=len(values), share=name == "flipped")
        return {name: float(of_draws[0]), f"{name}_low": low, f"{name}_high": high}

    def covariance_left(erasers: Sequence[Eraser]) -> float:
        """The share of the squared covariance with the concept that is left in the persons of each fold."""
        products = np.zeros(2)
        for fold, (own, of_concept, eraser) in enumerate(zip(whitened, concepts, erasers, strict=True)):
            test = known & (folds == fold)
            for place, x in enumerate((parts[0][test], eraser(parts[0][test]))):
                products[place] += _between(own[0](x), of_concept(concept[test]), draws.person[test])
        return products[1] / products[0] if products[0] > 0 else np.nan

    every, right, rows = np.arange(len(true)), 1.0 * (before == true), []
    for most in dict.fromkeys(n_directions):
        erasers = [own[0].eraser(one, n_directions=most) for own, one in zip(whitened, concepts, strict=True)]
        rank = max(eraser.rank for eraser in erasers)
        if any(row["rank"] == rank for row in rows):
            continue
        held = concepts
        if most is not None:  # the part of the concept that these directions hold
            held = [_predicted(*one) for one in zip(whitened, concepts, erasers, strict=True)]
        after, generator, random = answers_without(held), np.random.default_rng([seed, rank]), []
        for _ in range(n_draws):
            axes = [generator.normal(size=(own[0].width, one.rank)) for own, one in zip(whitened, erasers, strict=True)]
            aside = [Whitened(own[0].coordinates @ axis) for own, axis in zip(whitened, axes, strict=True)]
            random.append(answers_without(aside))
        change, by_chance = (after == true) - right, (np.stack(random) == true) - right
        drawn, few = by_chance.mean(axis=1), CLIPS_A_DIRECTION * width
        reason = "" if n_fitted >= few else f"needs {few} clips to fit {width} directions, has {n_fitted}"
        if rank >= width:
            reason = f"all {width} directions are erased, so that no others can be"
            reason = reason if width else "the emotion branch is constant"
        excess = change - by_chance.mean(axis=0)
        rows.append(
            {
                "what": what, "rank": rank, "width": width, "left": covariance_left(erasers),
                "accuracy": right.mean(),
                "accuracy_erased": float((after == true).mean()), **interval("change", change),
                **interval("flipped", 1.0 * (after != before)), "random_change": drawn.mean(),
                "random_low": np.quantile(drawn, 0.025), "random_high": np.quantile(drawn, 0.975),
                "random_flipped": float((np.stack(random) != before).mean()),
                **interval("excess", np.full(len(excess), np.nan) if reason else excess),
                "p": np.nan if reason else (1 + (drawn <= change.mean() + 1e-9).sum()) / (1 + n_draws),
                "n_draws": n_draws, "n_clips": len(true), "n_subjects": len(draws.names), "n_fitted": n_fitted,
                "direction": "higher", "reason": reason,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _between(x: np.ndarray, z: np.ndarray, person: np.ndarray) -> float:
    """The sum over pairs of persons of the product of their covariances: without bias, as their noise is apart."""
    sums = np.stack([x[person == one].T @ z[person == one] for one in np.unique(person)])
    return float((sums.sum(axis=0) ** 2).sum() - (sums**2).sum())


def _predicted(own: list[Whitened], concept: Whitened, eraser: Eraser) -> Whitened:
    """What the concept predicts, linearly, of the directions of the feature that an eraser erases."""
    held = (own[0].x - own[0].mean) @ eraser.down
    return Whitened(concept.coordinates @ (concept.coordinates.T @ held))


def _answers(model: MEDN, read: list[tuple[Tensor, ...]], emotion: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The classes that fusion and classifier answer with, where the emotion branch gives another feature and tokens."""
    fusion = require(model.fusion, otherwise="there is no fusion")
    modes, found, start = {module: module.training for module in model.modules()}, [], 0
    model.eval()
    try:
        with torch.inference_mode():
            for motion, motion_tokens, *_ in read:
                rows = slice(start, start + len(motion))
                changed = (torch.as_tensor(one[rows]).to(motion) for one in (emotion, tokens))
                found.append(model.head(fusion(motion, motion_tokens, *changed)[0]).argmax(dim=1).cpu().numpy())
                start = rows.stop
    finally:
        for module, mode in modes.items():
            module.training = mode
    return np.asarray(model.config.classes, dtype=object)[np.concatenate(found)]
