"""Which cases of a test "make quick" runs, and what a call says of input that it cannot use (tests only)."""

import pytest


def assert_refuses(call, *arguments, match, error=ValueError, **options) -> None:
    """The call raises an error whose message matches."""
    with pytest.raises(error, match=match):
        call(*arguments, **options)


def mostly_slow(cases, *, quick: int = 1) -> list:
    """The cases; all but the first `quick` are marked ``slow``."""
    packed = (case if isinstance(case, tuple) else (case,) for case in cases)
    return [pytest.param(*case, marks=[pytest.mark.slow] * (place >= quick)) for place, case in enumerate(packed)]
