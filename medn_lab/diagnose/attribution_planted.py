"""Planted regions: the share of a map, or of the kept positions, that lies in them; methods compared by it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from medn_lab.diagnose.attribution import eval_mode, random_model, registered_methods
from medn_lab.diagnose.attribution_checks import RandomisationCheck, randomisation_check
from medn_lab.evaluate import Interval
from medn_lab.evaluate.prediction import source_of
from medn_lab.evaluate.resampling import draw_subjects
from medn_lab.model import MEDN, as_inputs, check_clips
from medn_lab.records import Attribution, Clips, KeptTokens, Truth, au_columns, positions, require


def planted_mass(
    attribution: Attribution, *, truth: Truth, of: Literal["frames", "flow"], region: str | None = None
) -> pd.DataFrame:
    """The share of an attribution that falls where SynthME planted a movement or the cue.

    The sign does not count. Frames are summed over time and colour, the flow over its components. Compare it with the
    same figure of :func:`bare_change`, as a map may fall on a region because that is where something moved, and of
    random models (:func:`randomisation_check` keeps their maps).

    Parameters
    ----------
    attribution : Attribution
        Of synthetic clips.
    truth : Truth
        The clips' truth.
    of : {"frames", "flow"}
        Which input's attribution.
    region : str or None
        ``cue``, where the clip's own kind of cue lies; an AU such as ``AU12``; or ``AUs``, where any of the clip's own
        AUs can move the face. None is the cue for frames, and for the flow the AU that is the target, or ``AUs``.

    Returns
    -------
    DataFrame
        The clips' table with ``share``, of the absolute attribution, in [0, 1], 0 of a clip without any; ``chance``,
        the region's share of the picture's area: what a map without any place would score; ``hits``, whether the
        strongest pixel lies in the region (the pointing game), by chance as often as ``chance`` says; where several are
        equally strong, as in the maps of patches, the share of them that does; and ``planted``, whether the region was
        in use: the clip shows that AU, or its cue changes. Means are of these clips. A share above chance says that the
        map points there. ``.attrs`` holds ``region``, ``of`` and ``summary``, a sentence.

    Raises
    ------
    ValueError
        If the attribution lacks that input, the region is not known, or a clip is not in the truth.

    See Also
    --------
    planted_interval, bare_change, randomisation_check

    References
    ----------
    The pointing game: Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> maps = medn.diagnose.saliency(medn.load_pretrained("medn_tiny.synthme_v2"), clips, target="others")
    >>> planted_mass(maps, truth=clips.truth, of="frames")[["chance", "planted"]].round(2).to_dict("list")
    {'chance': [0.04, 0.04], 'planted': [True, False]}
    """
    if of not in ("frames", "flow"):
        raise ValueError(f"of must be frames or flow; got {of!r}")
    values = getattr(attribution, of)
    if values is None:
        raise ValueError(f"the attribution has no {of}; it was made of a model or clips without them")
    if region is None:
        region = "cue" if of == "frames" else attribution.target if attribution.target in truth.aus else "AUs"
    masks, planted = planted_regions(attribution.table, truth=truth, region=region)
    axes = (1, 4) if of == "frames" else (3,)
    heat = np.abs(values).sum(axis=axes, dtype=np.float64)  # (n, h, w)
    if heat.shape != masks.shape:
        raise ValueError(f"the maps are {heat.shape[1:]} px but the truth {masks.shape[1:]}; give the clips' own truth")
    total = heat.sum(axis=(1, 2))
    inside = (heat * masks).sum(axis=(1, 2))
    strongest = (heat >= heat.max(axis=(1, 2), keepdims=True) * (1 - 1e-6)) & (total > 0)[:, None, None]
    hits = (strongest & masks).sum(axis=(1, 2)) / np.maximum(strongest.sum(axis=(1, 2)), 1)
    share = np.divide(inside, total, out=np.zeros_like(total), where=total > 0)
    found = attribution.table.assign(share=share, chance=masks.mean(axis=(1, 2)), hits=hits, planted=planted)
    n, left_out = int(planted.sum()), int((~planted).sum())
    summary = f"none, because {region} is planted in none of these {left_out} clips"
    if n:
        mean = found.loc[planted, ["share", "chance", "hits"]].mean()
        rest = f"; {left_out} without it left out" if left_out else ""
        summary = (
            f"planted mass of {region} in the {of} {mean['share']:.3f} where area alone gives {mean['chance']:.3f}"
            f" ({mean['share'] / mean['chance']:.1f} times), pointing game {mean['hits']:.3f} ({n} clips of"
            f" {found.loc[planted, 'subject'].nunique()} subjects{rest})"
        )
    found.attrs = {"region": region, "of": of, "summary": summary}
    return found


def planted_interval(
    mass: pd.DataFrame,
    *,
    of: Literal["share", "excess", "hits"] = "excess",
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """A mean of :func:`planted_mass` with its interval from resampling whole subjects.

    Parameters
    ----------
    mass : DataFrame
        As :func:`planted_mass` gives it; clips in which nothing was planted are left out.
    of : {"share", "excess", "hits"}
        The share, the share minus chance, or the pointing game's hit rate.
    level : float
        Coverage, in (0, 1).
    n_resamples : int
    seed : int

    Returns
    -------
    Interval
        An excess whose interval is clear of 0 says that the map points there.

    Raises
    ------
    ValueError
        If the region is planted in clips of fewer than 2 subjects, or `of` is another word.

    See Also
    --------
    planted_mass

    Examples
    --------
    >>> table = pd.DataFrame({"subject": list("aabb"), "share": [0.5, 0.6, 0.4, 0.5], "chance": 0.1, "planted": True})
    >>> planted_interval(table, n_resamples=50)
    0.400 [-1.000, 1.000] (95%, 2 subjects, 4 clips)
    """
    if of not in ("share", "excess", "hits"):
        raise ValueError(f"of must be one of share, excess, hits; got {of!r}")
    mass = mass[mass["planted"]].reset_index(drop=True)
    values = (mass["share"] - mass["chance"] if of == "excess" else mass[of]).to_numpy()
    draws = draw_subjects(mass, n_resamples=n_resamples, level=level, seed=seed)
    sums, clips = (np.bincount(draws.person, weights=one, minlength=len(draws.names)) for one in (values, None))
    means = (draws.counts @ sums) / (draws.counts @ clips)
    low, high = draws.bounds(means, n_clips=len(values), share=of != "excess")
    return Interval(float(values.mean()), low, high, level, len(values), len(draws.names))


def planted_regions(table: pd.DataFrame, *, truth: Truth, region: str) -> tuple[np.ndarray, np.ndarray]:
    """Where `region` was planted, (n, h, w) bool, and whether each clip shows the AU or its cue changes, (n,) bool."""
    if region not in ("cue", "AUs", *truth.aus):
        raise ValueError(f"no region {region!r} was planted; there are cue, AUs, {', '.join(truth.aus)}")
    changing = dict(zip(truth.table["clip_id"], np.abs(truth.cue_course).max(axis=1) > 0, strict=True))
    names = [name for name in au_columns(table) if name in truth.aus] if region == "AUs" else [region]
    masks, planted = [], []
    for _, row in table.iterrows():
        if region == "cue":
            masks.append(truth.cue_region(row["clip_id"]))
            planted.append(changing[row["clip_id"]])
            continue
        shown = [name for name in names if row.get(name) == 1]
        of_each = [truth.au_mask(row["clip_id"], name) for name in (shown if region == "AUs" else names)]
        masks.append(np.any(of_each, axis=0) if of_each else np.zeros(truth.au_masks.shape[2:], dtype=bool))
        planted.append(bool(shown))
    return np.stack(masks), np.array(planted)


def compare_attributions(
    model: MEDN,
    clips: Clips,
    *,
    target: str,
    methods: Sequence[str] | None = None,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    truth: Truth | None = None,
    n_draws: int = 3,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Compare methods on the same clips and the same target, and each with its maps of random models.

    A random model is the same architecture with all weights drawn at random. Two figures of each map. How alike are the
    maps of the model and of the random models? And on synthetic clips, where the place is known: how much of the map
    falls on the planted region, against the region's share of the area and against the same method on random models?
    Neither alone is enough. A map that shows where something moved does well at the second without using a single
    weight (`bare_change`).

    Parameters
    ----------
    model : MEDN
    clips : Clips
        One dozen to two that show the target: clips of that emotion, or with that AU.
    target : str
        As in :func:`saliency`.
    methods : sequence of str, optional
        Methods by their functions' names; all that tell places apart where None, `bare_change` first.
    params : mapping of str to mapping, optional
        A method's own arguments, by its name.
    truth : Truth, optional
        Of synthetic clips. Frames are compared with the cue's region; flow with that of the AU that is the target, or
        of any of the clip's AUs where the target is no AU.
    n_draws : int
        Random models, at least 1; each costs as much as the model's own maps. The deviation of a share over random
        models is 0.01 to 0.07 on SynthME, so 3 give its mean to 0.04 and the run takes four times that of the maps.
    seed, progress
        As in :func:`randomisation_check`.

    Returns
    -------
    DataFrame
        One row a method and input: ``method``, ``input``, ``target``, ``spearman``, ``spearman_absolute`` and ``ssim``
        with the maps of random models, ``threshold``, ``survives``, ``completeness_error`` (NaN where a method promises
        none), ``seconds`` (of all its maps, those of random models too), ``n_clips``, ``n_draws``; with a truth also
        ``region``, ``share``, ``low``, ``high`` (95 %, subjects resampled; NaN for one subject), ``area``,
        ``random_share``, ``random_low``, ``random_high`` (mean, lowest and highest of the random models), ``hits`` and
        ``random_hits`` (pointing game), and ``n_planted``; NaN where the region was planted in no clip.

    Raises
    ------
    ValueError
        If no method is named or one is unknown, or the model has no such target.

    See Also
    --------
    randomisation_check, planted_mass
    medn_lab.view.plot_attribution_comparison

    References
    ----------
    Adebayo et al.: "Sanity checks for saliency maps", NeurIPS 2018, the random model.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> methods = ["bare_change", "saliency"]
    >>> table = compare_attributions(model, clips, target="happiness", methods=methods, n_draws=1)
    >>> table.loc[table["method"] == "bare_change", "survives"].tolist()
    [True, True]
    """
    known = registered_methods()
    if methods is None:
        methods = sorted((name for name, one in known.items() if one.places), key=lambda name: name != "bare_change")
    if not methods:
        raise ValueError(f"no method is named; give some of {', '.join(known)}")
    rows: list[dict[str, Any]] = []
    for method in methods:
        began = time.perf_counter()
        how: dict[str, Any] = {"params": (params or {}).get(method), "n_draws": n_draws, "seed": seed}
        check = randomisation_check(model, clips, target=target, method=method, progress=progress, **how)
        seconds = time.perf_counter() - began
        own = check.attribution
        for alike in check.last.to_dict("records"):
            row = {
                "method": method, "input": alike["input"], "target": own.target,
                **{name: alike[name] for name in ("spearman", "spearman_absolute", "ssim")},
                "threshold": check.threshold, "survives": alike["input"] in check.surviving,
                "completeness_error": own.sanity.get("completeness_error", np.nan), "n_clips": len(own),
                "n_draws": n_draws,
            }  # fmt: skip
            if truth is not None:
                row |= _planted(check, truth=truth, of=alike["input"])
            rows.append(row | {"seconds": seconds})
    return pd.DataFrame(rows)


