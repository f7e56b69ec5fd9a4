"""Memory over many trainings and many gestures; ``python tests/endurance/soak.py`` starts fifty trainings."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="private memory is read from /proc"),
]


@pytest.mark.parametrize(
    ("script", "option", "done"),
    [("soak.py", "--starts", {"finished", "interrupted", "stopped"}), ("soak_explorer.py", "--gestures", {"show"})],
)
def test_memory_stays_flat(script, option, done):
    path = Path(__file__).parent / "endurance" / script
    run = subprocess.run(
        [sys.executable, str(path), option, "12" if "starts" in option else "36"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
    figures = json.loads(run.stdout)
    assert figures["rise_percent"] < 5
    assert done <= set(figures["done"])
