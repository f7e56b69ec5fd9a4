"""A few kills of each long job, and memory over many trainings and gestures: the scripts of ``endurance``, briefly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SCRIPTS = Path(__file__).parent / "endurance"


def run(script: str, *options: str) -> list[dict]:
    """The lines of JSON that a script prints."""
    done = subprocess.run([sys.executable, str(SCRIPTS / script), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
@pytest.mark.parametrize(
    ("options", "kills"), [("--rounds 1 --seed 4", [1, 1, 1]), ("--steps --rounds 6 --jobs prepare", [6])]
)
def test_killed_jobs_end_with_the_result_of_an_undisturbed_run(options, kills):
    for job, least in zip(run("kill_rounds.py", *options.split()), kills, strict=True):
        assert job["kills"] >= least
        assert (job["failures"], job["left_behind"], job["originals_untouched"]) == ([], 0, True)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="private memory is read from /proc")
@pytest.mark.parametrize(
    ("options", "done"),
    [("trainings --steps 9", {"finished", "interrupted", "stopped"}), ("gestures --steps 24", {"show"})],
)
def test_memory_stays_flat(options, done):
    [figures] = run("soak.py", *options.split())
    assert figures["rise_percent"] < 5
    assert done <= set(figures["done"])
