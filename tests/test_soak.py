"""Trainings started and stopped again and again; ``python tests/endurance/soak.py`` starts fifty."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "endurance" / "soak.py"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="the memory of a process is read from /proc")
def test_memory_stays_flat_over_trainings_that_are_started_and_stopped():
    done = subprocess.run([sys.executable, str(SCRIPT), "--starts", "12"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["ended"] == {"finished": 4, "interrupted": 4, "stopped": 4}
    assert told["rise_percent"] < 5


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="the memory of a process is read from /proc")
def test_memory_stays_flat_over_the_gestures_of_a_reader():
    script = SCRIPT.with_name("soak_explorer.py")
    done = subprocess.run([sys.executable, str(script), "--gestures", "42"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert json.loads(done.stdout)["rise_percent"] < 5
