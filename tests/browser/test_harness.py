"""The harness itself: errors of cells and requests to other machines are seen."""

import sys


def test_an_error_in_a_cell_is_seen_and_so_are_the_cells_after_it(lab):
    cells = "import sys\nprint(sys.prefix)", "raise ValueError('planted')", "print('cell 7\\n' * 99)"
    lab.open_cells("error.ipynb", *cells)
    lab.run_all(seconds=120)
    shown = lab.page.locator(".jp-OutputArea-output").first.inner_text().strip()
    assert shown == sys.prefix  # the kernel is this environment
    assert lab.errors() == ["ValueError: planted (in: raise ValueError('planted'))"]
    assert lab.not_executed() == [cells[2]]


def test_a_request_that_leaves_the_machine_is_stopped_and_seen(guarded_lab):
    image = "from IPython.display import HTML\nHTML('<img src=\"https://outside.invalid/pixel.png\">')"
    guarded_lab.open_cells("request.ipynb", image)
    guarded_lab.run_all(seconds=120)
    while not guarded_lab.outside:
        guarded_lab.page.wait_for_timeout(100)
    assert set(guarded_lab.outside) == {"https://outside.invalid/pixel.png"}