def _planted(check: RandomisationCheck, *, truth: Truth, of: Literal["frames", "flow"]) -> dict[str, Any]:
    """The columns of :func:`compare_attributions` that need the truth."""
    own, *random = (planted_mass(maps, truth=truth, of=of) for maps in (check.attribution, *check.randomised))
    shown = own["planted"].to_numpy()
    names = ("share", "low", "high", "area", "random_share", "random_low", "random_high", "hits", "random_hits")
    row = {"region": own.attrs["region"], "n_planted": int(shown.sum())} | dict.fromkeys(names, np.nan)
    if shown.any():
        share, area, hit = own.loc[shown, ["share", "chance", "hits"]].mean()
        row |= {"share": share, "area": area, "hits": hit}
        shares, hits = np.array([one.loc[shown, ["share", "hits"]].mean() for one in random]).T
        row |= {"random_share": shares.mean(), "random_low": shares.min(), "random_high": shares.max()}
        row["random_hits"] = hits.mean()
    if len(own.loc[shown, "subject"].unique()) > 1:
        interval = planted_interval(own, of="share")
        row |= {"low": interval.low, "high": interval.high}
    return row


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
        If the model has no emotion branch, the clips no frames or do not fit, the region is not known, or `n_draws` is
        negative.

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
    if model.emotion_branch is None:
        raise ValueError("this model has only a motion branch; the emotion branch alone keeps and drops positions")
    if clips.frames is None:
        raise ValueError("these clips have no frames, of which the emotion branch would keep positions")
    if n_draws < 0:
        raise ValueError(f"n_draws must be at least 0; got {n_draws}")
    check_clips(model.config, clips)
    masks, scores, mix = _rank_positions(model, clips, batch_size=batch_size, progress=progress)
    table, covers = clips.table, []
    if truth is not None:
        regions, planted = planted_regions(table, truth=truth, region=region)
        drawn = (random_model(model, seed=seed + draw) for draw in range(n_draws))
        random = (_rank_positions(one, clips, batch_size=batch_size, progress=progress)[0] for one in drawn)
        covers = [_cover(places, regions=regions, planted=planted) for places in (masks, *random)]
        if region == "cue" and "cue_kind" in truth.table:
            rows = positions(truth.table, table["clip_id"], owner="Truth")
            table = table.assign(cue_kind=truth.table["cue_kind"].to_numpy()[rows])
    return KeptTokens(
        masks=masks,
        scores=scores,
        mix=mix,
        table=table,
        keep_rates=model.config.keep_rates,
        kept_shares=tuple(float(share) for share in masks[0].mean(axis=(1, 2))),
        cover=covers[0] if covers else None,
        random_cover=np.stack(covers[1:], axis=2) if len(covers) > 1 else None,
        region="" if truth is None else region,
        source=source_of(model, clips, call="kept_tokens", batch_size=batch_size, n_draws=n_draws, seed=seed),
    )


