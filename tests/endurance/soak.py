"""Watch the memory of a process over many trainings, or over many gestures in one explorer.

``python tests/endurance/soak.py trainings --steps 50``: a third of the trainings finish, a third are stopped by a
callback and a third interrupted from the keyboard; each writes a checkpoint, and its model makes predictions.
``python tests/endurance/soak.py gestures --steps 200``: what a reader does by hand is done by the methods that the
handlers call: select, show, colour, filter, clear.
Memory is what the process has written for itself alone (private dirty pages), read after a collection. The first fifth
warms up: the line through the rest must rise by less than 5 %.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import contextlib
import ctypes
import gc
import itertools
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sample_records import sample_of_each
from tiny_clips import Watch, tiny_clips

from medn_lab import diagnose, evaluate, widgets
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.train import TrainConfig, fit


def trainings() -> Iterator[str]:
    """How each training ended."""
    clips = tiny_clips(n_subjects=4, clips_per_subject=8)
    with tempfile.TemporaryDirectory(prefix="soak_") as folder:
        for number in itertools.count():
            how = ("finished", "stopped", "interrupted")[number % 3]
            watch = Watch(stop=1 if how == "stopped" else None, interrupt=1 if how == "interrupted" else None)
            model = MEDN(MEDNConfig.for_clips(clips, dim=32), seed=number)
            config, out = TrainConfig(epochs=2, batch_size=16, seed=number), Path(folder) / f"c{number}"
            history = fit(model, clips, training=config, callbacks=[watch], checkpoint=out, progress=False)
            assert len(evaluate.predict(model, clips)) == len(clips)
            assert (history.status, len(history)) == (how, 2 if how == "finished" else 1)
            yield history.status


def gestures() -> Iterator[str]:
    """One of six things that a reader does, again and again; pictures of clips are kept up to a fixed number."""
    records = sample_of_each(n=200)
    explorer = widgets.BranchExplorer(**records, measure=diagnose.selection_measures(records["features"]))
    ids, rng = records["clips"].table["clip_id"].to_numpy(), np.random.default_rng(0)
    for number in itertools.count():
        explorer.select(rng.choice(ids, size=40, replace=False))
        yield "select"
        explorer.show(str(rng.choice(ids)))
        yield "show"
        explorer.colour_by = ("label", "subject", "predicted")[number % 3]
        yield "colour"
        explorer.select_same_aus()
        yield "same AUs"
        explorer.filters = {"subject": str(rng.choice(explorer.shown["subject"].unique()))}
        yield "filter"
        explorer.show_all()
        explorer.clear()
        yield "clear"


def held_mb() -> float:
    """Memory that is this process's alone, in MB, after a collection."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # what is free goes back, or it would be counted
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


WORK = {"trainings": trainings, "gestures": gestures}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", choices=WORK)
    parser.add_argument("--steps", type=int, default=50)
    options = parser.parse_args()
    steps = itertools.islice(WORK[options.work](), options.steps)
    done, held = zip(*((step, held_mb()) for step in steps), strict=True)
    flat = held[options.steps // 5 :]
    slope, begin = np.polyfit(range(len(flat)), flat, 1)
    rise = round(100 * slope * (len(flat) - 1) / begin, 2)
    figures = {"begin_mb": round(begin, 1), "end_mb": round(held[-1], 1), "rise_percent": rise}
    print(json.dumps({"done": Counter(done), **figures}))
    sys.exit(int(rise >= 5))
