"""Milliseconds of processor time that an import costs: ``python tests/benchmarks/bench_import.py``, medians of five.

The design's aim for ``import medn_lab`` is under 400 ms above ``pass``.
"""

import resource
import statistics
import subprocess
import sys

ROOMS = "from medn_lab import data, diagnose, evaluate, model, synthme, train, view, widgets"


def spent() -> float:
    """User and system time of the processes that have ended, in milliseconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (used.ru_utime + used.ru_stime)


def cost(statement: str) -> float:
    """Milliseconds of a fresh interpreter that runs `statement`."""
    before = spent()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return spent() - before


if __name__ == "__main__":
    for statement in ("pass", "import medn_lab", "import medn_lab.records", ROOMS):
        print(f"{statistics.median(cost(statement) for _ in range(5)):7.0f} ms  {statement}")
