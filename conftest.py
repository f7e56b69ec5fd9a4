"""Examples of docstrings draw the same few clips: they are drawn once a process."""

from copy import deepcopy
from functools import lru_cache, wraps

import pytest


@lru_cache(maxsize=32)
def _drawn(**options):
    from medn_lab.synthme.corpus import synthetic_clips

    return synthetic_clips(**options)


@pytest.fixture(autouse=True)
def _drawn_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        from medn_lab.synthme.corpus import synthetic_clips

        @wraps(synthetic_clips)
        def drawn(**options):
            return deepcopy(_drawn(**options))

        for place in ("medn_lab", "medn_lab.synthme"):
            monkeypatch.setattr(f"{place}.synthetic_clips", drawn)
