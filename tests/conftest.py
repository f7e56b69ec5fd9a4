"""What every test may rely on: one thread a process, and the places of the repository."""

import os

# Before anything imports numpy or torch: the suite runs several processes, and the small models of the tests gain
# nothing from a second thread. A test's figures then are the same under pytest alone and under "make test".
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")

from pathlib import Path

import pytest
from hypothesis import settings

# No test is timed: a busy machine is not a fault of the code.
settings.register_profile("untimed", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)  # of "make quick"
settings.load_profile("untimed")

REPOSITORY = Path(__file__).resolve().parents[1]

# Two modules of this name cannot both be searched for doctests.
collect_ignore = ["conftest.py", "browser/conftest.py"]


@pytest.fixture(scope="session")
def clips():
    """Twenty-four clips that a network learns in a second; a test that changes them makes a copy."""
    from tiny_clips import tiny_clips

    return tiny_clips()


@pytest.fixture(scope="session")
def model(clips):
    """A small untrained network for `clips`."""
    from medn_lab.model import MEDN, MEDNConfig

    return MEDN(MEDNConfig.for_clips(clips, dim=16), seed=1).eval()


@pytest.fixture(scope="session")
def shipped():
    """The shipped model that is loaded by default."""
    import medn_lab as medn

    return medn.load_pretrained()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests in ``tests/browser`` as driving a browser, so that ``-m "not browser"`` leaves them out."""
    for item in items:
        if item.path.is_relative_to(REPOSITORY / "tests" / "browser"):
            item.add_marker("browser")
