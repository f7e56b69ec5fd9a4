"""A few kills of each long job; ``python tests/endurance/kill_rounds.py`` does thirty rounds, or every step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "endurance" / "kill_rounds.py"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")]


def kills(*options: str) -> list[dict]:
    done = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_jobs_killed_at_random_moments_end_with_the_result_of_an_undisturbed_run():
    told = kills("--rounds", "2", "--seed", "4")
    assert [job["job"] for job in told] == ["prepare", "fit", "evaluate_loso"]
    for job in told:
        assert job["kills"] >= 2
        assert job["failures"] == []
        assert job["left_behind"] == 0
        assert job["originals_untouched"]


def test_preparing_survives_a_kill_at_each_of_its_first_steps():
    (told,) = kills("--steps", "--rounds", "12", "--jobs", "prepare")
    assert told["kills"] == 12
    assert told["failures"] == []
    assert told["left_behind"] == 0
