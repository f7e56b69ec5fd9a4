"""Whether the network uses what leaks: its accuracy after a concept was erased from the emotion branch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from medn_lab.diagnose.interventions import Whitened, concept_columns
from medn_lab.diagnose.leaks import MEAN_OF_AUS
from medn_lab.diagnose.probing import subject_folds
from medn_lab.diagnose.similarity import check_features
from medn_lab.evaluate.metrics import true_and_predicted
from medn_lab.evaluate.prediction import predict
from medn_lab.evaluate.resampling import draw_subjects, ratio
from medn_lab.model import MEDN
from medn_lab.records import Clips, require

# With fewer clips for each direction of the feature an eraser leaves nearly everything in other persons.
CLIPS_A_DIRECTION = 3

# Coverage of every interval.
LEVEL = 0.95


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
    seed: int = 0,
) -> pd.DataFrame:
    """Change of accuracy when a concept is erased from the emotion branch, with random directions as control.

    :func:`leakage` says what a reader finds in the emotion feature; the network need not use it. Here the concept is
    erased (:func:`erase`) from everything that the fusion reads of the emotion branch, its feature and its tokens, and
    the rest of the trained network, fusion and classifier, answers again. Each person's clips are erased by an eraser
    that was fitted to other persons. Any erasure damages a feature, so the control erases as many random directions of
    the whitened feature in the same way, many times. If the accuracy falls more than with random directions (an
    ``excess_high`` below 0 for other persons, and a small ``p`` for other directions), the network uses what was
    erased. What the motion branch holds is not touched. In a simulation of a feature without the concept (12 persons,
    20 clips each) `p` was .05 or less in .03 of 300 samples, and ``excess_high`` below 0 as well in .02.

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
    seed : int
        Of folds, random directions and draws.

    Returns
    -------
    DataFrame
        ``what, rank`` (directions erased from the feature), ``width`` (directions in which it varies), ``left`` (the
        share of the feature's squared covariance with the concept that is left in the persons that the eraser was not
        fitted to, without bias, so that it may fall outside [0, 1]; near 1 nothing was erased and the row says little),
        ``accuracy, accuracy_erased``, ``change, change_low, change_high`` (in [-1, 1], with its interval over
        subjects), ``flipped, flipped_low, flipped_high`` (the share of answers that change), ``random_change`` (the
        mean of the random erasures), ``random_low, random_high`` (95 % of them), ``random_flipped``, ``excess,
        excess_low, excess_high`` (change minus mean random change, with its interval over subjects), ``p`` (how often a
        random erasure lowers the accuracy as much), ``n_draws, n_clips, n_subjects``, ``n_fitted`` (the fewest clips
        that an eraser was fitted to), ``direction`` (``higher``: an excess below 0 says that the network uses what was
        erased), ``reason`` (why there is no excess: every direction was erased; an eraser was fitted to fewer than
        three clips a direction, where a width of 64 and 5 folds need 240 clips; or the feature holds nothing of the
        concept that two persons of a fold share: nothing leaks, or no fold has two persons).

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
    if min(n_draws - 20, n_folds - 2, n_resamples - 2, *(k - 1 for k in n_directions if k is not None)) < 0:
        given = f"{n_draws}, {n_folds}, {n_resamples} and {', '.join(map(str, n_directions))}"
        raise ValueError(f"n_draws must be at least 20, n_folds and n_resamples 2 and n_directions 1; got {given}")
    model = copy.deepcopy(model).eval()
    fusion = require(model.fusion, otherwise=f"a model with branches {model.config.branches!r} has no fusion to answer")
    read: list[tuple[Tensor, ...]] = []
    with fusion.register_forward_pre_hook(lambda _, given: read.append(given)):
        predictions = predict(model, clips)
    if not read:
        raise ValueError("the clips lack frames or flow, so that nothing is fused; give clips with both")
    true, before = true_and_predicted(predictions, label=label)
    draws = draw_subjects(clips.table, n_resamples=n_resamples, level=LEVEL, seed=seed)
    motion, motion_tokens, emotion, tokens = (torch.cat(batches) for batches in zip(*read, strict=True))
    parts = [check_features(part.cpu().numpy(), owner="the emotion features") for part in (emotion, *tokens.unbind(1))]
    concept = concept_columns(clips.table, what)
    known, folds = np.isfinite(concept[:, 0]), subject_folds(draws.person, n_folds=n_folds, seed=seed)
    fitted = []
    for fold in range(folds.max() + 1):
        rows = known & (folds != fold)
        fitted.append((folds == fold, [Whitened(part[rows]) for part in parts], Whitened(concept[rows])))
    width = min(own[0].width for _, own, _ in fitted)
    n_fitted = min(len(z.coordinates) for *_, z in fitted)

    def answers_without(concepts: Sequence[Whitened]) -> np.ndarray:
        """The answers after a concept of each fold was erased from the feature and from each token."""
        found = [part.copy() for part in parts]
        for (test, own, _), z in zip(fitted, concepts, strict=True):
            for part, one in zip(found, own, strict=True):
                part[test] = one.without(one.shared(z), part[test])
        changed = (torch.as_tensor(one).to(emotion) for one in (found[0], np.stack(found[1:], axis=1)))
        with torch.inference_mode():
            logits = model.head(fusion(motion, motion_tokens, *changed)[0])
        return np.asarray(predictions.classes, dtype=object)[logits.argmax(dim=1).cpu().numpy()]

    def interval(name: str, values: np.ndarray) -> dict[str, float]:
        of_draws = ratio(draws.counts @ draws.tally(every, weights=values), draws.counts @ draws.tally(every))
        low, high = draws.bounds(of_draws, n_clips=len(values), share=name == "flipped")
        return {name: float(of_draws[0]), f"{name}_low": low, f"{name}_high": high}

    every, right = np.arange(len(true)), 1.0 * (before == true)
    rows_of: dict[int, dict[str, Any]] = {}
    for most in n_directions:
        axes_of = [own[0].shared(z, most=most) for _, own, z in fitted]
        rank = max(axes.shape[1] for axes in axes_of)
        if rank in rows_of:
            continue
        concepts, covariances = [], np.zeros(2)
        for (test, (own, *_), z), axes in zip(fitted, axes_of, strict=True):
            # Where not all is erased: what the concept predicts of the directions that are.
            part = z.coordinates @ (z.coordinates.T @ own.coordinates @ axes)
            concepts.append(z if most is None else Whitened(part))
            x, of_concept, person = parts[0][test & known], z(concept[test & known]), draws.person[test & known]
            covariances += [_between(own(one), of_concept, person) for one in (x, own.without(axes, x))]
        after, generator, random = answers_without(concepts), np.random.default_rng([seed, rank]), []
        for _ in range(n_draws):
            pairs = zip(fitted, axes_of, strict=True)
            held = (own[0].coordinates @ generator.normal(size=axes.shape) for (_, own, _), axes in pairs)
            random.append(answers_without([Whitened(one) for one in held]))
        change, by_chance = (after == true) - right, (np.stack(random) == true) - right
        drawn, few = by_chance.mean(axis=1), CLIPS_A_DIRECTION * width
        reasons = {
            "the emotion branch is constant": width == 0,
            f"all {width} directions are erased, so that no others can be": rank >= width,
            f"needs {few} clips to fit {width} directions, has {n_fitted}": n_fitted < few,
            f"no covariance with {what} is found in pairs of other persons of a fold": covariances[0] <= 0,
        }
        reason = next((text for text, holds in reasons.items() if holds), "")
        excess = np.full(len(true), np.nan) if reason else change - by_chance.mean(axis=0)
        low, high = np.quantile(drawn, [0.025, 0.975])
        rows_of[rank] = {
            "what": what, "rank": rank, "width": width,
            "left": covariances[1] / covariances[0] if covariances[0] > 0 else np.nan,
            "accuracy": right.mean(), "accuracy_erased": float((after == true).mean()),
            **interval("change", change), **interval("flipped", 1.0 * (after != before)),
            "random_change": drawn.mean(), "random_low": low, "random_high": high,
            "random_flipped": float((np.stack(random) != before).mean()), **interval("excess", excess),
            "p": np.nan if reason else (1 + (drawn <= change.mean() + 1e-9).sum()) / (1 + n_draws),
            "n_draws": n_draws, "n_clips": len(true), "n_subjects": len(draws.names), "n_fitted": n_fitted,
            "direction": "higher", "reason": reason
        }  # fmt: skip
    return pd.DataFrame(rows_of.values())


def _between(x: np.ndarray, z: np.ndarray, person: np.ndarray) -> float:
    """The sum over pairs of persons of the product of their covariances: without bias, as their noise is apart."""
    sums = np.stack([(x[person == one].T @ z[person == one]).ravel() for one in np.unique(person)])
    return float((sums @ sums.T).sum() - (sums**2).sum()) if len(sums) > 1 else 0.0
