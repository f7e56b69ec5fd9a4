"""Kill ``prepare``, ``fit`` and ``evaluate_loso`` with SIGKILL, call them again, and compare with an undisturbed run.

``python tests/endurance/kill_rounds.py --rounds 30`` kills at random moments, one to three times a round. With
``--steps`` every call that changes names or reaches the disk (fsync, rename, unlink, link, mkdir, exchange) is the last
one in turn.
After each kill what is on the disk must be nothing or whole; when a call is let finish, its result must be that of the
undisturbed run to the last bit, and the originals must have the hashes that they had.

Each call runs in its own process, forked from one that has imported everything and done nothing.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import itertools
import json
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import joblib
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


def run_prepare(given: Path, out: Path) -> str:
    clips = prepare(ClipIndex.load(given / "index"), out, recipe=RECIPE, progress=False)
    texts = clips.table.to_csv(), clips.problems.to_csv()
    return joblib.hash([np.array(clips.frames), np.array(clips.flow), texts])


def state_of_prepare(out: Path) -> int:
    if out.exists():
        return len(Clips.load(out)) + 1000
    for folder in out.parent.glob("**/"):
        if folder.name == "whole":  # it has all but its name: what it holds already must not load unless it is whole
            continue
        with suppress(FileNotFoundError, ValueError):
            Clips.load(folder)
            raise AssertionError(f"{folder} loads although the set is not whole")
    return len(list((out.parent / f".{out.name}.preparing").glob("*.npz")))


def run_fit(given: Path, out: Path) -> str:
    clips = Clips.load(given / "clips")
    model = MEDN(MEDNConfig.for_clips(clips, dim=16), seed=1)
    history = fit(model, clips, training=TRAINING, checkpoint=out, progress=False)
    table = history.table.drop(columns="seconds").to_csv()
    return joblib.hash([weights_sha256(model), predict(model, clips).logits, table])


def state_of_fit(out: Path) -> int:
    return len(History.load(out / "history")) if out.exists() else 0


def run_loso(given: Path, out: Path) -> str:
    clips = Clips.load(given / "clips")
    config, training = MEDNConfig.for_clips(clips, dim=16, branches="motion"), TrainConfig(epochs=2, batch_size=8)
    found = evaluate_loso(config, clips, training=training, folder=out, n_jobs=1, progress=False)
    scores, folds = found.predictions, found.folds.drop(columns="seconds").to_csv()
    return joblib.hash([scores.logits, scores.au_logits, scores.fold, scores.table.to_csv(), folds])


def state_of_loso(out: Path) -> int:
    folds = list(out.glob("fold_*"))
    for fold in folds:
        Predictions.load(fold / "last_epoch")
    return len(folds)


JOBS = {
    "prepare": (run_prepare, state_of_prepare),
    "fit": (run_fit, state_of_fit),
    "evaluate_loso": (run_loso, state_of_loso),
}
"""What is killed: input folder and output place to the digest of the result; output place to how far it is, a number
that never falls. The second raises if something half-written loads."""


def call(name: str, given: Path, out: Path, *, last_call: int = -1, seconds: float | None = None) -> str | None:
    """The digest of the job, run in a child; None if it was killed: at a call to the disk, or after so many seconds."""
    answer = out.parent / "answer"
    child = os.fork()
    if not child:
        try:
            die_at(last_call)
            answer.write_text(JOBS[name][0](given, out))
        except BaseException as error:
            answer.write_text(f"failed: {type(error).__name__}: {error}")
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    if not killed and answer.read_text().startswith("failed"):
        raise AssertionError(f"{name} {answer.read_text()}")
    return None if killed else answer.read_text()


def die_at(last: int) -> None:
    """Let the `last`-th call that changes names, or asks for the disk, be the one before which the process dies."""
    count = itertools.count()

    def deadly(real):
        def call(*arguments, **options):
            if next(count) == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    for name in ("fsync", "rename", "replace", "unlink", "remove", "rmdir", "mkdir", "link"):
        setattr(os, name, deadly(getattr(os, name)))
    storage.atomic_swap = deadly(storage.atomic_swap)


def originals(folder: Path) -> str:
    return joblib.hash([(str(path), path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()])


def endure(name: str, given: Path, work: Path, options: argparse.Namespace) -> dict[str, object]:
    """All rounds of one job."""
    (work / "undisturbed").mkdir(parents=True)
    began, random, where, state = time.perf_counter(), np.random.default_rng(options.seed), Counter(), JOBS[name][1]
    wanted = call(name, given, work / "undisturbed" / "out")
    seconds, failures, left = time.perf_counter() - began, [], 0
    for number in itertools.count():
        out, finished, best = work / f"round_{number}" / "out", False, 0
        out.parent.mkdir()
        try:
            for _ in range(1 if options.steps else int(random.integers(1, 4))):
                when = {"last_call": number} if options.steps else {"seconds": random.uniform(0, seconds)}
                finished = call(name, given, out, **when) is not None and options.steps
                before, best = best, state(out)
                assert best >= before, f"{best} done after a kill, but {before} before it"
                where[str(best)] += not finished
            assert call(name, given, out) == wanted, "the result after the kills is not that of the undisturbed run"
        except Exception as error:
            failures.append(f"round {number}: {type(error).__name__}: {error}")
        left += len([*out.parent.glob(".*"), *out.glob(".*")])
        shutil.rmtree(out.parent)
        if finished or number + 1 == options.rounds:
            break
    counts = {"kills": sum(where.values()), "rounds": number + 1, "seconds_undisturbed": round(seconds, 2)}
    return {"job": name, **counts, "done_when_killed": dict(where), "left_behind": left, "failures": failures}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="of each job; with --steps 0 is every step")
    parser.add_argument("--steps", action="store_true", help="kill at each call to the disk in turn")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--seed", type=int, default=0)
    options, failed = parser.parse_args(), False
    with tempfile.TemporaryDirectory(prefix="kill_rounds_") as folder:
        given = Path(folder) / "given"
        # A data set on the disk with an unreadable clip among its twelve, and clips to train on.
        written(given / "originals", "casme2", size=64, fps=15, faults=["frame_truncated"])
        index = read_casme2(given / "originals")
        ClipIndex(index.table.iloc[:12], index.problems, index.source).save(given / "index")
        tiny_clips().save(given / "clips")
        before = originals(given)
        for name in options.jobs:
            found = endure(name, given, Path(folder) / name, options)
            found["originals_untouched"] = originals(given) == before
            print(json.dumps(found), flush=True)
            failed |= bool(found["failures"] or found["left_behind"]) or not found["originals_untouched"]
    sys.exit(int(failed))
