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
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzz_targets import TARGETS, Target

ROUND = 200
"""Inputs that hypothesis draws before it is given another seed."""


def fuzz(name: str, target: Target, seconds: float, first_seed: int) -> dict[str, object]:
    """Draw inputs for so many seconds."""
    until, outcomes, failures = time.monotonic() + seconds, [], {}

    def one(value: object) -> None:
        with tempfile.TemporaryDirectory(prefix="fuzz_", ignore_cleanup_errors=True) as folder:
            outcomes.append(target.check(value, Path(folder)))

    while time.monotonic() < until:
        drawn = settings(max_examples=ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        try:
            drawn(seed(first_seed + len(outcomes))(given(target.inputs)(one)))()
        except Exception as error:
            failures.setdefault(
                f"{type(error).__name__}: {error}"[:300], " ".join(getattr(error, "__notes__", []))[:600]
            )
    return {"target": name, "inputs": len(outcomes), "refused": sum(outcomes), "failures": failures}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600, help="for all targets together")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    results = [
        fuzz(name, TARGETS[name], options.seconds / len(options.targets), options.seed) for name in options.targets
    ]
    print(*map(json.dumps, results), sep="\n")
    return int(any(result["failures"] for result in results))


if __name__ == "__main__":
    sys.exit(main())
