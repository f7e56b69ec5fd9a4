"""From a notebook opened to its explorer on screen, in a real browser.

Run as ``python tests/benchmarks/bench_start.py``; needs a Chromium. *cold*: a fresh server and a fresh kernel, so that
torch is imported and UMAP compiled. *warm*: the same cells run again in that kernel.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "browser"))

import pandas as pd
from chromium_here import FLAGS, find_chromium
from lab_page import LabPage
from lab_server import LabServer, serve_lab
from playwright.sync_api import Page, sync_playwright

RUN = """async () => {
  const commands = window.jupyterapp.commands;
  await commands.execute('notebook:clear-all-cell-outputs');
  commands.execute('notebook:run-all-cells');
}"""

EXPLORER = """() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells.findIndex(
  cell => (Array.isArray(cell.source) ? cell.source.join('') : cell.source).includes('BranchExplorer'))"""

DRAWN = """() => {
  const maps = document.querySelector('.medn-branch-explorer canvas.medn-map');
  return +(maps?.dataset.clips ?? 0) > 0;
}"""


def until_drawn(lab: LabPage, page: Page) -> float:
    """Seconds from pressing *run all* until the explorer's points are drawn."""
    cell = page.evaluate(EXPLORER)
    began = time.perf_counter()
    page.evaluate(RUN)
    ends = began + 600
    while time.perf_counter() < ends:
        lab.scroll_to(cell)
        if page.evaluate(DRAWN):
            return time.perf_counter() - began
    raise TimeoutError("the explorer was not drawn in ten minutes")


def one_start(server: LabServer, page: Page, notebook: str, *, warm: bool) -> list[float]:
    """Seconds to a connected kernel, to the explorer, and (`warm`) to the explorer again."""
    lab = LabPage(page, server=server, pictures=Path(tempfile.gettempdir()), outside=[])
    began = time.perf_counter()
    lab.open_notebook(notebook)
    opened = time.perf_counter() - began
    spent = [opened, until_drawn(lab, page)]
    if not warm:
        return spent
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'", timeout=600_000
    )
    return [*spent, until_drawn(lab, page)]


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--notebook", default="notebooks/00_start_here.ipynb")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--cold-only", action="store_true")
    chosen = arguments.parse_args()
    rows = []
    for turn in range(chosen.rounds):
        with (
            tempfile.TemporaryDirectory() as folder,
            serve_lab(Path(folder)) as server,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(executable_path=find_chromium(), headless=True, args=FLAGS)
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.set_default_timeout(120_000)
            rows.append((turn, *one_start(server, page, chosen.notebook, warm=not chosen.cold_only)))
            browser.close()
            print(rows[-1], flush=True)
    names = ["round", "s to a kernel", "s to the explorer, cold", "s to it again, warm"]
    table = pd.DataFrame(rows, columns=names[: len(rows[0])])
    print(table.round(1).to_string(index=False))
    print(f"medians: {table.iloc[:, 1:].median().round(1).to_dict()}")


if __name__ == "__main__":
    main()
