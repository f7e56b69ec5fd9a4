"""Every notebook in a real browser: it opens, runs to its end without an error, and asks no other machine anything.

What its reader does with its widgets is tried in the same run: point, encircle, drag, play.
"""

from pathlib import Path

import nbformat
import pytest
from acts import BY_HAND
from lab_server import REPOSITORY
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

NOTEBOOKS = sorted(path.name for path in (REPOSITORY / "notebooks").glob("*.ipynb"))

SMALL = {
    "00_start_here.ipynb": {"n_subjects": 5},
    "02_network.ipynb": {"n_subjects": 4},
    "03_training.ipynb": {"epochs": 3, "n_subjects": 8, "n_held_out": 3},
    "04_evaluation.ipynb": {"n_subjects": 4, "clips_per_subject": 10, "epochs": 2},
    "05_decoupling.ipynb": {"n_permutations": 19},
    "06_feature_space.ipynb": {"n_subjects": 4},
    "07_attribution.ipynb": {"n_subjects": 3},
    "08_confusable_pairs.ipynb": {"n_subjects": 3},
    "09_your_own_data.ipynb": {"epochs": 2},
    "11_calibration.ipynb": {"n_subjects": 4, "n_draws": 5},
}
"""Parameters that take less time: what a reader does is tried here, and nbval runs the notebooks as they are stored."""


CASES = [pytest.param(name, marks=[pytest.mark.acts] if name in BY_HAND else []) for name in NOTEBOOKS]


def test_every_act_has_its_notebook():
    assert set(NOTEBOOKS) >= set(BY_HAND)


@pytest.mark.parametrize("name", CASES)
def test_a_notebook_runs_in_lab_without_error_or_network_and_its_widgets_work(lab, name):
    path = lab.server.root / "notebooks" / name
    nbformat.write(parameterize_notebook(load_notebook_node(str(path)), SMALL.get(name, {})), path)
    lab.open_notebook(f"notebooks/{name}")
    lab.run_all(seconds=1200)
    assert lab.errors() == []
    assert lab.not_executed() == []
    for cell in range(0, len(lab.cells()), 8):
        lab.scroll_to(cell)
        lab.screenshot(f"{Path(name).stem}-{cell:02d}")
        assert lab.page.locator("[data-title^='Share']").count() == 0, "a figure offers to be uploaded"
    for act in BY_HAND.get(name, ()):
        act(lab)
