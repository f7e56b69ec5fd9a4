"""Every notebook in a real browser: it opens, runs to its end without an error, and asks no other machine anything."""

from pathlib import Path

import pytest
from lab_server import REPOSITORY

NOTEBOOKS = sorted(path.name for path in (REPOSITORY / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_in_lab_without_error_or_network(lab, name):
    lab.open_notebook(f"notebooks/{name}")
    lab.run_all(seconds=1200)
    pictures = lab.screenshots_down(Path(name).stem)
    assert lab.errors() == []
    assert lab.not_executed() == []
    assert all(picture.stat().st_size > 10_000 for picture in pictures)
