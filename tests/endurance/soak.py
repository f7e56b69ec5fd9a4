"""Start and stop trainings in one process and watch its memory: ``python tests/endurance/soak.py --starts 50``.

A third of the trainings finish, a third are stopped by a callback and a third interrupted from the keyboard; each is
watched by a callback, written to a checkpoint, and its model asked for predictions. Memory is what the process has
written for itself alone (private dirty pages), read after a collection. The first fifth warms up: the rest must stay
flat, which is the line through it, from its beginning to its end, rising by less than 5 %.
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
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tiny_clips import tiny_clips

from medn_lab.evaluate import predict
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.train import TrainConfig, fit


class StopAfter:
    """Ends a training after an epoch: asks it to stop, or as Ctrl-C would."""

    def __init__(self, how: str) -> None:
        self.how, self.epochs = how, 0

    def on_epoch_end(self, run: object) -> None:
        self.epochs += 1
        if self.how == "stop":
            run.stopping = True
        elif self.how == "interrupt":
            raise KeyboardInterrupt


def held_mb() -> float:
    """Memory that is this process's alone, in MB, after a collection."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # what is free goes back, or it would be counted
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty"):
            return int(line.split()[1]) / 1024
    raise OSError("no figure of private memory")


def one_start(number: int, clips: object, folder: Path) -> str:
    how = ("finish", "stop", "interrupt")[number % 3]
    watcher = StopAfter(how)
    model = MEDN(MEDNConfig.for_clips(clips, dim=32), seed=number)
    config = TrainConfig(epochs=2, batch_size=16, seed=number)
    history = fit(model, clips, training=config, callbacks=[watcher], checkpoint=folder / f"c{number}", progress=False)
    assert len(predict(model, clips)) == len(clips)
    assert watcher.epochs == len(history) == (2 if how == "finish" else 1)
    return history.status


def soak(starts: int) -> dict[str, object]:
    clips = tiny_clips(n_subjects=4, clips_per_subject=8)
    held, ended = [], []
    with tempfile.TemporaryDirectory(prefix="soak_") as folder:
        for number in range(starts):
            ended.append(one_start(number, clips, Path(folder)))
            held.append(held_mb())
    flat = np.array(held[starts // 5 :])
    slope, begin = np.polyfit(np.arange(len(flat)), flat, 1)
    return {
        "starts": starts, "ended": {name: ended.count(name) for name in sorted(set(ended))},
        "mb_after_first": round(held[0], 1), "mb_after_warm_up": round(float(flat[0]), 1),
        "mb_at_end": round(held[-1], 1),
        "rise_percent": round(100 * slope * (len(flat) - 1) / begin, 2),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=50)
    told = soak(parser.parse_args().starts)
    print(json.dumps(told), flush=True)
    return int(told["rise_percent"] >= 5)


if __name__ == "__main__":
    sys.exit(main())
