"""What each branch does inside the network: positions that it keeps, inputs swapped between clips, a concept erased."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from medn_lab.diagnose.attribution import random_model
from medn_lab.diagnose.attribution_checks import planted_regions
from medn_lab.diagnose.interventions import Whitened, concept_columns, person_means
from medn_lab.diagnose.probing import LEVEL, subject_folds
from medn_lab.diagnose.similarity import check_features
from medn_lab.evaluate.metrics import true_and_predicted
from medn_lab.evaluate.prediction import predict, source_of
from medn_lab.evaluate.resampling import ratio, t_bounds
from medn_lab.model import MEDN, as_inputs, check_clips
from medn_lab.model.inputs import eval_mode
from medn_lab.records import Clips, KeptTokens, Truth, check_label, people, positions, require

# With fewer clips for each direction of the feature an eraser leaves nearly everything in other persons.
CLIPS_A_DIRECTION = 3


def kept_tokens(
    model: MEDN,
    clips: Clips,
    *,
    truth: Truth | None = None,
    region: str = "cue",
    n_draws: int = 5,
    batch_size: int = 64,
    seed: int = 0,
    progress: bool = False,
) -> KeptTokens:
    """The positions that the emotion branch kept of each clip at each keep rate.

    What is not kept cannot reach the score; what is kept need not matter. With truth, *cover* says how much of the
    planted region lies in kept positions. Two controls: positions chosen at random would cover as much of any region as
    they are of the face, so the keep rate is chance; and a random model, the same architecture with all weights drawn
    at random, covers what the branch finds without training. That is above chance, because a part of SEVit's ranking is
    measured and not learned.

    Parameters
    ----------
    model : MEDN
        With an emotion branch; used in evaluation mode and left in the mode it was in.
    clips : Clips
        With frames.
    truth : Truth or None
        The truth of synthetic clips (``clips.truth``).
    region : str
        ``cue``; an AU such as ``AU12``; or ``AUs``, the clip's own.
    n_draws : int
        Random models, 0 for none; only with truth. Each costs a forward pass of the clips, so 5 take six times as long
        as none; their cover has a deviation of 0.13 on SynthME, and their mean an error of 0.06.
    batch_size : int
        Clips a forward pass.
    seed : int
        Of the random weights.
    progress : bool
        Show a progress bar.

    Returns
    -------
    KeptTokens
        ``masks (n, n_scales, grid, grid)``, the ranking ``scores (n, grid, grid)``, the scales' weights ``mix``, and
        where there is truth ``cover (n, n_scales)`` and ``random_cover (n, n_scales, n_draws)``. Where the truth knows
        each clip's kind of cue, the table has it as ``cue_kind``, and ``to_frame`` has a row a kind.

    Raises
    ------
    ValueError
        If the model has no emotion branch, the clips no frames or do not fit, or the region is not known.

    See Also
    --------
    grad_cam : what the kept positions contribute to a score.
    medn_lab.view.plot_kept_tokens

    References
    ----------
    Adebayo et al.: "Sanity checks for saliency maps", NeurIPS 2018, the random model.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> kept = kept_tokens(medn.load_pretrained("medn_tiny.synthme_v2"), clips)
    >>> kept.masks.shape, kept.keep_rates
    ((1, 2, 16, 16), (0.25, 0.125))
    """
    require(clips.frames, otherwise="these clips have no frames, of which the emotion branch would keep positions")
    check_clips(model.config, clips)
    how: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
    masks, scores, mix = _rank_positions(model, clips, **how)
    table, measured = clips.table, dict[str, Any]()
    if truth is not None:
        regions, planted = planted_regions(table, truth=truth, region=region)
        regions = (regions & planted[:, None, None])[:, None]
        drawn, covers = (random_model(model, seed=seed + draw) for draw in range(n_draws)), []
        side = regions.shape[-1] // masks.shape[-1]
        for kept in (masks, *(_rank_positions(one, clips, **how)[0] for one in drawn)):
            inside = (kept.repeat(side, axis=2).repeat(side, axis=3) & regions).sum(axis=(2, 3))
            covers.append(ratio(inside, regions.sum(axis=(2, 3))).astype(np.float32))
        random_cover = np.stack(covers[1:], axis=2) if n_draws else None
        measured = {"cover": covers[0], "random_cover": random_cover, "region": region}
        if region == "cue" and "cue_kind" in truth.table:
            table = table.assign(cue_kind=table["clip_id"].map(truth.table.set_index("clip_id")["cue_kind"]))
    shares = tuple(float(share) for share in masks[0].mean(axis=(1, 2)))
    source = source_of(model, clips, call="kept_tokens", batch_size=batch_size, n_draws=n_draws, seed=seed)
    return KeptTokens(masks, scores, mix, table, model.config.keep_rates, shares, **measured, source=source)


def _rank_positions(model: MEDN, clips: Clips, *, batch_size: int, progress: bool) -> list[np.ndarray]:
    """The masks, ranking scores and mix of :class:`KeptTokens`."""
    config, device = model.config, next(model.parameters()).device
    branch = require(model.emotion_branch, otherwise="this model has only a motion branch, which keeps all positions")
    parts, grid = [], (config.size // config.patch,) * 2
    with eval_mode(model), torch.no_grad():
        for start in tqdm(range(0, len(clips), batch_size), desc="reading clips", unit="batch", disable=not progress):
            rows = np.arange(start, min(start + batch_size, len(clips)))
            output = branch(as_inputs(config, clips, rows=rows, device=device).frames)
            nowhere = torch.zeros_like(output.scores, dtype=torch.bool)
            masks = torch.stack([nowhere.scatter(1, places, True) for places in output.kept], dim=1)
            made = (masks.unflatten(2, grid), output.scores.unflatten(1, grid).float(), output.mix.float())
            parts.append([one.cpu().numpy() for one in made])
    return [np.concatenate(batches) for batches in zip(*parts, strict=True)]


def swap_branches(model: MEDN, clips: Clips, *, clip_a: str, clip_b: str, label: str = "label") -> pd.DataFrame:
    """What the model predicts for two clips when one branch reads the other clip.

    The *margin* is the logit of clip a's emotion minus that of clip b's: positive, and of the two the model takes the
    clip for a's emotion. Swap the flow alone and see how far the margin moves: that much the motion branch adds;
    swap the frames alone for the emotion branch. What each branch adds is the mean over both clips that the other may
    read, so that the two add up to the whole difference of the margins (the Shapley value of two players).

    A mixed clip never happened: its face does not move as its flow says. For a confusable pair that is mild, as both
    clips move by the same AUs.

    Parameters
    ----------
    model : MEDN
        With both branches; used in evaluation mode and left in the mode it was in.
    clips : Clips
        With frames and flow.
    clip_a, clip_b, label
        As in :func:`attribute_pair`.

    Returns
    -------
    DataFrame
        Four rows: ``frames_of`` and ``flow_of`` (``a`` or ``b``: the clip that the emotion and the motion branch
        read), ``margin`` in logits, ``predicted``, and the probability of each class (``p_happiness``).
        ``table.attrs`` holds ``clip_a, clip_b, label_a, label_b`` and what each branch adds to the difference,
        ``motion`` and ``emotion``, in logits.

    Raises
    ------
    ValueError
        If the model lacks a branch, the clips lack its input, a clip is not there, both have one emotion, or the model
        does not know it.

    See Also
    --------
    attribute_pair : where in the clips the difference lies.
    pair_swapper : the same for one pair after another.

    References
    ----------
    Shapley: "A value for n-person games", Contributions to the Theory of Games II, 1953.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> a, b = clips.table["clip_id"]
    >>> swaps = swap_branches(medn.load_pretrained("medn_tiny.synthme_v2"), clips, clip_a=a, clip_b=b)
    >>> (swaps["frames_of"] == swaps["flow_of"]).tolist()
    [True, False, False, True]
    """
    if model.config.branches != "both":
        raise ValueError(f"this model has the {model.config.branches} branch alone; there is no other to swap it with")
    if lacking := [name for name in ("frames", "flow") if getattr(clips, name) is None]:
        raise ValueError(f"these clips have no {lacking[0]}, so one branch reads nothing that could be swapped")
    (first, second), classes = two_emotions(clips, clip_a, clip_b, label), list(model.config.classes)
    if unknown := [name for name in (first, second) if name not in classes]:
        raise ValueError(f"the model knows no {', '.join(unknown)}; its classes are {', '.join(classes)}")
    found = pd.DataFrame(product("ab", repeat=2), columns=["frames_of", "flow_of"])
    both, (of_frames, of_flow) = clips.select([clip_a, clip_b]), (found == "b").to_numpy(dtype=int).T
    mixed = pd.DataFrame({"clip_id": found["frames_of"] + found["flow_of"], "subject": "mixed"})
    frames, flow = np.asarray(both.frames)[of_frames], np.asarray(both.flow)[of_flow]
    predictions = predict(model, Clips(frames, flow, mixed, recipe=clips.recipe))
    of_first, of_second = (predictions.logits[:, classes.index(name)] for name in (first, second))
    found = found.assign(margin=(of_first - of_second).astype(np.float64), predicted=predictions.predicted)
    found[[f"p_{name}" for name in classes]] = predictions.probabilities
    aa, ab, ba, bb = found["margin"]
    added = {"motion": (aa - ab + ba - bb) / 2, "emotion": (aa - ba + ab - bb) / 2}
    found.attrs = {"clip_a": clip_a, "clip_b": clip_b, "label_a": first, "label_b": second, **added}
    return found


def pair_swapper(model: MEDN, clips: Clips, *, label: str = "label") -> Callable[[str, str], pd.DataFrame]:
    """:func:`swap_branches` as a function of two clip ids, as a browser of pairs takes it.

    Parameters
    ----------
    model : MEDN
    clips : Clips
        Hold all the pairs.
    label : str
        Column of the emotion.

    Returns
    -------
    callable
        Takes two clip ids and gives the table of :func:`swap_branches`.

    Raises
    ------
    ValueError
        With two ids, as :func:`swap_branches`.

    See Also
    --------
    swap_branches, pair_attributor, medn_lab.widgets.PairBrowser

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> swap = pair_swapper(medn.load_pretrained("medn_tiny.synthme_v2"), clips)
    >>> len(swap(*clips.table["clip_id"]))
    4
    """
    return lambda clip_a, clip_b: swap_branches(model, clips, clip_a=clip_a, clip_b=clip_b, label=label)


def two_emotions(clips: Clips, clip_a: str, clip_b: str, label: str) -> tuple[str, str]:
    """The emotions of the clips of a pair; ValueError where they have one."""
    rows = positions(clips.table, [clip_a, clip_b], owner="these clips")
    first, second = check_label(clips.table.iloc[rows], label=label)
    if first == second:
        raise ValueError(f"{clip_a!r} and {clip_b!r} both are {first}; a pair to compare has two emotions")
    return first, second


def erasure_effect(
    model: MEDN,
    clips: Clips,
    *,
    what: str = "AUs",
    n_directions: Sequence[int | None] = (1, 2, 4, 8, None),
    n_draws: int = 50,
    label: str = "label",
    seed: int = 0,
) -> pd.DataFrame:
    """Change of accuracy when a concept is erased from the emotion branch, with random directions as control.

    :func:`leakage` says what a reader finds in the emotion feature; the network need not use it. Here the concept is
    erased (:func:`erase`) from everything that the fusion reads of the emotion branch, its feature and its tokens, and
    the rest of the trained network, fusion and classifier, answers again. Each person's clips are erased by an eraser
    that was fitted to other persons, in five folds. Any erasure damages a feature, so the control erases as many random
    directions of the whitened feature in the same way, many times. If the accuracy falls more than with random
    directions (an ``excess_high`` below 0 for other persons, and a small ``p`` for other directions), the network uses
    what was erased. What the motion branch holds is not touched. In a simulation of a feature without the concept (12
    persons, 20 clips each) `p` was .05 or less in .03 of 300 samples, and ``excess_high`` below 0 as well in .02.

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
    label : str
        Column of the true class.
    seed : int
        Of folds, random directions and the 1,000 draws of subjects.

    Returns
    -------
    DataFrame
        ``what, rank`` (directions erased from the feature), ``width`` (directions in which it varies), ``left`` (the
        share of the feature's squared covariance with the concept that is left in the persons that the eraser was not
        fitted to, without bias, so that it may fall outside [0, 1]; near 1 nothing was erased and the row says little),
        ``accuracy, accuracy_erased``, ``change, change_low, change_high`` (in [-1, 1], with its interval over
        subjects), ``flipped, flipped_low, flipped_high`` (the share of answers that change), ``random_flipped,
        random_change`` (the means of the random erasures), ``random_low, random_high`` (95 % of them), ``excess,
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
    if n_draws < 20 or any(k is not None and k < 1 for k in n_directions):
        raise ValueError(f"n_draws must be at least 20 and n_directions 1; got {n_draws} and {list(n_directions)}")
    concept = concept_columns(clips.table, what)
    model = copy.deepcopy(model).eval()
    fusion = require(model.fusion, otherwise=f"a model with branches {model.config.branches!r} has no fusion to answer")
    read: list[tuple[Tensor, ...]] = []
    with fusion.register_forward_pre_hook(lambda _, given: read.append(given)):
        predictions = predict(model, clips)
    if not read:
        raise ValueError("the clips lack frames or flow, so that nothing is fused; give clips with both")
    true, before = true_and_predicted(predictions, label=label)
    person = np.unique(people(clips.table).to_numpy(dtype=str), return_inverse=True)[1]
    motion, motion_tokens, emotion, tokens = (torch.cat(batches) for batches in zip(*read, strict=True))
    parts = [check_features(part.cpu().numpy(), owner="the emotion features") for part in (emotion, *tokens.unbind(1))]
    known, folds = np.isfinite(concept[:, 0]), subject_folds(person, n_folds=5, seed=seed)
    fitted = []
    for fold in range(folds.max() + 1):
        rows = known & (folds != fold)
        fitted.append((folds == fold, [Whitened(part[rows]) for part in parts], Whitened(concept[rows])))
    width, n_fitted = min(own[0].width for _, own, _ in fitted), min(len(z.coordinates) for *_, z in fitted)

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
        means, n = person_means(clips.table, values, n_resamples=1000, seed=seed)
        low, high = t_bounds(means, n_units=n, level=LEVEL, n_clips=len(values), share=name == "flipped")
        return {name: float(means[0]), f"{name}_low": low, f"{name}_high": high}

    right, few = 1.0 * (before == true), CLIPS_A_DIRECTION * width
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
            x, of_concept, who = parts[0][test & known], z(concept[test & known]), person[test & known]
            covariances += [_between(own(one), of_concept, who) for one in (x, own.without(axes, x))]
        after, generator, random = answers_without(concepts), np.random.default_rng([seed, rank]), []
        for _ in range(n_draws):
            pairs = zip(fitted, axes_of, strict=True)
            held = (own[0].coordinates @ generator.normal(size=axes.shape) for (_, own, _), axes in pairs)
            random.append(answers_without([Whitened(one) for one in held]))
        change, by_chance = (after == true) - right, (np.stack(random) == true) - right
        drawn = by_chance.mean(axis=1)
        reasons = {
            "the emotion branch is constant": width == 0,
            f"all {width} directions are erased, so that no others can be": rank >= width,
            f"needs {few} clips to fit {width} directions, has {n_fitted}": n_fitted < few,
            f"no covariance with {what} is found in pairs of other persons of a fold": covariances[0] <= 0,
        }
        reason = next((text for text, holds in reasons.items() if holds), "")
        low, high = np.quantile(drawn, [0.025, 0.975])
        rows_of[rank] = {
            "what": what, "rank": rank, "width": width, "left": float(ratio(covariances[1], covariances[0])),
            "accuracy": right.mean(), "accuracy_erased": float((after == true).mean()),
            **interval("change", change), **interval("flipped", 1.0 * (after != before)),
            "random_flipped": float((np.stack(random) != before).mean()),
            "random_change": drawn.mean(), "random_low": low, "random_high": high,
            **interval("excess", change - by_chance.mean(axis=0) if not reason else np.full(len(true), np.nan)),
            "p": np.nan if reason else (1 + (drawn <= change.mean() + 1e-9).sum()) / (1 + n_draws),
            "n_draws": n_draws, "n_clips": len(true), "n_subjects": person.max() + 1, "n_fitted": n_fitted,
            "direction": "higher", "reason": reason
        }  # fmt: skip
    return pd.DataFrame(rows_of.values())


def _between(x: np.ndarray, z: np.ndarray, person: np.ndarray) -> float:
    """The sum over pairs of persons of the product of their covariances: without bias, as their noise is apart."""
    sums = np.stack([(x[person == one].T @ z[person == one]).ravel() for one in np.unique(person)])
    return float((sums @ sums.T).sum() - (sums**2).sum()) if len(sums) > 1 else 0.0
