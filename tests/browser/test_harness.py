"""The harness itself: errors of cells and requests to other machines are seen."""

import sys

IMAGE = "from IPython.display import HTML\nHTML('<img src=\"https://outside.invalid/pixel.png\">')"


def test_an_error_in_a_cell_the_cells_after_it_and_a_request_that_leaves_the_machine_are_seen(lab):
    cells = "import sys\nprint(sys.prefix)", IMAGE, "raise ValueError('planted')", "print(7)"
    lab.open_cells("error.ipynb", *cells)
    lab.run_all(seconds=120)
    shown = lab.page.locator(".jp-OutputArea-output").first.inner_text().strip()
    assert shown == sys.prefix  # the kernel is this environment
    assert lab.errors() == ["ValueError: planted (in: raise ValueError('planted'))"]
    assert lab.not_executed() == [cells[3]]
    while not lab.outside:
        lab.page.wait_for_timeout(100)
    assert set(lab.outside) == {"https://outside.invalid/pixel.png"}
    lab.outside.clear()  # the fixture fails where there is one
