"""Fuzz every border for a while: ``python tests/endurance/fuzz.py --seconds 600``, or ``make fuzz``.

Prints one line of JSON a target: inputs tried, how many of them were refused with a sentence, and each failure once,
shrunk, with the input that makes it happen.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

import argparse
import json
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzz_targets import TARGETS, Target, warm_up

ROUND = 200
"""Inputs that hypothesis draws before it is given another seed."""


def fuzz(name: str, target: Target, seconds: float, first_seed: int) -> dict[str, object]:
    """Draw inputs for so many seconds."""
    warm_up()  # what the targets start from is made once, and not on their time
    until, tried, refused, failures = time.monotonic() + seconds, 0, 0, {}

    def one(value: object) -> None:
        nonlocal tried, refused
        if time.monotonic() > until:
            return
        folder = Path(tempfile.mkdtemp(prefix="fuzz_"))
        try:
            tried += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                refused += target.check(value, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    number = first_seed
    while time.monotonic() < until:
        drawn = settings(
            max_examples=ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink], report_multiple_bugs=False,
        )(seed(number)(given(target.inputs)(one)))  # fmt: skip
        try:
            drawn()
        except Exception as error:
            notes = " ".join(getattr(error, "__notes__", []))
            failures.setdefault(f"{type(error).__name__}: {error}"[:300], notes[:600])
        number += 1
    return {"target": name, "inputs": tried, "refused": refused, "seconds": round(seconds), "failures": failures}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600, help="for all targets together")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = False
    for name in options.targets:
        told = fuzz(name, TARGETS[name], options.seconds / len(options.targets), options.seed)
        print(json.dumps(told), flush=True)
        failed |= bool(told["failures"])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
