"""Which clips are shown: by AU set, single AU, subject and data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from medn_lab.records import au_columns
from medn_lab.view.rows import au_set_names, persons

FILTERS = {"au_sets": "AU set", "aus": "AU", "subjects": "subject", "datasets": "data set"}
"""What a filter goes by, and what it is called."""


def filter_values(table: pd.DataFrame) -> dict[str, list[np.ndarray]]:
    """What each filter looks at: for every clip, the values that it answers to, as (n,) arrays of str.

    Two subjects of one name in two data sets are two: they are named ``dataset/subject`` then.
    """
    given: dict[str, list[np.ndarray]] = {name: [] for name in FILTERS}
    aus = au_columns(table)
    if aus or "action_units" in table:
        given["au_sets"] = [au_set_names(table)]
    for au in aus:
        given["aus"].append(np.where(table[au].to_numpy(dtype=float) == 1, au, "").astype(object))
    datasets = table["dataset"].astype(str).to_numpy(dtype=object) if "dataset" in table else None
    if datasets is not None and len(set(datasets)) < 2:
        datasets = None
    if datasets is not None:
        given["datasets"] = [datasets]
    if "subject" in table:
        given["subjects"] = [persons(table).astype(str).to_numpy(dtype=object)]
    return given


def filter_counts(values: Mapping[str, list[np.ndarray]], name: str) -> dict[str, int]:
    """How many clips each value of a filter has: AU sets the most frequent first, all others by name."""
    found: dict[str, int] = {}
    for one in values[name]:
        found |= {str(key): int(count) for key, count in pd.Series(one[one != ""]).value_counts().items()}
    return found if name == "au_sets" else dict(sorted(found.items(), key=lambda item: _natural(item[0])))


def shown_rows(values: Mapping[str, list[np.ndarray]], n: int, wanted: Mapping[str, Iterable[str]]) -> np.ndarray:
    """Which of the `n` clips pass every filter, (n,) of bool; of one filter's values any one suffices.

    Raises
    ------
    ValueError
        If a filter is asked for what no clip has.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "subject": ["1", "2", "2"], "AU4": [1, 1, 0]})
    >>> shown_rows(filter_values(table), 3, {"aus": ["AU4"], "subjects": ["2"]}).tolist()
    [False, True, False]
    """
    kept = np.ones(n, dtype=bool)
    for name, asked in wanted.items():
        asked = [str(one) for one in ([asked] if isinstance(asked, str) else asked)]
        if not asked:
            continue
        there = filter_counts(values, name)
        strange = [one for one in asked if one not in there]
        if strange:
            known = ", ".join(list(there)[:8]) or "none is known here"
            raise ValueError(f"no clip has the {FILTERS[name]} {strange[0]!r}; there are {known}")
        kept &= np.any([np.isin(one, asked) for one in values[name]], axis=0)
    return kept


def _natural(name: str) -> tuple[tuple[int, object], ...]:
    """The order of a reader: AU4 before AU12."""
    runs: list[str] = []
    for letter in name:
        if runs and runs[-1][-1].isdigit() == letter.isdigit():
            runs[-1] += letter
        else:
            runs.append(letter)
    return tuple((0, int(run)) if run.isdigit() else (1, run) for run in runs)
