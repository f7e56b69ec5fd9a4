"""What one row of a decoupling report says, in words: meaning, direction, what it rests on, how to read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from medn_lab.view.dependence import NAMES

MEANINGS = {
    "linear_cka": "how alike the two branches arrange the clips, as far as straight lines go (0 without dependence, 1"
    " for a rotated copy)",
    "distance_correlation": "whether clips that are near in one branch are near in the other, bends included (0 without"
    " dependence, 1 for a rotated copy)",
    "hsic": "any dependence that a Gaussian kernel sees, bends included; it has no scale of its own, so read it beside"
    " its null alone",
    "canonical_correlations": "the largest correlation of any direction in one branch with any in the other; it is"
    " large by chance where there are many features",
    "branch_correlation": "the mean squared correlation over all pairs of features; straight lines alone",
    "absolute_cosine": "how parallel the two features of a clip point, which is what the orthogonal loss lowers; 0 does"
    " not mean that they know nothing of each other",
}
SMALLEST = "It takes 4 clips or more."


def explain_row(row: Mapping[str, object]) -> tuple[str, str]:
    """A row of ``DecouplingReport.table`` in words.

    Parameters
    ----------
    row : mapping
        Column to value; what is missing is not spoken of.

    Returns
    -------
    what, reading : str
        What was measured with its figures, and how to read them; plain text.
    """
    kind = _text(row, "kind")
    told = {"dependence": _dependence, "leakage": _leak, "information": _information}.get(kind, _other)
    return told(row)


def _dependence(row: Mapping[str, object]) -> tuple[str, str]:
    measure = _text(row, "measure")
    given = _text(row, "given")
    name = NAMES.get(measure, measure)
    what = f"{name} of motion and emotion branch{_of(row)}{f', given {_factor(given)}' if given else ''}"
    if not np.isfinite(_number(row, "value")):
        return f"{what}: no figure. {_reason(row)}", _rests(row)
    value, top = _number(row, "value"), _number(row, "null_95")
    what += f": {value:.3g}"
    if np.isfinite(top):
        within = _text(row, "within")
        exchanged = f"clips exchanged inside {within.replace('aus', 'AU set')}" if within else "all clips exchanged"
        what += (
            f"; its null has mean {_number(row, 'null_mean'):.3g} and 95th percentile {top:.3g}"
            f" ({exchanged}), p {_number(row, 'p'):.3g}"
        )
    found = _number(row, "p") <= 0.05
    reading = [f"It says {MEANINGS[measure]}." if measure in MEANINGS else "", "Lower is better decoupled."]
    if np.isfinite(top):
        assumed = (
            "stationary in time" if "by shifts" in _text(row, "within") else "exchangeable, without a drift in time"
        )
        reading.append(f"The null assumes that the clips inside a group are {assumed}.")
    if np.isfinite(_number(row, "p")):
        reading.append(
            "It lies above its null: chance does not explain it."
            if found
            else "It lies within its null: this many clips show no dependence, which is no proof that there is none."
        )
    allowed = _number(row, "allowed")
    if np.isfinite(allowed):
        reading.append(
            f"Of the AUs and the cue (or label) themselves, which the branches should hold, it is {allowed:.3g}."
        )
    return f"{what}.", " ".join(filter(None, [*reading, _rests(row), SMALLEST]))


def _leak(row: Mapping[str, object]) -> tuple[str, str]:
    target, branch = _text(row, "target"), _text(row, "branch")
    named = "the AUs (mean)" if target == "AUs" else target
    what = f"{named} read from the {branch} branch{_of(row)}"
    if not np.isfinite(_number(row, "value")):
        return f"{what}: no figure. {_reason(row)}", _rests(row)
    what += f": AUC {_number(row, 'value'):.3f}{_bounds(row, 'low', 'high')}"
    allowed, excess = _number(row, "allowed"), _number(row, "excess")
    if np.isfinite(allowed):
        what += f"; the factor that this branch should hold allows {allowed:.3f}, excess {excess:+.3f}"
        what += _bounds(row, "excess_low", "excess_high", signed=True)
    if np.isfinite(_number(row, "null_mean")):
        what += f"; shuffled labels give {_number(row, 'null_mean'):.3f}"
        what += f" (p {_number(row, 'p'):.2g})" if np.isfinite(_number(row, "p")) else ""
    if np.isfinite(_number(row, "worst_auc")):
        what += f"; the worst single AU is {_text(row, 'worst_target')}, AUC {_number(row, 'worst_auc'):.3f}"
    reading = ["A probe, tested on persons it was not trained on: .5 is guessing, 1 is perfect."]
    reading.append(
        "Here high is good: the branch is there to hold it."
        if _text(row, "direction") == "higher"
        else "Here it should be no higher than what is allowed."
    )
    if _number(row, "excess_low") > 0:
        reading.append("The interval of the excess lies above 0: a leak.")
    elif np.isfinite(excess):
        low = _number(row, "excess_high") < 0
        reading.append(
            "The branch tells less than its factor would."
            if low
            else "The excess cannot be told from 0: no leak found."
        )
    return f"{what}.", " ".join([*reading, _rests(row)])


def _information(row: Mapping[str, object]) -> tuple[str, str]:
    if not np.isfinite(_number(row, "value")):
        return f"Nats of the emotion code{_of(row)}: no figure. {_reason(row)}", _rests(row)
    what = f"The emotion code{_of(row)} carries {_number(row, 'value'):.2f} nats a clip{_bounds(row, 'low', 'high')}"
    allowed, target = _number(row, "allowed"), _text(row, "target") or "its factor"
    if np.isfinite(allowed):
        what += f"; the {target} itself holds {allowed:.2f}"
    reading = (
        "An upper bound on what the code can say of the clip; it should be no more than what it is to hold. More is"
    )
    return f"{what}.", f"{reading} room for a leak, not yet a leak. {_rests(row)}"


def _other(row: Mapping[str, object]) -> tuple[str, str]:
    return f"{_text(row, 'measure') or 'a measure'}{_of(row)}: {_number(row, 'value'):.3g}.", _rests(row)


def _rests(row: Mapping[str, object]) -> str:
    said = []
    if np.isfinite(_number(row, "n_positive")):
        said.append(f"{_number(row, 'n_positive'):.0f} clips with it")
    if np.isfinite(_number(row, "n_clips")):
        said.append(f"{_number(row, 'n_clips'):.0f} clips")
    if np.isfinite(_number(row, "n_subjects")):
        said.append(f"{_number(row, 'n_subjects'):.0f} subjects")
    return f"It rests on {', '.join(said)}." if said else ""


def _bounds(row: Mapping[str, object], low: str, high: str, *, signed: bool = False) -> str:
    ends = _number(row, low), _number(row, high)
    form = "+.3f" if signed else ".3f"
    return f" [{ends[0]:{form}}, {ends[1]:{form}}]" if np.isfinite(ends).all() else ""


def _of(row: Mapping[str, object]) -> str:
    return f" of {_text(row, 'model')}" if _text(row, "model") else ""


def _factor(given: str) -> str:
    return "the AU set" if given == "aus" else f"the {given}"


def _reason(row: Mapping[str, object]) -> str:
    reason = _text(row, "reason") or "it could not be computed"
    return f"{reason[0].upper()}{reason[1:]}."


def _text(row: Mapping[str, object], name: str) -> str:
    value = row.get(name)
    return "" if value is None or value != value else str(value)


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return np.nan if value is None or value == "" else float(value)
