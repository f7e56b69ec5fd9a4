"""Kill ``prepare``, ``fit`` and ``evaluate_loso`` with SIGKILL, call them again, and compare with an undisturbed run.

``python tests/endurance/kill_rounds.py --rounds 30`` kills at random moments, one to three times a round. With
``--steps`` every call that changes names or reaches the disk (fsync, rename, unlink, link, mkdir, exchange) is the last
one in turn.
After each kill what is on the disk must be nothing or whole; when a call is let finish, its result must be that of the
undisturbed run to the last bit, and the originals must have the hashes that they had.

Each call runs in a process of its own, forked from one that has imported everything and done nothing.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import hashlib
import itertools
import json
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tiny_clips import tiny_clips
from written_sets import written

from medn_lab.data import FlowRecipe, prepare, read_casme2
from medn_lab.evaluate import evaluate_loso, predict
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.records import ClipIndex, Clips, History, Predictions, storage
from medn_lab.train import TrainConfig, fit

RECIPE = FlowRecipe(name="small", size=16, compute_size=32, n_frames=2)
TRAINING = TrainConfig(epochs=6, batch_size=8, seed=3)


def digest(*parts: object) -> str:
    """One sha256 of arrays and texts."""
    total = hashlib.sha256()
    for part in parts:
        total.update(np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else str(part).encode())
    return total.hexdigest()


def clips_digest(clips: Clips) -> str:
    return digest(np.asarray(clips.frames), np.asarray(clips.flow), clips.table.to_csv(), clips.problems.to_csv())


@dataclass(frozen=True)
class Job:
    """What is killed.

    Attributes
    ----------
    run : callable
        Input folder and output place to the digest of the result.
    state : callable
        Output place to how far it is (a number that never falls) and in words; raises if something half-written loads.
    """

    run: Callable[[Path, Path], str]
    state: Callable[[Path], tuple[int, str]]


def run_prepare(given: Path, out: Path, n_jobs: int = 1) -> str:
    return clips_digest(prepare(ClipIndex.load(given / "index"), out, recipe=RECIPE, n_jobs=n_jobs, progress=False))


def state_of_prepare(out: Path) -> tuple[int, str]:
    if out.exists():
        Clips.load(out)
        return 1_000, "set whole"
    for folder in out.parent.glob("**/"):
        if folder.name == "whole":  # it has all but its name: what it holds already must not load unless it is whole
            continue
        try:
            Clips.load(folder)
        except (FileNotFoundError, ValueError):
            continue
        raise AssertionError(f"{folder} loads although the set is not whole")
    done = len(list((out.parent / f".{out.name}.preparing").glob("*.npz")))
    return done, f"{done} clips done"


def run_fit(given: Path, out: Path) -> str:
    clips = Clips.load(given / "clips")
    model = MEDN(MEDNConfig.for_clips(clips, dim=16), seed=1)
    history = fit(model, clips, training=TRAINING, checkpoint=out, progress=False)
    told = history.table.drop(columns="seconds").to_csv()
    return digest(weights_sha256(model), predict(model, clips).logits, told)


def state_of_fit(out: Path) -> tuple[int, str]:
    if not out.exists():
        return 0, "0 epochs done"
    done = len(History.load(out / "history"))
    return done, f"{done} epochs done"


def run_loso(given: Path, out: Path, n_jobs: int = 1) -> str:
    clips = Clips.load(given / "clips")
    config = MEDNConfig.for_clips(clips, dim=16, branches="motion")
    found = evaluate_loso(
        config, clips, training=TrainConfig(epochs=2, batch_size=8), n_jobs=n_jobs, folder=out, progress=False
    )
    told = found.predictions
    return digest(
        told.logits, told.au_logits, told.fold, told.table.to_csv(), found.folds.drop(columns="seconds").to_csv()
    )


def state_of_loso(out: Path) -> tuple[int, str]:
    finished = sorted(out.glob("fold_*"))
    for fold in finished:
        json.loads((fold / "fold.json").read_text())
        Predictions.load(fold / "last_epoch")
    return len(finished), f"{len(finished)} folds done"


JOBS = {
    "prepare": Job(run_prepare, state_of_prepare),
    "fit": Job(run_fit, state_of_fit),
    "evaluate_loso": Job(run_loso, state_of_loso),
}


def make_input(given: Path) -> None:
    """A data set on the disk with an unreadable clip among its twelve, and clips to train on."""
    written(given / "originals", "casme2", size=64, fps=15, faults=["frame_truncated"])
    index = read_casme2(given / "originals")
    ClipIndex(index.table.iloc[:12], index.problems, index.source).save(given / "index")
    tiny_clips().save(given / "clips")


def hashes(folder: Path) -> dict[str, str]:
    return {str(path): digest(path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()}


def start(job: Callable[[Path, Path], str], given: Path, out: Path, answer: Path, last_call: int | None = None) -> int:
    """Run the job in a child; with `last_call` it kills itself at that call to the disk."""
    child = os.fork()
    if child:
        return child
    try:
        if last_call is not None:
            die_at(last_call)
        answer.write_text(job(given, out))
    except BaseException as error:
        answer.write_text(f"failed: {type(error).__name__}: {error}")
    os._exit(0)


def die_at(last: int) -> None:
    """Let the `last`-th call that changes names, or asks for the disk, be the one before which the process dies."""
    count = itertools.count()

    def deadly(real: Callable) -> Callable:
        def call(*arguments, **options):
            if next(count) == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    for name in ("fsync", "rename", "replace", "unlink", "remove", "rmdir", "mkdir", "link"):
        setattr(os, name, deadly(getattr(os, name)))
    storage.atomic_swap = deadly(storage.atomic_swap)


def finish(child: int, answer: Path, name: str) -> str | None:
    """The job's digest; None if it was killed."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return None
    told = answer.read_text()
    if told.startswith("failed"):
        raise AssertionError(f"{name} {told}")
    return told


