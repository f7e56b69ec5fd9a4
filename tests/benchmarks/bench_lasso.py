"""From a lasso let go to the page changed, in a real browser: JupyterLab in Chromium, planted clips, three maps.

Run as ``python tests/benchmarks/bench_lasso.py``; needs a Chromium. It draws headless and by the processor alone, WebGL
too. *told*: the line under the maps says what was selected. *lit*: the selected points are lit on every map. Both end
when the page has handed that frame over to be drawn. The baseline, taken in turn on the same page: a button that has
the kernel move the title of an empty plotly figure, until that is drawn. ``--against FOLDER`` measures another
checkout too, in turn with this one.
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
import ipywidgets as widgets
import plotly.graph_objects as go
import medn_lab
from bench_maps import planted
from medn_lab.diagnose import selection_measures, umap
from medn_lab.widgets import BranchExplorer

assert medn_lab.__file__.startswith({root!r})
features = planted({clips})
explorer = BranchExplorer(umap(features, method="pca"), features=features, measure=selection_measures(features))
empty = go.FigureWidget(layout=dict(width=300, height=120))
button = widgets.Button(description="Move").add_class("move")

def move(_):
    empty.layout.title.x = 0.9 - (empty.layout.title.x or 0.1)

button.on_click(move)
"""
SHOWN = "widgets.VBox([explorer, widgets.HBox([button, empty]).add_class('empty')])"

# A task of the highest priority, asked for while a frame is made, runs as soon as that frame has been handed over: no
# message of the kernel comes in between.
WATCH = """([maps, empty]) => {
  const times = window.times = {};
  const root = maps.closest('.medn-branch-explorer'), gd = maps.tagName === 'CANVAS' ? null : maps;
  const drawn = what => requestAnimationFrame(() => scheduler.postTask(
    () => { times[what] ??= performance.now(); }, { priority: 'user-blocking' }));
  const line = () => Array.from(root.querySelectorAll('.medn-line'), one => one.innerText)
    .find(text => / of \\d+ clips/.test(text)) ?? '';
  const canvas = gd ? gd.querySelector('canvas.medn-dots') : root.querySelectorAll('canvas.medn-map')[2];
  const lit = () => canvas ? +canvas.dataset.lit
    : Array.from(gd._fullData.find(one => one.name === 'fused lit').x).filter(Number.isFinite).length;
  let said = line(), shown = lit();
  new MutationObserver(() => {
    const now = line();
    if (now && now !== said) drawn('told');
    said = now;
  }).observe(root, { subtree: true, childList: true, characterData: true });
  const look = () => {
    const now = lit();
    if (now && now !== shown) { times.clips = now; drawn('lit'); }
    shown = now;
  };
  if (canvas) new MutationObserver(look).observe(canvas, { attributes: true });
  else gd.on('plotly_afterplot', look);
  empty.on('plotly_afterplot', () => drawn('empty'));
  document.addEventListener('pointerup', () => { times.begun = performance.now(); }, true);
}"""

PRESS = """() => {
  for (const name of Object.keys(window.times)) delete window.times[name];
  window.times.begun = performance.now();
  document.querySelector('.move').click();
}"""


class Measured:
    """One explorer on a page of its own."""

    def __init__(self, browser: Browser, server: LabServer, *, root: Path, clips: int, name: str) -> None:
        setup = SETUP.strip().format(root=str(root), planted=str(HERE / "tests" / "benchmarks"), clips=clips)
        cells = [nbformat.v4.new_code_cell(text) for text in (setup, SHOWN)]
        book = nbformat.v4.new_notebook(cells=cells)
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, server.root / f"{name}.ipynb")
        self.page: Page = browser.new_page(viewport={"width": 1400, "height": 1000})
        self.page.set_default_timeout(120_000)
        lab = LabPage(self.page, server=server, pictures=Path(tempfile.gettempdir()), outside=[])
        lab.open_notebook(f"{name}.ipynb")
        lab.run_all(seconds=300)
        if lab.errors():
            raise RuntimeError("; ".join(lab.errors()))
        lab.scroll_to(1)
        drawn = self.page.locator(".medn-branch-explorer canvas.medn-map, .medn-branch-explorer .js-plotly-plot").first
        drawn.wait_for(state="visible")
        # Maps of version 0.1.0 are a plotly figure.
        self.maps = MapsOnPage(self.page) if drawn.evaluate("one => one.tagName") == "CANVAS" else None
        self.plot = lab.plot(".medn-branch-explorer") if self.maps is None else None
        empty = self.page.locator(".empty .js-plotly-plot").element_handle()
        self.page.wait_for_function("gd => gd._fullLayout?._size", arg=empty)
        self.page.get_by_text(f"All {clips} clips").wait_for()  # the figures of all clips have been worked out
        self.page.evaluate(WATCH, [drawn.element_handle(), empty])
        if self.maps is not None:
            places = self.maps.places()
        else:
            around = self.plot.points(0)
            places = np.array(self.plot.pixels(around))
        self._middle = np.median(places, axis=0)
        self._wide = np.quantile(places, 0.8, axis=0) - np.quantile(places, 0.2, axis=0)

    def press(self) -> dict[str, float]:
        """Milliseconds from the button to the empty figure drawn."""
        self.page.evaluate(PRESS)
        return self._taken("empty")

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
        mouse.up()  # In full swing: plotly then waits 0.1 s for the last corner.
        left, top = corners[-1]
        mouse.move(left + 1, top)  # A hand is never still.
        taken = self._taken("told", "lit")
        explorer = self.page.locator(".medn-branch-explorer")
        explorer.get_by_role("button", name="Clear").click()  # and no pointer is left on points: each is another clip
        explorer.get_by_text("Nothing is selected").wait_for()
        return taken

    def _taken(self, *names: str) -> dict[str, float]:
        self.page.wait_for_function("names => names.every(name => name in window.times)", arg=list(names))
        self.page.wait_for_timeout(1000)  # the figures of the selection come meanwhile
        times = self.page.evaluate("() => window.times")
        return {name: times[name] - times["begun"] for name in names} | {"clips": times.get("clips", 0)}


def measure(browser: Browser, server: LabServer, *, roots: dict[str, Path], clips: int, rounds: int) -> list[dict]:
    """`rounds` lassos in each checkout, by turns, each after a press of the button; one of each goes before."""
    pages = {
        name: Measured(browser, server, root=root, clips=clips, name=f"{name.split()[0]}-{clips}")
        for name, root in roots.items()
    }
    rows = []
    for turn in range(rounds + 1):
        for name, one in pages.items():
            one.page.bring_to_front()
            row = {"of": clips, "checkout": name, "empty figure": one.press()["empty"], **one.lasso(turn)}
            row["first change"] = min(row["told"], row["lit"])
            rows.append(row)
            print({key: value if isinstance(value, str) else round(value) for key, value in row.items()}, flush=True)
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
    columns = ["first change", "told", "lit", "empty figure"]
    by = table.groupby(["of", "checkout"], sort=False)
    told = by[columns].median().round(0).astype(int)
    told["slowest first"] = by["first change"].max().round(0).astype(int)
    told["times the empty figure"] = (told["first change"] / told["empty figure"]).round(1)
    told["clips in a lasso"] = by["clips"].median().astype(int)
    print(f"medians of {chosen.rounds} lassos, ms; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(told.to_string())


if __name__ == "__main__":
    main()
