"""What an import costs in processor time against a bare interpreter: ``make bench`` reports, no test times anything.

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


def processor_seconds(statement: str) -> float:
    """User and system time of a fresh interpreter that runs `statement`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("name", STATEMENTS)
def test_import_cost(benchmark, name):
    """What it costs is reported and not judged; ``test_layering.py`` tests what is loaded."""
    spent = benchmark.pedantic(processor_seconds, args=(STATEMENTS[name],), rounds=5, warmup_rounds=1)
    benchmark.extra_info["processor seconds"] = spent
    assert spent > 0