def random_round(name: str, given: Path, out: Path, seconds: float, random: np.random.Generator) -> list[str]:
    """Kill one to three times at random moments, then let it finish; where it was killed each time."""
    job, where, best = JOBS[name], [], 0
    for _ in range(int(random.integers(1, 4))):
        child = start(job.run, given, out, out.parent / "answer")
        time.sleep(random.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        finish(child, out.parent / "answer", name)
        done, said = job.state(out)
        if done < best:
            raise AssertionError(f"{name}: {said} after a kill, but {best} before it")
        best = done
        where.append(said)
    return where


def compare(name: str, given: Path, out: Path, wanted: str) -> None:
    found = finish(start(JOBS[name].run, given, out, out.parent / "answer"), out.parent / "answer", name)
    if found != wanted:
        raise AssertionError(f"{name}: the result after the kills is not that of the undisturbed run")


def litter(folder: Path) -> int:
    """Hidden files and folders that kills left and nobody took away."""
    return sum(1 for path in folder.iterdir() if path.name.startswith("."))


def endure(name: str, given: Path, work: Path, rounds: int, steps: bool, seed: int) -> dict[str, object]:
    """All rounds of one job."""
    (work / "undisturbed").mkdir(parents=True)
    began = time.perf_counter()
    wanted = finish(start(JOBS[name].run, given, work / "undisturbed/out", work / "answer"), work / "answer", name)
    seconds = time.perf_counter() - began
    random, where, failures, left = np.random.default_rng(seed), Counter(), [], 0
    finished = False
    for number in itertools.count() if steps else range(rounds):
        out = work / f"round_{number}" / "out"
        out.parent.mkdir()
        try:
            if steps:
                child = start(JOBS[name].run, given, out, out.parent / "answer", last_call=number)
                finished = finish(child, out.parent / "answer", name) is not None
                where[JOBS[name].state(out)[1]] += not finished
            else:
                where.update(random_round(name, given, out, seconds, random))
            compare(name, given, out, wanted)
        except Exception as error:
            failures.append(f"round {number}: {type(error).__name__}: {error}")
        left += litter(out.parent) + (litter(out) if out.is_dir() else 0)
        shutil.rmtree(out.parent)
        if finished or (steps and rounds and number + 1 >= rounds):
            break
    return {
        "job": name, "when": "every step" if steps else "at random", "kills": sum(where.values()),
        "rounds": number + 1, "seconds_undisturbed": round(seconds, 2), "where": dict(sorted(where.items())),
        "left_behind": left, "failures": failures,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="of each job; with --steps 0 is every step")
    parser.add_argument("--steps", action="store_true", help="kill at each call to the disk in turn")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="kill_rounds_") as folder:
        given = Path(folder) / "given"
        given.mkdir()
        make_input(given)
        before = hashes(given)
        for name in options.jobs:
            told = endure(name, given, Path(folder) / name, options.rounds, options.steps, options.seed)
            told["originals_untouched"] = hashes(given) == before
            print(json.dumps(told), flush=True)
            failed |= bool(told["failures"] or told["left_behind"]) or not told["originals_untouched"]
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