def _rank_positions(
    model: MEDN, clips: Clips, *, batch_size: int, progress: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The masks, ranking scores and mix of :class:`KeptTokens`."""
    config = model.config
    branch = require(model.emotion_branch, otherwise="this model has only a motion branch")
    grid, n_scales = config.size // config.patch, len(config.keep_rates)
    masks, scores, mix = [], [], []
    device = next(model.parameters()).device
    with eval_mode(model), torch.no_grad():
        starts = range(0, len(clips), batch_size)
        for start in tqdm(starts, desc="reading clips", unit="batch", disable=not progress):
            rows = np.arange(start, min(start + batch_size, len(clips)))
            output = branch(as_inputs(config, clips, rows=rows, device=device).frames)
            kept = torch.zeros(len(rows), n_scales, grid * grid, dtype=torch.bool, device=device)
            for scale, positions_kept in enumerate(output.kept):
                kept[:, scale].scatter_(1, positions_kept, True)
            masks.append(kept.view(-1, n_scales, grid, grid).cpu().numpy())
            scores.append(output.scores.view(-1, grid, grid).float().cpu().numpy())
            mix.append(output.mix.float().cpu().numpy())
    return np.concatenate(masks), np.concatenate(scores), np.concatenate(mix)


def _cover(masks: np.ndarray, *, regions: np.ndarray, planted: np.ndarray) -> np.ndarray:
    """The share of each clip's region (h, w) in kept positions, (n, n_scales); NaN where nothing was planted."""
    patch = regions.shape[1] // masks.shape[2]
    pixels = masks.repeat(patch, axis=2).repeat(patch, axis=3)  # (n, n_scales, h, w)
    inside, area = (pixels & regions[:, None]).sum(axis=(2, 3)), regions.sum(axis=(1, 2))
    known = (planted & (area > 0))[:, None]
    return np.where(known, inside / np.maximum(area, 1)[:, None], np.nan).astype(np.float32)
