"""Which positions of the face each keep rate kept, and how much of what was planted they cover."""

from __future__ import annotations

import numpy as np
import torch
from tqdm.auto import tqdm

from medn_lab.diagnose.attribution import eval_mode
from medn_lab.diagnose.attribution_planted import planted_regions
from medn_lab.evaluate.prediction import source_of
from medn_lab.model import MEDN, as_inputs, check_clips
from medn_lab.records import Clips, KeptTokens, Truth, positions


def kept_tokens(
    model: MEDN,
    clips: Clips,
    *,
    truth: Truth | None = None,
    region: str = "cue",
    batch_size: int = 64,
    progress: bool = False,
) -> KeptTokens:
    """The positions that the emotion branch kept of each clip at each keep rate.

    What is not kept cannot reach the score; what is kept need not matter. With truth, *cover* says how much of the
    planted region lies in kept positions. Positions chosen at random would cover as much of any region as they are of
    the face: the keep rate is chance.

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
    batch_size : int
        Clips a forward pass.
    progress : bool
        Show a progress bar.

    Returns
    -------
    KeptTokens
        ``masks (n, n_scales, grid, grid)``, the ranking ``scores (n, grid, grid)``, the scales' weights ``mix``, and
        ``cover (n, n_scales)`` where there is truth. Where the truth knows each clip's kind of cue, the table has it as
        ``cue_kind``, and ``to_frame`` has a row a kind.

    Raises
    ------
    ValueError
        If the model has no emotion branch, the clips no frames or do not fit, or the region is not known.

    See Also
    --------
    grad_cam : what the kept positions said.
    medn_lab.view.plot_kept_tokens

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> kept = kept_tokens(medn.load_pretrained("medn_tiny.synthme_v2"), clips)
    >>> kept.masks.shape, kept.keep_rates
    ((1, 2, 16, 16), (0.25, 0.125))
    """
    branch = model.emotion_branch
    if branch is None:
        raise ValueError("this model has only a motion branch; the emotion branch alone keeps and drops positions")
    if clips.frames is None:
        raise ValueError("these clips have no frames, of which the emotion branch would keep positions")
    check_clips(model.config, clips)
    config = model.config
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
    places, table, cover = np.concatenate(masks), clips.table, None
    if truth is not None:
        regions, planted = planted_regions(table, truth=truth, region=region)
        pixels = places.repeat(config.patch, axis=2).repeat(config.patch, axis=3)  # (n, n_scales, h, w)
        inside, area = (pixels & regions[:, None]).sum(axis=(2, 3)), regions.sum(axis=(1, 2))
        known = (planted & (area > 0))[:, None]
        cover = np.where(known, inside / np.maximum(area, 1)[:, None], np.nan).astype(np.float32)
        if region == "cue" and "cue_kind" in truth.table:
            rows = positions(truth.table, table["clip_id"], owner="Truth")
            table = table.assign(cue_kind=truth.table["cue_kind"].to_numpy()[rows])
    return KeptTokens(
        masks=places,
        scores=np.concatenate(scores),
        mix=np.concatenate(mix),
        table=table,
        keep_rates=config.keep_rates,
        kept_shares=tuple(float(share) for share in places[0].mean(axis=(1, 2))),
        cover=cover,
        region="" if truth is None else region,
        source=source_of(model, clips, call="kept_tokens", batch_size=batch_size),
    )
