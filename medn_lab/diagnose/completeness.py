"""Whether a map adds up to the score that it explains, for the methods that claim so."""

from __future__ import annotations

import numpy as np

from medn_lab.records import Attribution, require

COMPLETE = ("integrated_gradients", "gradient_shap")
"""Methods that claim to add up to the score."""


def claimed_completeness(attribution: Attribution) -> dict[str, float]:
    """The figures of :func:`completeness` for a map whose method claims it; none for any other.

    Parameters
    ----------
    attribution : Attribution

    Returns
    -------
    dict
        As :func:`completeness` gives it, or empty.
    """
    return completeness(attribution) if attribution.method in COMPLETE else {}


def completeness(attribution: Attribution) -> dict[str, float]:
    """How nearly the values of each clip add up to its score minus its baseline score.

    Parameters
    ----------
    attribution : Attribution

    Returns
    -------
    dict
        ``completeness_error``: the differences that the maps leave unexplained, summed over clips, as a share of the
        differences themselves; 0 is a complete map, and 1 what a map of zeros would leave. ``completeness_gap_95``: the
        95th percentile of what is left of a clip, in the target's own unit.
    """
    told = "this attribution does not hold what the clips score, so nothing can add up to it"
    scores, without = (require(part, otherwise=told) for part in (attribution.scores, attribution.baseline_scores))
    difference = scores.astype(np.float64) - without
    gap = np.abs(attribution.totals - difference)
    whole = np.abs(difference).sum()
    return {
        "completeness_error": float(gap.sum() / whole) if whole > 0 else float(gap.sum() > 0),
        "completeness_gap_95": float(np.quantile(gap, 0.95)),
    }
