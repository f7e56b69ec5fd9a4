"""Which cases "make quick" runs, what a call refuses, and what Python prints in a separate process (tests only)."""

import subprocess
import sys

import pytest


def assert_refuses(call, *arguments, match, error=ValueError, **options) -> None:
    """The call raises an error whose message matches."""
    with pytest.raises(error, match=match):
        call(*arguments, **options)


def mostly_slow(cases, *, quick: int = 1) -> list:
    """The cases; all but the first `quick` are marked ``slow``."""
    packed = (case if isinstance(case, tuple) else (case,) for case in cases)
    return [pytest.param(*case, marks=[pytest.mark.slow] * (place >= quick)) for place, case in enumerate(packed)]


def printed(*command: object, **options: object) -> list[str]:
    """The lines that ``python COMMAND`` prints; the test fails with its last words where the process does."""
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, **options)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout.splitlines()
