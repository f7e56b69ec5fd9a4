"""Gestures in one explorer, and its memory: ``python tests/endurance/soak_explorer.py --gestures 200``.

What a reader does by hand is done by the methods that the handlers call: select, show, colour, filter, clear. The first
fifth warms up (pictures of clips are remembered up to a fixed number); over the rest private memory must stay flat.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sample_records import sample_clips, sample_embedding, sample_features, sample_predictions
from soak import held_mb

from medn_lab.diagnose import selection_measures
from medn_lab.widgets import BranchExplorer

COLOURS = ("label", "subject", "predicted")


def gesture(explorer: BranchExplorer, number: int, ids: np.ndarray) -> None:
    """One of seven things that a reader does."""
    rng = np.random.default_rng(number)
    kind = number % 7
    if kind in (0, 1):
        explorer.select(rng.choice(ids, size=40, replace=False))
    elif kind == 2:
        explorer.show(str(rng.choice(ids)))
    elif kind == 3:
        explorer.colour_by = COLOURS[number // 7 % len(COLOURS)]
    elif kind == 4:
        explorer.select_same_aus()
    elif kind == 5:
        explorer.filter(subjects=[str(rng.choice(explorer.shown["subject"].unique()))])
    else:
        explorer.filter()
        explorer.clear()


def soak(gestures: int) -> dict[str, object]:
    """Memory after each gesture, and how much of it the rest has added."""
    clips = sample_clips(n=200)
    features = sample_features(clips)
    explorer = BranchExplorer(
        sample_embedding(features), clips=clips, predictions=sample_predictions(clips), features=features,
        measure=selection_measures(features),
    )  # fmt: skip
    ids = clips.table["clip_id"].to_numpy()
    explorer.show(str(ids[0]))
    held = []
    for number in range(gestures):
        gesture(explorer, number, ids)
        held.append(held_mb())
    flat = np.array(held[gestures // 5 :])
    slope, begin = np.polyfit(np.arange(len(flat)), flat, 1)
    rise = 100 * slope * (len(flat) - 1) / begin
    return {
        "gestures": gestures,
        "begin_mb": round(begin, 1),
        "end_mb": round(held[-1], 1),
        "rise_percent": round(rise, 2),
    }


def main() -> int:
    """Print the figures as JSON; 1 where memory was not flat."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--gestures", type=int, default=200)
    told = soak(arguments.parse_args().gestures)
    print(json.dumps(told))
    return int(told["rise_percent"] >= 5)


if __name__ == "__main__":
    sys.exit(main())
