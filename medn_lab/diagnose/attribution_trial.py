"""Every way of making a map put to one trial: what it owes to the network, and whether it finds what was planted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from medn_lab.diagnose.completeness import claimed_completeness
from medn_lab.diagnose.planted import planted_mass
from medn_lab.diagnose.randomisation import RandomisationCheck, randomisation_check
from medn_lab.model import MEDN
from medn_lab.records import Attribution, Clips, Truth

METHODS = ("bare_change", "saliency", "integrated_gradients", "gradient_shap", "grad_cam", "occlusion")
"""What is tried by default: everything that tells places; ``frame_ablation`` tells moments."""


def compare_attributions(
    model: MEDN,
    clips: Clips,
    *,
    target: str,
    methods: Sequence[str] = METHODS,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    truth: Truth | None = None,
    n_draws: int = 2,
    threshold: float = 0.5,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Try several methods on the same clips and the same target, each beside itself on random weights.

    Two questions are asked of each map. Does it know the network: with all weights drawn at random, how much alike are
    the two maps? And on synthetic clips, where the place is known: how much of it falls on the planted region, against
    the region's share of the area and against the same method on random weights? Neither alone is enough. A map that
    shows where something moved does well at the second without having looked at a single weight (`bare_change`).

    Parameters
    ----------
    model : MEDN
    clips : Clips
        One dozen to two, all of which can be asked for the target: clips of that emotion, or that show that AU.
    target : str
        As in :func:`saliency`.
    methods : sequence of str
        Methods by their functions' names.
    params : mapping of str to mapping, optional
        A method's own arguments, by its name.
    truth : Truth, optional
        Of synthetic clips. Frames are compared with the cue's region; flow with that of the AU that is the target, or
        of any of the clip's AUs where the target is no AU.
    n_draws, threshold, seed, progress
        As in :func:`randomisation_check`.

    Returns
    -------
    DataFrame
        One row a method and input: ``method``, ``input``, ``target``, ``spearman``, ``spearman_absolute`` and ``ssim``
        with the map of random weights, ``threshold``, ``survives``, ``completeness_error`` (NaN where a method promises
        none), ``seconds`` (of all its maps, those of random weights too), ``n_clips``; with a truth also ``region``,
        ``share``, ``low``, ``high`` (95 %, subjects resampled; NaN for one subject), ``area``, ``random_share`` and
        ``hits``, ``random_hits`` (pointing game), and ``n_planted``; NaN where the region was planted in no clip.

    Raises
    ------
    ValueError
        If no method is named or one is unknown, or the model has no such target.

    See Also
    --------
    randomisation_check, planted_mass
    medn_lab.view.plot_attribution_comparison

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
    if not methods:
        raise ValueError("no method is named; give some of " + ", ".join(METHODS))
    rows = []
    for method in methods:
        began = time.perf_counter()
        check = randomisation_check(
            model, clips, target=target, method=method, params=(params or {}).get(method), n_draws=n_draws,
            threshold=threshold, seed=seed, progress=progress,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        rows += [row | {"seconds": seconds} for row in _rows(check, truth=truth)]
    return pd.DataFrame(rows)


def _rows(check: RandomisationCheck, *, truth: Truth | None) -> list[dict[str, Any]]:
    own, rows = check.attribution, []
    last = check.table[check.table["stage"] == "all weights"]
    for found in last.to_dict("records"):
        row = {
            "method": own.method, "input": found["input"], "target": own.target,
            **{name: found[name] for name in ("spearman", "spearman_absolute", "ssim")},
            "threshold": check.threshold, "survives": found["input"] in check.surviving,
            "completeness_error": _gap(own), "n_clips": len(own),
        }  # fmt: skip
        if truth is not None:
            row |= _planted(own, check.randomised, truth=truth, of=found["input"])
        rows.append(row)
    return rows


def _gap(own: Attribution) -> float:
    return claimed_completeness(own).get("completeness_error", np.nan)


def _planted(
    own: Attribution, randomised: Attribution, *, truth: Truth, of: Literal["frames", "flow"]
) -> dict[str, Any]:
    region = "cue" if of == "frames" else own.target if own.target in truth.aus else "AUs"
    here, there = (planted_mass(each, truth=truth, region=region, of=of) for each in (own, randomised))
    names = ("share", "low", "high", "area", "random_share", "hits", "random_hits")
    row = {"region": region, "n_planted": int(here.planted.sum())} | dict.fromkeys(names, np.nan)
    if not here.planted.any():
        return row
    figures = {"share": here.share, "area": here.chance, "random_share": there.share,
               "hits": here.hits, "random_hits": there.hits}  # fmt: skip
    row |= {name: float(values[here.planted].mean()) for name, values in figures.items()}
    if len(here.table["subject"][here.planted].unique()) > 1:
        interval = here.interval(of="share")
        row |= {"low": interval.low, "high": interval.high}
    return row
