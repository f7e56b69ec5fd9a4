"""Planted regions: the share of a map, or of the kept positions, that lies in them; methods compared by it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from medn_lab.diagnose.attribution import attribute, random_model, registered_methods
from medn_lab.diagnose.attribution_checks import THRESHOLD, similarity
from medn_lab.evaluate.prediction import source_of
from medn_lab.evaluate.resampling import draw_subjects, ratio
from medn_lab.model import MEDN, as_inputs, check_clips
from medn_lab.model.inputs import eval_mode
from medn_lab.records import Attribution, Clips, KeptTokens, Truth, au_columns, positions, require


def planted_mass(
    attribution: Attribution, *, truth: Truth, of: Literal["frames", "flow"], region: str | None = None
) -> pd.DataFrame:
    """The share of an attribution that falls where SynthME planted a movement or the cue.

    The sign does not count. Frames are summed over time and colour, the flow over its components. Compare it with the
    same figure of :func:`bare_change`, as a map may fall on a region because that is where something moved, and of
    random models, as :func:`compare_attributions` does.

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
        the region's share of the picture's area: what a map without any place would score; and ``planted``, whether the
        region was in use: the clip shows that AU, or its cue changes. Means are of these clips. A share above chance
        says that the map points there. ``.attrs`` holds ``region``.

    Raises
    ------
    ValueError
        If the attribution lacks that input, the region is not known, or a clip is not in the truth.

    See Also
    --------
    bare_change, randomisation_check
    compare_attributions : the mean share with its interval over subjects

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> maps = medn.diagnose.saliency(medn.load_pretrained("medn_tiny.synthme_v2"), clips, target="others")
    >>> planted_mass(maps, truth=clips.truth, of="frames")[["chance", "planted"]].round(2).to_dict("list")
    {'chance': [0.04, 0.04], 'planted': [True, False]}
    """
    values = getattr(attribution, of)
    if values is None:
        raise ValueError(f"the attribution has no {of}; it was made of a model or clips without them")
    if region is None:
        region = "cue" if of == "frames" else attribution.target if attribution.target in truth.aus else "AUs"
    masks, planted = planted_regions(attribution.table, truth=truth, region=region)
    heat = np.abs(values).sum(axis=(1, 4) if of == "frames" else 3, dtype=np.float64)  # (n, h, w)
    if heat.shape != masks.shape:
        raise ValueError(f"the maps are {heat.shape[1:]} px but the truth {masks.shape[1:]}; give the clips' own truth")
    total, inside = (one.sum(axis=(1, 2)) for one in (heat, heat * masks))
    shares = {"share": np.nan_to_num(ratio(inside, total)), "chance": masks.mean(axis=(1, 2))}
    found = attribution.table.assign(**shares, planted=planted)
    found.attrs = {"region": region}
    return found


def planted_regions(table: pd.DataFrame, *, truth: Truth, region: str) -> tuple[np.ndarray, np.ndarray]:
    """Where `region` was planted, (n, h, w) bool, and whether each clip shows the AU or its cue changes, (n,) bool."""
    if region not in ("cue", "AUs", *truth.aus):
        raise ValueError(f"no region {region!r} was planted; there are cue, AUs, {', '.join(truth.aus)}")
    cues = dict(zip(truth.table["clip_id"], np.abs(truth.cue_course).max(axis=1) > 0, strict=True))
    aus = [name for name in au_columns(table) if name in truth.aus] if region == "AUs" else [region]
    masks, planted = [], []
    for row in table.to_dict("records"):
        clip_id, shown = row["clip_id"], [name for name in aus if row.get(name) == 1]
        if region == "cue":
            of_each = [truth.cue_region(clip_id)]
        else:
            of_each = [truth.au_mask(clip_id, name) for name in (shown if region == "AUs" else aus)]
        masks.append(np.any(of_each or [np.zeros(truth.au_masks.shape[2:], dtype=bool)], axis=0))
        planted.append(cues[clip_id] if region == "cue" else bool(shown))
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
    seed : int
        Of the random weights.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row a method and input: ``method``, ``input``, ``target``, ``spearman`` and ``spearman_absolute`` with the
        maps of random models, ``survives``, ``threshold``, ``completeness_error`` (NaN where a method promises none),
        ``seconds`` (of all its maps, those of random models too), ``n_clips``, ``n_draws``; with a truth also
        ``region``, ``share``, ``low``, ``high`` (95 %, subjects resampled; NaN for one subject), ``area``,
        ``random_share``, ``random_low``, ``random_high`` (mean, lowest and highest of the random models), and
        ``n_planted``; NaN where the region was planted in no clip.

    Raises
    ------
    ValueError
        If a method is unknown, or the model has no such target.

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
    if methods is None:
        known = registered_methods().items()
        methods = sorted((name for name, one in known if one.places), key=lambda name: name != "bare_change")
    models = [model, *(random_model(model, seed=seed + draw) for draw in range(n_draws))]
    rows: list[dict[str, Any]] = []
    for method in methods:
        began = time.perf_counter()
        how: dict[str, Any] = {"method": method, "params": (params or {}).get(method), "progress": progress}
        own, *random = (attribute(one, clips, target=target, **how) for one in models)
        alike, error = similarity(own, random), own.sanity.get("completeness_error", np.nan)
        seconds = time.perf_counter() - began
        about = {"threshold": THRESHOLD, "seconds": seconds, "completeness_error": error}
        for row in alike.to_dict("records"):
            row = {"method": method, "target": own.target, **row, **about}
            rows.append(row | ({} if truth is None else _planted(own, random, truth=truth, of=row["input"])))
    return pd.DataFrame(rows)


def _planted(
    own: Attribution, random: Sequence[Attribution], *, truth: Truth, of: Literal["frames", "flow"]
) -> dict[str, Any]:
    """The columns of :func:`compare_attributions` that need the truth; NaN where the region is planted in no clip."""
    mass, *of_random = (planted_mass(maps, truth=truth, of=of) for maps in (own, *random))
    region, shown = mass.attrs["region"], mass["planted"].to_numpy()
    mass, low, high = mass[shown], np.nan, np.nan
    of_draws = pd.Series([one.loc[shown, "share"].mean() for one in of_random])
    if len(set(mass["subject"])) > 1:
        draws = draw_subjects(mass, n_resamples=2000, level=0.95, seed=0)
        every = np.arange(len(mass))
        sums = draws.counts @ draws.tally(every, weights=mass["share"])
        low, high = draws.bounds(sums / (draws.counts @ draws.tally(every)), n_clips=len(mass), share=True)
    return {
        "region": region, "n_planted": len(mass), "share": mass["share"].mean(), "low": low, "high": high,
        "area": mass["chance"].mean(), "random_share": of_draws.mean(), "random_low": of_draws.min(),
        "random_high": of_draws.max(),
    }  # fmt: skip


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
    if clips.frames is None:
        raise ValueError("these clips have no frames, of which the emotion branch would keep positions")
    check_clips(model.config, clips)
    masks, scores, mix = _rank_positions(model, clips, batch_size=batch_size, progress=progress)
    table, covers = clips.table, []
    if truth is not None:
        regions, planted = planted_regions(table, truth=truth, region=region)
        regions = (regions & planted[:, None, None])[:, None]
        drawn = (random_model(model, seed=seed + draw) for draw in range(n_draws))
        side = regions.shape[-1] // masks.shape[-1]
        how: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
        for kept in (masks, *(_rank_positions(one, clips, **how)[0] for one in drawn)):
            inside = (kept.repeat(side, axis=2).repeat(side, axis=3) & regions).sum(axis=(2, 3))
            covers.append(ratio(inside, regions.sum(axis=(2, 3))).astype(np.float32))
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


def _rank_positions(model: MEDN, clips: Clips, *, batch_size: int, progress: bool) -> list[np.ndarray]:
    """The masks, ranking scores and mix of :class:`KeptTokens`."""
    config, device = model.config, next(model.parameters()).device
    branch = require(model.emotion_branch, otherwise="this model has only a motion branch, which keeps all positions")
    grid = config.size // config.patch
    parts = []
    with eval_mode(model), torch.no_grad():
        for start in tqdm(range(0, len(clips), batch_size), desc="reading clips", unit="batch", disable=not progress):
            rows = np.arange(start, min(start + batch_size, len(clips)))
            output = branch(as_inputs(config, clips, rows=rows, device=device).frames)
            kept = torch.zeros(len(output.kept), len(rows), grid * grid, dtype=torch.bool, device=device)
            for mask, places in zip(kept, output.kept, strict=True):
                mask.scatter_(1, places, True)
            masks = kept.movedim(0, 1).unflatten(2, (grid, grid))
            made = (masks, output.scores.float().view(-1, grid, grid), output.mix.float())
            parts.append([one.cpu().numpy() for one in made])
    return [np.concatenate(batches) for batches in zip(*parts, strict=True)]
