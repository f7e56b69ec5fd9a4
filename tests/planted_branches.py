"""Branches with planted leaks: AUs and a cue that go together, and what each branch holds of both (tests only)."""

import numpy as np
import pandas as pd

from medn_lab.records import BranchFeatures

AUS = ["AU4", "AU6", "AU12"]
STATES = ("flush", "none", "pallor")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def planted(*, inside=0.0, cue_in_motion=0.0, n_subjects=10, clips=24, seed=0):
    """AUs whose shares differ between cues, an emotion branch of the cue and, times `inside`, of AU6."""
    rng = np.random.default_rng(seed)
    n = n_subjects * clips
    cue = rng.integers(0, 3, n)
    aus = (rng.random((n, 3)) < np.array([[0.2, 0.5, 0.3], [0.5, 0.2, 0.3], [0.6, 0.6, 0.3]])[cue]) * 1.0
    table = pd.DataFrame(aus, columns=AUS).assign(
        clip_id=[f"c{i:04d}" for i in range(n)], dataset="planted", cue=np.array(STATES)[cue],
        subject=np.repeat([f"s{i:02d}" for i in range(n_subjects)], clips),
    )  # fmt: skip
    person = rng.normal(size=(n_subjects, 6))[np.arange(n) // clips]
    emotion = 3 * np.eye(3)[cue] @ rng.normal(size=(3, 6)) + person + rng.normal(size=(n, 6))
    emotion[:, 0] += inside * aus[:, 1]
    motion = aus @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(n, 6))
    motion[:, 0] += cue_in_motion * (cue == 1)
    return BranchFeatures(motion, emotion, motion, table)
