"""What an import costs in processor time, beside a bare interpreter: ``make bench`` reports, nothing is timed in tests.

The design's aim for ``import medn_lab`` is under 0.4 s above ``pass``.
"""

import resource
import subprocess
import sys

import pytest

STATEMENTS = {
    "a bare interpreter": "pass",
    "medn_lab": "import medn_lab",
    "records": "import medn_lab.records",
    "all rooms": "from medn_lab import data, diagnose, evaluate, model, synthme, train, view, widgets",
}
ROOMS = {name: set() for name in STATEMENTS} | {
    "records": {"records"},
    "all rooms": {"data", "diagnose", "evaluate", "model", "synthme", "train", "view", "widgets"},
}
"""Which rooms each statement opens: what is measured is the cost of these and of no other."""


def processor_seconds(statement: str) -> float:
    """User and system time of a fresh interpreter that runs `statement`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def rooms_opened(statement: str) -> set[str]:
    """The rooms that a fresh interpreter holds once it has run `statement`."""
    script = f"{statement}\nimport sys; print(*(name for name in sys.modules if name.startswith('medn_lab.')))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return {name.split(".")[1] for name in done.stdout.split()}


@pytest.mark.parametrize("name", STATEMENTS)
def test_import_cost(benchmark, name):
    """What it costs is reported and not judged; that nothing else is loaded with it is."""
    statement = STATEMENTS[name]
    benchmark.pedantic(processor_seconds, args=(statement,), rounds=5, warmup_rounds=1)
    if benchmark.enabled:
        benchmark.extra_info["processor seconds"] = min(processor_seconds(statement) for _ in range(5))
    assert rooms_opened(statement) == ROOMS[name]
