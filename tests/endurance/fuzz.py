"""Fuzz every border for a while: ``python tests/endurance/fuzz.py --seconds 600``, or ``make fuzz``.

Prints one line of JSON a target: inputs tried, how many of them were refused with a sentence, and each failure once,
shrunk, with the input that makes it happen.
"""

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

from test_fuzz import TARGETS


def fuzz(name: str, seconds: float) -> dict[str, object]:
    """Draw inputs for so many seconds."""
    (inputs, check, _), outcomes, failures = TARGETS[name], [], {}

    def one(value: object) -> None:
        with tempfile.TemporaryDirectory(prefix="fuzz_", ignore_cleanup_errors=True) as folder:
            outcomes.append(check(value, Path(folder)))

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        drawn = settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        try:
            drawn(seed(len(outcomes))(given(inputs)(one)))()
        except Exception as error:
            notes = " ".join(getattr(error, "__notes__", []))
            failures.setdefault(f"{type(error).__name__}: {error}"[:300], notes[:600])
    return {"target": name, "inputs": len(outcomes), "refused": sum(outcomes), "failures": failures}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600, help="for all targets together")
    results = [fuzz(name, parser.parse_args().seconds / len(TARGETS)) for name in TARGETS]
    print(*map(json.dumps, results), sep="\n")
    sys.exit(any(result["failures"] for result in results))
