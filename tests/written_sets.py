"""SynthME written once a test run for all that read it back."""

from functools import lru_cache

import pandas as pd

from medn_lab.records import Clips
from medn_lab.synthme import synthetic_clips, write_dataset

COARSE = {"fps": 30, "size": 96}
"""A dozen frames a clip: small enough to be written by the second."""


@lru_cache(maxsize=1)
def drawn_clips() -> Clips:
    """Twenty-four clips of three people."""
    return synthetic_clips(n_subjects=3, clips_per_subject=8, n_frames=3, seed=11, n_jobs=1)


def written(root, layout: str, **options) -> pd.DataFrame:
    return write_dataset(drawn_clips(), root, layout=layout, **COARSE | options)
