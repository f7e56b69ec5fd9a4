"""``make test-portable`` computes with other instructions than this processor's best."""

import platform
import subprocess
import sys

import pytest
from tools.other_processor import settings

PROGRAM = """
import numpy, torch
from numpy.{core}._multiarray_umath import __cpu_dispatch__ as built, __cpu_features__ as used
print(torch.backends.cpu.get_cpu_capability(), [name for name in built if used[name]])
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine().lower() not in {"x86_64", "amd64"}, reason="held back on x86-64 only")
def test_numpy_and_torch_use_plain_instructions_and_warn_of_nothing(repository):
    import numpy as np

    program = PROGRAM.format(core="_core" if hasattr(np, "_core") else "core")
    command = [sys.executable, str(repository / "tests/tools/other_processor.py"), sys.executable, "-W", "error"]
    done = subprocess.run([*command, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "DEFAULT []"
    assert done.stderr == ""
    assert settings()["OPENBLAS_CORETYPE"] == "Nehalem"
