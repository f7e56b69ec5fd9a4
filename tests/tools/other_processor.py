"""Run a command as an older processor with other libraries would: ``other_processor.py COMMAND ...``.

The numeric libraries choose their kernels by the processor's instructions, and round differently with each. Here they
use what every x86-64 processor of the last fifteen years has; on another architecture the command runs as it is.
"""

import os
import platform
import sys

import numpy as np


def settings() -> dict[str, str]:
    """The environment in which numpy, torch, MKL, oneDNN, OpenBLAS, OpenCV and numba use plain instructions."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return {}
    core = getattr(np, "_core", None) or np.core
    build, here = core._multiarray_umath.__cpu_dispatch__, core._multiarray_umath.__cpu_features__
    off = set(os.environ.get("NPY_DISABLE_CPU_FEATURES", "").split())  # numpy reports what is off already as absent
    unused = [name for name in ("AVX2", "AVX512_SKX") if here.get(name)]
    return {
        # numpy refuses any other name
        "NPY_DISABLE_CPU_FEATURES": " ".join(name for name in build if name in off or here.get(name)),
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
        "OPENCV_CPU_DISABLE": ",".join(unused).replace("_", "-"),
        "NUMBA_CPU_NAME": "generic",
    }


if __name__ == "__main__":
    chosen = settings()
    print(*(f"{name}={value!r}" for name, value in chosen.items()), flush=True)
    os.execvpe(sys.argv[1], sys.argv[1:], os.environ | chosen)
