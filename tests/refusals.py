"""What a function says of input that it cannot use (tests only)."""

import pytest


def assert_refuses(call, *arguments, match, error=ValueError, **options) -> None:
    """The call raises an error whose message matches."""
    with pytest.raises(error, match=match):
        call(*arguments, **options)
