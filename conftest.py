"""The order of the tests, and the few clips that examples of docstrings draw: they are drawn once a process."""

from copy import deepcopy
from functools import lru_cache, wraps

import pytest

# Files are dealt to the processes whole; one that takes minutes and begins late is what the run waits for.
LONG = ("test_notebooks_in_lab", "04_evaluation", "03_training", "test_readme_commands", "test_processes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


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
