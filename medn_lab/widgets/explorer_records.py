"""What the explorer reads from its records: which maps, where partners are looked for, what cannot be shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medn_lab.records import BranchFeatures, Embedding, positions
from medn_lab.view.maps import map_names
from medn_lab.view.rows import label_column

MOST_MAPS = 3
"""More do not find room beside each other."""


def names_of_maps(embedding: Embedding, wanted: Sequence[str] | None) -> list[str]:
    """Which maps are shown: those asked for, else the branches', else the first layers'."""
    there = list(embedding.maps)
    names = (map_names(embedding) or there[:MOST_MAPS]) if wanted is None else list(wanted)
    strange = [name for name in names if name not in there]
    if strange or not 0 < len(names) <= MOST_MAPS or len(set(names)) < len(names):
        raise ValueError(f"maps are {names}; name one to {MOST_MAPS} different ones of {', '.join(there)}")
    return names


def partner_places(embedding: Embedding, features: BranchFeatures | None, names: list[str]) -> tuple[np.ndarray, str]:
    """Where each clip lies for the search of partners, and what that place is called."""
    if features is not None and features.motion is not None:
        rows = positions(features.table, embedding.table["clip_id"], owner="these BranchFeatures")
        return np.asarray(features.motion[rows], dtype=float), "motion features"
    branches = map_names(embedding)
    name = next((one for one in ("motion", "fused", "emotion") if one in branches), names[0])
    return np.asarray(embedding.maps[name], dtype=float), f"{name} map"


def doubts_about(table: pd.DataFrame) -> str:
    """What cannot be shown of these records, as sentences."""
    told = []
    if not len(table):
        told.append("There are no clips on these maps.")
    column = label_column(table)
    if "classes" in table.attrs and column is not None:
        unknown = sorted(set(table[column].dropna().astype(str)) - set(map(str, table.attrs["classes"])))
        if unknown:
            told.append(
                f"The predictions know {', '.join(table.attrs['classes'])} and not {', '.join(unknown)}: clips so"
                " labelled are counted neither as right nor as wrong."
            )
    return " ".join(told)
