"""A model run over clips: what it says, and what its branches hold."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from medn_lab.model import MEDN, MEDNOutput, as_inputs, check_clips, device_name, weights_sha256
from medn_lab.records import BranchFeatures, Clips, Predictions, run_record


def predict(model: MEDN, clips: Clips, *, batch_size: int = 64, progress: bool = False) -> Predictions:
    """Emotion and AU scores of every clip.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode and left in the mode it was in.
    clips : Clips
    batch_size : int
        Clips a forward pass; the scores do not depend on it beyond rounding.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Predictions
        One row a clip, in the order of `clips`. ``au_logits`` is None where the model or the clips have no flow.

    Raises
    ------
    ValueError
        If the clips do not fit the model or hold NaN.

    Warns
    -----
    UserWarning
        If the clips lack what one of the model's two branches reads, so that the other decides alone.

    See Also
    --------
    extract_features, medn_lab.view.plot_scores

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> predictions = medn.predict(medn.load_pretrained("medn_tiny.synthme_v2"), clips)
    >>> predictions.logits.shape, predictions.au_logits.shape, predictions.table["label"].tolist()
    ((2, 5), (2, 16), ['repression', 'others'])
    """
    outputs = list(_outputs(model, clips, batch_size=batch_size, progress=progress))
    has_aus = outputs[0].au_logits is not None and bool(model.config.aus)
    return Predictions(
        logits=_stacked([out.logits for out in outputs]),
        au_logits=_stack([out.au_logits for out in outputs]) if has_aus else None,
        aus=model.config.aus if has_aus else (),
        table=clips.table,
        classes=model.config.classes,
        source=source_of(model, clips, call="predict", batch_size=batch_size),
    )


def extract_features(model: MEDN, clips: Clips, *, batch_size: int = 64, progress: bool = False) -> BranchFeatures:
    """The features of both branches, the fused one and the gate, from one pass over the clips.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode and left in the mode it was in.
    clips : Clips
    batch_size : int
        Clips a forward pass.
    progress : bool
        Show a progress bar.

    Returns
    -------
    BranchFeatures
        ``motion (n, d)``, ``emotion (n, d)`` or ``(n, code_dim)`` under the bottleneck, ``fused (n, d)``, ``gate
        (n, d)``, ``nats (n,)``; a part that the model or the clips lack is None.

    Raises
    ------
    ValueError
        If the clips do not fit the model or hold NaN.

    See Also
    --------
    predict, medn_lab.diagnose.umap

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> features = medn.extract_features(medn.load_pretrained("medn_tiny.synthme_v2"), clips)
    >>> features.fused.shape, features.gate.shape, len(features.table)
    ((2, 64), (2, 64), 2)
    """
    outputs = list(_outputs(model, clips, batch_size=batch_size, progress=progress))
    parts: dict[str, Any] = {
        name: _stack([getattr(out, name) for out in outputs]) for name in ("motion", "emotion", "fused", "gate", "nats")
    }
    source = source_of(model, clips, call="extract_features", batch_size=batch_size)
    return BranchFeatures(**parts, table=clips.table, source=source)


def _outputs(model: MEDN, clips: Clips, *, batch_size: int, progress: bool) -> Iterator[MEDNOutput]:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
    check_clips(model.config, clips)
    lacking = [name for name in ("frames", "flow") if getattr(clips, name) is None]
    if model.config.branches == "both" and lacking:
        warnings.warn(
            f"the clips have no {lacking[0]}: the {'motion' if lacking == ['frames'] else 'emotion'} branch decides"
            " alone, which this model was not trained for",
            UserWarning,
            stacklevel=3,
        )
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        starts = range(0, len(clips), batch_size)
        for start in tqdm(starts, desc="reading clips", unit="batch", disable=not progress):
            rows = np.arange(start, min(start + batch_size, len(clips)))
            with torch.inference_mode():
                output = model(*as_inputs(model.config, clips, rows=rows, device=device))
            _check_numbers(output, clips, rows)
            yield output
    finally:
        model.train(was_training)


def _check_numbers(output: MEDNOutput, clips: Clips, rows: np.ndarray) -> None:
    """Raise ValueError where the network overflowed; its clips then hold numbers, but none that a face could move."""
    parts = [part for part in (output.logits, output.au_logits, output.fused) if part is not None]
    broken = ~torch.stack([part.isfinite().flatten(1).all(dim=1) for part in parts]).all(dim=0).cpu().numpy()
    if broken.any():
        raise ValueError(
            f"the scores of {broken.sum()} of {len(rows)} clips are not numbers, such as those of"
            f" {clips.table['clip_id'].iloc[rows[broken.argmax()]]!r}; look at those clips for extreme flow"
        )


def _stack(parts: list[torch.Tensor | None]) -> np.ndarray | None:
    there = [part for part in parts if part is not None]
    return _stacked(there) if there else None


def _stacked(parts: list[torch.Tensor]) -> np.ndarray:
    return torch.cat(parts).float().cpu().numpy()


def source_of(model: MEDN, clips: Clips, *, call: str, **settings: Any) -> dict[str, Any]:
    """What a record says of the model and the clips that it came from, and how it is made again.

    Parameters
    ----------
    model : MEDN
    clips : Clips
    call : str
        The function's name.
    **settings
        The function's own arguments, JSON-ready.

    Returns
    -------
    dict
        ``name, sha256, recipe, decoupling`` and ``run``.
    """
    # The order of sums, and with it the last digits, depends on the number of threads.
    where = {"device": device_name(next(model.parameters()).device), "threads": torch.get_num_threads()}
    return {
        "name": model.name,
        "sha256": weights_sha256(model),
        "recipe": dict(clips.recipe),
        "decoupling": model.config.decoupling,
        "run": run_record(call, table=clips.table, **where, **settings),
    }
