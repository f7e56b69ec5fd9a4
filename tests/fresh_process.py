"""Python in a process of its own (tests only)."""

import subprocess
import sys


def printed(*command: object, **options: object) -> list[str]:
    """The lines that ``python COMMAND`` prints; the test fails with its last words where the process does."""
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, **options)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout.splitlines()
