"""Work that grows with the data: folds on two workers, a data set prepared, and what 100, 1,000 and 5,000 clips take.

Run as ``python tests/benchmarks/bench_scale.py folds prepare growth`` (or some of the three). Ratios are of one run,
medians where there are several. Memory is the highest resident set of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import medn_lab as medn
from medn_lab.model import MEDNConfig
from medn_lab.records import ClipIndex, Clips
from medn_lab.train import TrainConfig


def labelled(clips: Clips) -> Clips:
    """SynthME's five classes as labels."""
    return clips.with_table(medn.data.to_classes(clips.table, "synthme_5class")[0])


def folds(*, subjects: int, per_subject: int, epochs: int, rounds: int) -> pd.DataFrame:
    """Leave one subject out, serially and with two workers that are there already; equal to the last bit."""
    clips = labelled(medn.synthetic_clips(n_subjects=subjects, clips_per_subject=per_subject, seed=3))
    config = MEDNConfig.for_clips(clips, decoupling="bottleneck")
    training = TrainConfig(epochs=epochs)
    spent: dict[int, list[float]] = {1: [], 2: []}
    logits = {}
    for turn in range(rounds + 1):
        for jobs in (1, 2):
            began = time.perf_counter()
            found = medn.evaluate.evaluate_loso(config, clips, training=training, n_jobs=jobs, progress=False)
            if turn:  # the first starts the workers
                spent[jobs].append(time.perf_counter() - began)
            logits[jobs] = found.predictions.logits
    assert np.array_equal(logits[1], logits[2])
    serial, shared = (np.median(spent[jobs]) for jobs in (1, 2))
    return pd.DataFrame(
        [(subjects, len(clips), epochs, serial, shared, serial / shared)],
        columns=["folds", "clips", "epochs", "s serial", "s with 2 workers", "times faster"],
    )


def prepared_in_a_process(root: Path, out: Path, *, count: int, jobs: int) -> dict[str, float]:
    """Seconds and highest memory (of the process that writes) of a preparation in a fresh process."""
    script = (
        "import json, sys, time\n"
        "import medn_lab as medn\n"
        "from medn_lab.records import ClipIndex\n"
        "root, out, count, jobs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])\n"
        "index = medn.data.read_casme2(root)\n"
        "table = index.table\n"
        "import pandas as pd\n"
        "copies = [table.assign(clip_id=table['clip_id'] + f'-{k}') for k in range(-(-count // len(table)))]\n"
        "index = ClipIndex(pd.concat(copies, ignore_index=True).iloc[:count], index.problems, index.source)\n"
        "began = time.perf_counter()\n"
        "medn.data.prepare(index, out, n_jobs=jobs, progress=False)\n"
        "spent = time.perf_counter() - began\n"
        "told = open('/proc/self/status').read()\n"  # ru_maxrss would be that of the process that started this one
        "peak = int(told.split('VmHWM:')[1].split()[0]) / 1e3\n"
        "print(json.dumps({'seconds': spent, 'MB': peak}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(root), str(out), str(count), str(jobs)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def prepare_against_decoding(*, subjects: int, per_subject: int) -> pd.DataFrame:
    """A data set in CASME II's layout, cropped, registered and with flow, against reading the same frames alone."""
    from medn_lab.data.frames import FrameFiles

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "originals")
        clips = medn.synthetic_clips(n_subjects=subjects, clips_per_subject=per_subject, n_frames=3, seed=11)
        medn.synthme.write_dataset(clips, root, layout="casme2", tree="raw", fps=30, size=480)  # CASME II's own height
        index = medn.data.read_casme2(root)
        own, read = FrameFiles.__getitem__, []

        def noting(frames: FrameFiles, place: int) -> np.ndarray:
            read.append(frames.paths[place])
            return own(frames, place)

        FrameFiles.__getitem__ = noting
        try:
            began = time.perf_counter()
            made = medn.data.prepare(index, Path(folder, "serial"), progress=False)
            serial = time.perf_counter() - began
        finally:
            FrameFiles.__getitem__ = own
        began = time.perf_counter()
        for path in read:
            medn.data.read_image(path)
        alone = time.perf_counter() - began
        medn.data.prepare(_first(index, 8), Path(folder, "warm"), n_jobs=2, progress=False)
        began = time.perf_counter()
        medn.data.prepare(index, Path(folder, "two"), n_jobs=2, progress=False)
        two = time.perf_counter() - began
        size = sum(path.stat().st_size for path in Path(folder, "serial").rglob("*") if path.is_file())
    row = (
        len(made),
        len(read),
        made.size[0],
        alone,
        serial,
        two,
        two / alone,
        1e3 * serial / len(made),
        size / len(made),
    )
    columns = ["clips", "frames read", "px", "s decoding alone", "s serial", "s with 2 workers", "times the decoding"]
    return pd.DataFrame([row], columns=[*columns, "ms a clip", "bytes a clip"])


