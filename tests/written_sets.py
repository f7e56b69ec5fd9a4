"""SynthME written once a test run for all that read it back."""

import tempfile
from functools import cache, lru_cache
from pathlib import Path

import pandas as pd

from medn_lab.data import FlowRecipe
from medn_lab.records import ClipIndex, Clips
from medn_lab.synthme import synthetic_clips, write_dataset

COARSE = {"fps": 30, "size": 96}
"""A dozen frames a clip: small enough to be written by the second."""

TINY = FlowRecipe(name="tiny", size=16, compute_size=32, n_frames=2, register=False)
"""Clips that are prepared in a millisecond."""

_FOLDERS: list[tempfile.TemporaryDirectory] = []


@lru_cache(maxsize=1)
def drawn_clips() -> Clips:
    """Twenty-four clips of three people."""
    return synthetic_clips(n_subjects=3, clips_per_subject=8, n_frames=3, seed=11, n_jobs=1)


def written(root, layout: str, **options) -> pd.DataFrame:
    return write_dataset(drawn_clips(), root, layout=layout, **COARSE | options)


@cache
def shared_set(layout: str, **options) -> tuple[Path, pd.DataFrame]:
    """A data set of small pictures and what was written, for tests that only read it."""
    _FOLDERS.append(tempfile.TemporaryDirectory())
    root = Path(_FOLDERS[-1].name, "set")
    return root, written(root, layout, **{"size": 64, "fps": 15} | options)


def left_out(record: ClipIndex | Clips) -> set[str]:
    """The rows of a sheet that became no clip."""
    return set(record.problems.loc[~record.problems["kept"].astype(bool), "clip_id"])


def is_accounted_for(index: ClipIndex) -> bool:
    """Whether each row of the sheet is one clip or left out."""
    lost = left_out(index)
    return not lost & set(index.table["clip_id"]) and len(index) + len(lost) == index.source["rows"]
