"""Parametrisations of which "make quick" runs the first cases alone (tests only)."""

import pytest


def mostly_slow(cases, *, quick: int = 1) -> list:
    """The cases; all but the first `quick` are marked ``slow``."""
    packed = (case if isinstance(case, tuple) else (case,) for case in cases)
    return [pytest.param(*case, marks=[pytest.mark.slow] * (place >= quick)) for place, case in enumerate(packed)]
