"""Work that grows with the data: folds on two workers, a data set prepared, and what 100, 1,000 and 5,000 clips take.

Run as ``python tests/benchmarks/bench_scale.py folds prepare growth`` (or some of the three). Ratios are of one run,
medians where there are several. Memory is the highest resident set of a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from bench_model import drawn

import medn_lab as medn
from medn_lab.data.frames import FrameFiles
from medn_lab.model import MEDNConfig
from medn_lab.records import ClipIndex
from medn_lab.train import TrainConfig


def timed(function: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[float, Any]:
    """Seconds of a call, and what it returns."""
    began = time.perf_counter()
    made = function(*arguments, **named)
    return time.perf_counter() - began, made


def folds(options: argparse.Namespace) -> list[pd.DataFrame]:
    """Leave one subject out, serially and with two workers that are there already; equal to the last bit."""
    clips = drawn(options.subjects, options.clips, seed=3)
    config = MEDNConfig.for_clips(clips, decoupling="bottleneck")
    how = {"training": TrainConfig(epochs=options.epochs), "progress": False}
    spent = []
    for _ in range(options.rounds + 1):
        one, alone = timed(medn.evaluate.evaluate_loso, config, clips, n_jobs=1, **how)
        two, both = timed(medn.evaluate.evaluate_loso, config, clips, n_jobs=2, **how)
        assert np.array_equal(alone.predictions.logits, both.predictions.logits)
        spent.append((one, two))
    serial, shared = np.median(spent[1:], axis=0)  # the first starts the workers
    row = {"clips": len(clips), "s serial": serial, "s with 2 workers": shared, "times faster": serial / shared}
    return [pd.DataFrame([row])]


def prepare(options: argparse.Namespace) -> list[pd.DataFrame]:
    """A data set in CASME II's layout, cropped, registered and with flow, against reading the same frames alone."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "originals")
        size = {"n_subjects": min(4, options.subjects), "clips_per_subject": min(10, options.clips), "n_frames": 3}
        clips = medn.synthetic_clips(**size, seed=11)
        medn.synthme.write_dataset(clips, root, layout="casme2", tree="raw", fps=30, size=480)  # CASME II's own height
        index = medn.data.read_casme2(root)
        own, read = FrameFiles.__getitem__, []

        def noting(frames: FrameFiles, place: int) -> np.ndarray:
            read.append(frames.paths[place])
            return own(frames, place)

        with patch.object(FrameFiles, "__getitem__", noting):
            serial, made = timed(medn.data.prepare, index, Path(folder, "serial"), progress=False)
        alone, _ = timed(lambda: [medn.data.read_image(path) for path in read] and None)
        few = ClipIndex(index.table.iloc[:8].reset_index(drop=True), index.problems, index.source)
        medn.data.prepare(few, Path(folder, "warm"), n_jobs=2, progress=False)
        two, _ = timed(medn.data.prepare, index, Path(folder, "two"), n_jobs=2, progress=False)
        written = sum(path.stat().st_size for path in Path(folder, "serial").rglob("*") if path.is_file())
    row = {"clips": len(made), "frames read": len(read), "px": made.size[0], "s decoding alone": alone}
    row |= {"s serial": serial, "s with 2 workers": two, "times the decoding": two / alone}
    row |= {"ms a clip": 1e3 * serial / len(made), "bytes a clip": written / len(made)}
    return [pd.DataFrame([row]), memory_of_preparing(options.counts)]


PREPARE = """
import json, sys, time
import medn_lab as medn
import pandas as pd
from medn_lab.records import ClipIndex
root, out, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
index = medn.data.read_casme2(root)
table = index.table
copies = [table.assign(clip_id=table['clip_id'] + f'-{k}') for k in range(-(-count // len(table)))]
index = ClipIndex(pd.concat(copies, ignore_index=True).iloc[:count], index.problems, index.source)
began = time.perf_counter()
medn.data.prepare(index, out, n_jobs=2, progress=False)
spent = time.perf_counter() - began
peak = open('/proc/self/status').read().split('VmHWM:')[1].split()[0]  # ru_maxrss would be the starting process's
print(json.dumps([count, spent, int(peak) / 1e3]))
"""


def memory_of_preparing(counts: list[int]) -> pd.DataFrame:
    """Highest memory while more and more clips are prepared, each in a fresh process."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "originals")
        clips = medn.synthetic_clips(n_subjects=3, clips_per_subject=8, n_frames=3, seed=11)
        medn.synthme.write_dataset(clips, root, layout="casme2", fps=30, size=96)
        for count in counts:
            command = [sys.executable, "-c", PREPARE, str(root), str(Path(folder, f"set{count}")), str(count)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    return pd.DataFrame(rows, columns=["clips", "s with 2 workers", "highest MB"])


def growth(options: argparse.Namespace) -> list[pd.DataFrame]:
    """Disk and seconds of each step at these numbers of clips, and carried on to more on paper.

    Each column follows the power law through its last two measurements.
    """
    rows = []
    model = medn.load_pretrained("medn_tiny.synthme_v2")
    medn.diagnose.warm_umap().join()
    for count in options.counts:
        subjects, row = max(4, count // 30), {"clips": count}
        row["drawing s"], clips = timed(drawn, subjects, -(-count // subjects), seed=5)
        with tempfile.TemporaryDirectory() as folder:
            clips.save(Path(folder, "set"))
            row["disk MB"] = sum(p.stat().st_size for p in Path(folder, "set").rglob("*") if p.is_file()) / 1e6
        network = medn.model.MEDN(MEDNConfig.for_clips(clips, decoupling="bottleneck"))
        row["epoch s"], _ = timed(medn.fit, network, clips, training=TrainConfig(epochs=1), progress=False)
        row["features s"], features = timed(medn.extract_features, model, clips)
        row["CKA s"], _ = timed(medn.diagnose.linear_cka, features.motion, features.emotion)
        row["three maps s"], maps = timed(medn.diagnose.umap, features)
        row["explorer s"], _ = timed(medn.widgets.BranchExplorer, maps, clips=clips, features=features)
        rows.append(row)
    table = pd.DataFrame(rows)
    before, last = table.iloc[-2].clip(lower=1e-9), table.iloc[-1].clip(lower=1e-9)
    power = (np.log(last / before) / np.log(last["clips"] / before["clips"])).clip(lower=0)
    more = pd.DataFrame([last * (count / last["clips"]) ** power for count in (7526, 50_000, 1_000_000)])
    return [table, more]


KINDS = {"folds": folds, "prepare": prepare, "growth": growth}

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("what", nargs="+", choices=KINDS)
    arguments.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 5000])
    arguments.add_argument("--subjects", type=int, default=8, help="of folds; of prepare at most 4")
    arguments.add_argument("--clips", type=int, default=20, help="of each subject of folds; of prepare at most 10")
    arguments.add_argument("--epochs", type=int, default=4, help="of each fold")
    arguments.add_argument("--rounds", type=int, default=3, help="of folds")
    options = arguments.parse_args()
    for what in options.what:
        for table in KINDS[what](options):
            print(table.round(3).to_string(index=False), end="\n\n")
