"""Start and stop trainings in one process and watch its memory: ``python tests/endurance/soak.py --starts 50``.

A third of the trainings finish, a third are stopped by a callback and a third interrupted from the keyboard; each
writes a checkpoint, and its model makes predictions. Memory is what the process has written for itself alone (private
dirty pages), read after a collection. The first fifth warms up: the line through the rest must rise by less than 5 %.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import contextlib
import ctypes
import gc
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tiny_clips import tiny_clips

from medn_lab.evaluate import predict
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.train import TrainConfig, fit


class End:
    """Ends a training after its first epoch: asks it to stop, or as Ctrl-C would."""

    def __init__(self, how: str) -> None:
        self.how = how

    def on_epoch_end(self, run: object) -> None:
        run.stopping = self.how == "stopped"
        if self.how == "interrupted":
            raise KeyboardInterrupt


def held_mb() -> float:
    """Memory that is this process's alone, in MB, after a collection."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # what is free goes back, or it would be counted
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def trainings() -> Iterator[str]:
    """How each training ended."""
    clips = tiny_clips(n_subjects=4, clips_per_subject=8)
    with tempfile.TemporaryDirectory(prefix="soak_") as folder:
        for number in range(sys.maxsize):
            how = ("finished", "stopped", "interrupted")[number % 3]
            model = MEDN(MEDNConfig.for_clips(clips, dim=32), seed=number)
            config, out = TrainConfig(epochs=2, batch_size=16, seed=number), Path(folder) / f"c{number}"
            history = fit(model, clips, training=config, callbacks=[End(how)], checkpoint=out, progress=False)
            assert len(predict(model, clips)) == len(clips)
            assert (history.status, len(history)) == (how, 2 if how == "finished" else 1)
            yield history.status


def soak(work: Callable[[], Iterator[str]], option: str, default: int) -> int:
    """Print the memory over so many steps of `work` as JSON; 1 where it was not flat."""
    parser = argparse.ArgumentParser()
    parser.add_argument(f"--{option}", type=int, default=default, dest="count")
    count, steps = parser.parse_args().count, work()
    done, held = zip(*((next(steps), held_mb()) for _ in range(count)), strict=True)
    flat = np.array(held[count // 5 :])
    slope, begin = np.polyfit(np.arange(len(flat)), flat, 1)
    rise = round(100 * slope * (len(flat) - 1) / begin, 2)
    figures = {"begin_mb": round(begin, 1), "end_mb": round(held[-1], 1), "rise_percent": rise}
    print(json.dumps({option: count, "done": {name: done.count(name) for name in sorted({*done})}, **figures}))
    return int(rise >= 5)


if __name__ == "__main__":
    sys.exit(soak(trainings, "starts", 50))
