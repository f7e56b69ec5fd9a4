"""Parametrisations of which "make quick" runs the first cases alone (tests only)."""

from collections.abc import Iterable

import pytest


def mostly_slow(cases: Iterable, *, quick: int = 1) -> list:
    """The cases; all but the first `quick` are marked ``slow``."""
    return [
        case if place < quick else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for place, case in enumerate(cases)
    ]
