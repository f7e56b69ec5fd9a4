"""Gestures in one explorer, and its memory: ``python tests/endurance/soak_explorer.py --gestures 200``.

What a reader does by hand is done by the methods that the handlers call: select, show, colour, filter, clear. The first
fifth warms up (pictures of clips are remembered up to a fixed number); over the rest private memory must stay flat.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sample_records import sample_clips, sample_embedding, sample_features, sample_predictions
from soak import soak

from medn_lab.diagnose import selection_measures
from medn_lab.widgets import BranchExplorer

COLOURS = ("label", "subject", "predicted")


def gestures() -> Iterator[str]:
    """One of seven things that a reader does, again and again."""
    clips = sample_clips(n=200)
    features = sample_features(clips)
    predictions, measure = sample_predictions(clips), selection_measures(features)
    maps = sample_embedding(features)
    explorer = BranchExplorer(maps, clips=clips, predictions=predictions, features=features, measure=measure)
    ids, rng = clips.table["clip_id"].to_numpy(), np.random.default_rng(0)
    for number in range(sys.maxsize):
        explorer.select(rng.choice(ids, size=40, replace=False))
        yield "select"
        explorer.show(str(rng.choice(ids)))
        yield "show"
        explorer.colour_by = COLOURS[number % len(COLOURS)]
        yield "colour"
        explorer.select_same_aus()
        yield "same AUs"
        explorer.filters = {"subject": str(rng.choice(explorer.shown["subject"].unique()))}
        yield "filter"
        explorer.show_all()
        explorer.clear()
        yield "clear"


if __name__ == "__main__":
    sys.exit(soak(gestures, "gestures", 200))
