"""Every notebook in a real browser: it opens, runs to its end without an error, and asks no other machine anything.

What its reader does with its widgets is tried in the same run: point, encircle, drag, play.
"""

from pathlib import Path

import acts_attribution
import acts_clips
import acts_explore
import acts_panels
import pytest
from lab_server import REPOSITORY

NOTEBOOKS = sorted(path.name for path in (REPOSITORY / "notebooks").glob("*.ipynb"))
BY_HAND = [module.BY_HAND for module in (acts_clips, acts_explore, acts_attribution, acts_panels)]
"""What is tried in a notebook once it has run, by topic."""


WITH_ACTS = {name for acts in BY_HAND for name in acts}
LONG = {"03_training.ipynb"}
"""Not run a second time by ``make test-portable``: it trains for minutes, and its act points at no figure."""


def _marked(name: str) -> object:
    return pytest.param(name, marks=[pytest.mark.acts] if name in WITH_ACTS - LONG else [])


@pytest.mark.parametrize("name", [_marked(name) for name in sorted({*NOTEBOOKS, *WITH_ACTS})])
def test_a_notebook_runs_in_lab_without_error_or_network_and_its_widgets_obey(lab, name):
    if name not in NOTEBOOKS:
        pytest.skip(f"there is no notebooks/{name} to run")
    lab.open_notebook(f"notebooks/{name}")
    lab.run_all(seconds=1200)
    pictures = lab.screenshots_down(Path(name).stem)
    assert lab.errors() == []
    assert lab.not_executed() == []
    sharing = lab.page.locator("[data-title^='Share']")
    assert sharing.count() == 0, "a figure offers to be uploaded"
    assert all(picture.stat().st_size > 10_000 for picture in pictures)
    for act in (act for acts in BY_HAND for act in acts.get(name, ())):
        act(lab)
