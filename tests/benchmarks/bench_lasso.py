"""From the release of a lasso to the changed page, in a real browser: JupyterLab in Chromium, planted clips, 3 maps.

Run as ``python tests/benchmarks/bench_lasso.py``; needs a Chromium, which draws by the processor alone. *line*: the
line under the maps names the selection. *lit*: the selected points are lit on every map. Both end when the page has
handed that frame over. ``--against FOLDER`` measures another checkout too (also of 0.1.0), by turns with this one.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "browser"))

import nbformat
import numpy as np
import pandas as pd
from chromium_here import FLAGS, find_chromium
from lab_page import SETTLE_MS, LabPage, MapsOnPage
from lab_server import LabServer, serve_lab
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).resolve().parents[2]

SETUP = """
import sys
sys.path[:0] = [{root!r}, {planted!r}]
import medn_lab
from bench_maps import planted
from medn_lab.diagnose import selection_measures, umap
from medn_lab.widgets import BranchExplorer

assert medn_lab.__file__.startswith({root!r})
features = planted({clips})
BranchExplorer(umap(features, method="pca"), features=features, measure=selection_measures(features))
"""

# A task of the highest priority, asked for while a frame is made, runs as soon as that frame has been handed over: no
# message of the kernel comes in between.
WATCH = """maps => {
  const times = window.times = {};
  const root = maps.closest('.medn-branch-explorer');
  const canvas = root.querySelector('canvas.medn-dots') ?? root.querySelectorAll('canvas.medn-map')[2];  // 0.1.0, 0.2.0
  const drawn = what => requestAnimationFrame(() => scheduler.postTask(
    () => { times[what] ??= performance.now(); }, { priority: 'user-blocking' }));
  const line = () => Array.from(root.querySelectorAll('.medn-line'), one => one.innerText)
    .find(text => / of \\d+ clips/.test(text)) ?? '';
  let named = line(), shown = +canvas.dataset.lit;
  new MutationObserver(() => {
    const now = line();
    if (now && now !== named) drawn('line');
    named = now;
  }).observe(root, { subtree: true, childList: true, characterData: true });
  new MutationObserver(() => {
    const now = +canvas.dataset.lit;
    if (now && now !== shown) { times.clips = now; drawn('lit'); }
    shown = now;
  }).observe(canvas, { attributes: true });
  document.addEventListener('pointerup', () => { times.begun = performance.now(); }, true);
}"""


class Measured:
    """One explorer on a page of its own."""

    def __init__(self, browser: Browser, server: LabServer, *, root: Path, clips: int, name: str) -> None:
        setup = SETUP.strip().format(root=str(root), planted=str(HERE / "tests" / "benchmarks"), clips=clips)
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(setup)])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, server.root / f"{name}.ipynb")
        self.page: Page = browser.new_page(viewport={"width": 1400, "height": 1000})
        self.page.set_default_timeout(120_000)
        lab = LabPage(self.page, server=server, pictures=Path(tempfile.gettempdir()), outside=[])
        lab.open_notebook(f"{name}.ipynb")
        lab.run_all(seconds=300)
        if lab.errors():
            raise RuntimeError("; ".join(lab.errors()))
        drawn = self.page.locator(".medn-branch-explorer canvas.medn-map, .medn-branch-explorer .js-plotly-plot").first
        drawn.wait_for(state="visible")
        self.page.get_by_text(f"All {clips} clips").wait_for()  # the measures of all clips have been computed
        self.page.evaluate(WATCH, drawn.element_handle())
        if drawn.evaluate("one => one.tagName") == "CANVAS":
            places = MapsOnPage(self.page).places()
        else:  # version 0.1.0 draws with plotly
            plot = lab.plot(".medn-branch-explorer")
            places = np.array(plot.pixels(plot.points(0)))
        self._middle = np.median(places, axis=0)
        self._wide = np.quantile(places, 0.8, axis=0) - np.quantile(places, 0.2, axis=0)

    def lasso(self, turn: int) -> dict[str, float]:
        """Milliseconds from the mouse let go to each change; no lasso is drawn twice."""
        middle = self._middle + 0.3 * self._wide * [math.cos(turn), math.sin(turn)]
        angles = [2 * math.pi * k / 12 for k in range(12)]
        corners = [tuple(middle + 0.5 * self._wide * [math.cos(a), math.sin(a)]) for a in angles]
        mouse = self.page.mouse
        mouse.move(*corners[0])
        self.page.wait_for_timeout(SETTLE_MS)
        mouse.down()
        for corner in corners[1:]:
            mouse.move(*corner, steps=4)
        self.page.evaluate("() => { for (const name of Object.keys(window.times)) delete window.times[name]; }")
        mouse.up()
        self.page.wait_for_function("() => 'line' in window.times && 'lit' in window.times")
        self.page.wait_for_timeout(1000)  # the measures of the selection come meanwhile
        times = self.page.evaluate("() => window.times")
        explorer = self.page.locator(".medn-branch-explorer")
        explorer.get_by_role("button", name="Clear").click()  # and the pointer leaves the points
        explorer.get_by_text("Nothing is selected").wait_for()
        return {name: times[name] - times["begun"] for name in ("line", "lit")} | {"clips": times["clips"]}


def measure(browser: Browser, server: LabServer, *, roots: dict[str, Path], clips: int, rounds: int) -> list[dict]:
    """`rounds` lassos in each checkout, by turns; one of each goes before."""
    pages = {
        name: Measured(browser, server, root=root, clips=clips, name=f"{name.split()[0]}-{clips}")
        for name, root in roots.items()
    }
    rows = []
    for turn in range(rounds + 1):
        for name, one in pages.items():
            one.page.bring_to_front()
            rows.append({"of": clips, "checkout": name, **one.lasso(turn)})
            print(rows[-1], flush=True)
    for one in pages.values():
        one.page.close()
    server.stop_kernels()
    return rows[len(pages) :]


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--clips", type=int, nargs="*", default=[500, 5000])
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--against", type=Path, help="the folder of another checkout")
    chosen = arguments.parse_args()
    roots = {"this": HERE} | ({"against": chosen.against.resolve()} if chosen.against else {})
    rows = []
    with tempfile.TemporaryDirectory() as folder, serve_lab(Path(folder)) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), headless=True, args=FLAGS)
        for clips in chosen.clips:
            rows += measure(browser, server, roots=roots, clips=clips, rounds=chosen.rounds)
        browser.close()
    table = pd.DataFrame(rows)
    by = table.groupby(["of", "checkout"], sort=False)
    shown = by[["line", "lit", "clips"]].median().assign(slowest=by["lit"].max()).round(0).astype(int)
    print(f"medians of {chosen.rounds} lassos, ms; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(shown.to_string())


if __name__ == "__main__":
    main()