def memory_of_preparing(counts: list[int]) -> pd.DataFrame:
    """Highest memory while more and more clips are prepared, each in a fresh process."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "originals")
        clips = medn.synthetic_clips(n_subjects=3, clips_per_subject=8, n_frames=3, seed=11)
        medn.synthme.write_dataset(clips, root, layout="casme2", fps=30, size=96)
        for count in counts:
            told = prepared_in_a_process(root, Path(folder, "set"), count=count, jobs=2)
            shutil.rmtree(Path(folder, "set"))
            rows.append((count, told["seconds"], told["MB"]))
    return pd.DataFrame(rows, columns=["clips", "s with 2 workers", "highest MB"])


def growth(counts: list[int]) -> pd.DataFrame:
    """Disk, memory and seconds of each step at these numbers of clips, and carried on to more on paper."""
    rows = []
    model = medn.load_pretrained("medn_tiny.synthme_v2")
    medn.diagnose.warm_umap().join()
    for count in counts:
        subjects = max(4, count // 30)
        row: dict[str, float] = {"clips": count, "subjects": subjects}
        began = time.perf_counter()
        clips = labelled(medn.synthetic_clips(n_subjects=subjects, clips_per_subject=-(-count // subjects), seed=5))
        row["drawing s"] = time.perf_counter() - began
        with tempfile.TemporaryDirectory() as folder:
            clips.save(Path(folder, "set"))
            row["disk MB"] = sum(p.stat().st_size for p in Path(folder, "set").rglob("*") if p.is_file()) / 1e6
        config = MEDNConfig.for_clips(clips, decoupling="bottleneck")
        began = time.perf_counter()
        medn.fit(medn.model.MEDN(config), clips, training=TrainConfig(epochs=1), progress=False)
        row["epoch s"] = time.perf_counter() - began
        began = time.perf_counter()
        features = medn.extract_features(model, clips)
        row["features s"] = time.perf_counter() - began
        began = time.perf_counter()
        medn.diagnose.linear_cka(features.motion, features.emotion)
        row["CKA s"] = time.perf_counter() - began
        began = time.perf_counter()
        embedding = medn.diagnose.umap(features)
        row["three maps s"] = time.perf_counter() - began
        began = time.perf_counter()
        medn.widgets.BranchExplorer(embedding, clips=clips, features=features)
        row["explorer s"] = time.perf_counter() - began
        rows.append(row)
        print(row, flush=True)
    return pd.DataFrame(rows)


def carried_on(table: pd.DataFrame, counts: list[int]) -> pd.DataFrame:
    """Each column's power law through its last two measurements, at more clips."""
    last, before = table.iloc[-1], table.iloc[-2]
    steps = np.log(last["clips"] / before["clips"])
    rows = []
    for count in counts:
        row = {"clips": count}
        for name in table.columns[2:]:
            power = np.log(max(last[name], 1e-9) / max(before[name], 1e-9)) / steps
            row[name] = last[name] * (count / last["clips"]) ** max(power, 0)
        rows.append(row)
    return pd.DataFrame(rows)


def _first(index: ClipIndex, count: int) -> ClipIndex:
    return ClipIndex(index.table.iloc[:count].reset_index(drop=True), index.problems, index.source)


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("what", nargs="+", choices=["folds", "prepare", "growth"])
    arguments.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 5000])
    arguments.add_argument("--subjects", type=int, default=8, help="of folds; of prepare at most 4")
    arguments.add_argument("--clips", type=int, default=20, help="of each subject of folds; of prepare at most 10")
    arguments.add_argument("--epochs", type=int, default=4, help="of each fold")
    arguments.add_argument("--rounds", type=int, default=3, help="of folds")
    chosen = arguments.parse_args()
    if "folds" in chosen.what:
        print("leave one subject out")
        size = {"subjects": chosen.subjects, "per_subject": chosen.clips}
        table = folds(**size, epochs=chosen.epochs, rounds=chosen.rounds)
        print(table.round(2).to_string(index=False), end="\n\n")
    if "prepare" in chosen.what:
        print("a written data set, prepared")
        table = prepare_against_decoding(subjects=min(4, chosen.subjects), per_subject=min(10, chosen.clips))
        print(table.round(3).to_string(index=False), end="\n\n")
        print(memory_of_preparing(chosen.counts).round(1).to_string(index=False), end="\n\n")
    if "growth" in chosen.what:
        table = growth(chosen.counts)
        print(table.round(2).to_string(index=False), end="\n\n")
        print("carried on by the last two")
        print(carried_on(table, [7526, 50_000, 1_000_000]).round(1).to_string(index=False))


if __name__ == "__main__":
    main()
