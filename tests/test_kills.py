"""A few kills of each long job; ``python tests/endurance/kill_rounds.py`` does thirty rounds, or every step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "endurance" / "kill_rounds.py"
AT_RANDOM = ["--rounds", "2", "--seed", "4"]
FIRST_STEPS = ["--steps", "--rounds", "12", "--jobs", "prepare"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
@pytest.mark.parametrize(("options", "kills"), [(AT_RANDOM, [2, 2, 2]), (FIRST_STEPS, [12])], ids=["random", "steps"])
def test_killed_jobs_end_with_the_result_of_an_undisturbed_run(options, kills):
    done = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    for job, least in zip(map(json.loads, done.stdout.splitlines()), kills, strict=True):
        assert job["kills"] >= least
        assert (job["failures"], job["left_behind"], job["originals_untouched"]) == ([], 0, True)
