"""What a person waits for in a browser: *run all* until the explorer is shown, gestures in JupyterLab and on a page.

Run as ``python tests/benchmarks/bench_browser.py start lasso written`` (or some of the three); needs a Chromium, which
draws by the processor alone. *start*: seconds of notebook 00 in a fresh kernel, and again in the same kernel. *lasso*:
milliseconds from the release of a lasso in JupyterLab until the last map shows it, and until the line below the maps
names it. *written*: gestures on a written explorer, and the page's memory. A gesture is sent inside the page, and ends
when the frame with its result has been handed over.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "browser"))

import pandas as pd
from bench_diagnose import planted
from chromium_here import launched
from lab_page import LabPage
from lab_server import LabServer, serve_lab
from playwright.sync_api import Browser, Page
from sample_records import sample_clips, sample_embedding, sample_features

from medn_lab.diagnose import umap
from medn_lab.widgets import BranchExplorer

SETUP = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from bench_diagnose import planted
from medn_lab.diagnose import selection_measures, umap
from medn_lab.widgets import BranchExplorer

features = planted(%d)
BranchExplorer(umap(features, method="pca"), features=features, measure=selection_measures(features))
"""

DRAWN = "() => +(document.querySelector('canvas.medn-map')?.dataset.clips ?? 0) > 0"

# A task of the highest priority that is posted while a frame is made runs as soon as that frame has been handed over.
GESTURES = """
const changed = (node, read) => new Promise(resolve => {
  const begun = performance.now(), before = read();
  setTimeout(() => resolve(NaN), 10_000);  // nothing changed
  const watch = new MutationObserver(() => {
    if (read() === before) return;
    watch.disconnect();
    requestAnimationFrame(() => scheduler.postTask(
      () => resolve(performance.now() - begun), { priority: 'user-blocking' }));
  });
  watch.observe(node, { attributes: true, subtree: true, childList: true, characterData: true });
});
const number = (node, key) => changed(node, () => node.dataset[key]);
const maps = () => [...document.querySelectorAll('canvas.medn-map')];
const line = () => [...document.querySelectorAll('.medn-line, #selection')].map(one => one.innerText).join();
const send = (node, type, x, y, more = {}) => {
  const { left, top } = node.getBoundingClientRect();
  node.dispatchEvent(new PointerEvent(type, {
    clientX: left + x, clientY: top + y, bubbles: true, pointerId: 1, isPrimary: true, button: 0,
    buttons: type === 'pointerup' ? 0 : 1, ...more }));
};
const hover = async row => {
  const [first] = maps(), { x, y } = first.clip(row % +first.dataset.clips);
  if (+first.dataset.hovered >= 0) {
    const left = number(first, 'hovered');
    send(first, 'pointermove', 1, 1, { buttons: 0 });
    await left;
  }
  const shown = number(first, 'hovered');
  send(first, 'pointermove', x, y, { buttons: 0 });
  return { hover: await shown };
};
const lasso = async turn => {
  const [first, , last] = maps(), rows = +first.dataset.clips;
  const at = first.clip(turn * 7919 % rows), radius = 60;
  const corner = k => [at.x + radius * Math.cos(k), at.y + radius * Math.sin(k)];
  send(first, 'pointerdown', ...corner(0));
  for (let k = 0.3; k < 6.2; k += 0.3) send(first, 'pointermove', ...corner(k));
  const selected = number(last, 'selected'), named = changed(document.body, line);
  send(first, 'pointerup', ...corner(6.2));
  return { lasso: await selected, 'line of the lasso': await named };
};
const magnify = async turn => {
  const slider = document.querySelector('.medn-magnify'), face = document.querySelector('canvas.medn-face-canvas');
  const shown = number(face, 'magnify');
  slider.value = 2 + turn % 17;
  slider.dispatchEvent(new Event('input', { bubbles: true }));
  return { magnify: await shown };
};
window.bench = { hover, lasso, magnify };
"""


def new_page(browser: Browser) -> Page:
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(600_000)
    return page


def lab_on(browser: Browser, server: LabServer) -> LabPage:
    return LabPage(new_page(browser), server=server, pictures=Path(tempfile.gettempdir()), outside=[])


def until_drawn(lab: LabPage) -> float:
    """Seconds from *run all* until the explorer's points are drawn."""
    cell = next(place for place, cell in enumerate(lab.cells()) if "BranchExplorer" in cell["source"])
    began = time.perf_counter()
    lab.start_all()
    while not lab.page.evaluate(DRAWN):
        lab.scroll_to(cell)
    return time.perf_counter() - began


def start(browser: Browser, options: argparse.Namespace) -> pd.DataFrame:
    """Seconds until a kernel is connected, until the explorer is shown, and until it is shown again."""
    rows = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder, serve_lab(Path(folder)) as server:
            lab, began = lab_on(browser, server), time.perf_counter()
            lab.open_notebook("notebooks/00_start_here.ipynb")
            rows.append({"a kernel": time.perf_counter() - began, "cold": until_drawn(lab)})
            if options.rounds > 1:  # a single round only tries the command
                lab.wait_until_run()
                rows[-1]["warm"] = until_drawn(lab)
            lab.page.close()
    return pd.DataFrame(rows).median().to_frame("s until")


def measured(page: Page, gesture: str, rounds: int, *, clips: int, pause: int = 0) -> list[tuple]:
    """Clips, gesture and milliseconds of each round, without the first."""
    rows = []
    for turn in range(rounds + 1):
        spent = page.evaluate(f"turn => window.bench.{gesture}(turn)", turn)
        rows += [(clips, name, milliseconds) for name, milliseconds in spent.items() if turn]
        page.wait_for_timeout(pause)
    return rows


def summary(rows: list[tuple]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["clips", "gesture", "ms"])
    return table.groupby(["clips", "gesture"], sort=False)["ms"].agg(["median", "max"])


def lasso(browser: Browser, options: argparse.Namespace) -> pd.DataFrame:
    """Milliseconds of lassos in JupyterLab; the measures of a selection are computed in the pause after it."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, serve_lab(Path(folder)) as server:
        for clips in options.clips:
            lab = lab_on(browser, server)
            lab.open_cells(f"lasso-{clips}.ipynb", SETUP % clips)
            lab.run_all()
            lab.page.get_by_text(f"All {clips} clips").wait_for()  # the measures of all clips have been computed
            lab.page.evaluate(GESTURES)
            rows += measured(lab.page, "lasso", options.rounds, clips=clips, pause=1500)
            lab.page.close()
            server.stop_kernels()
    return summary(rows)


def opened(browser: Browser, explorer: BranchExplorer, folder: str) -> Page:
    """A page with the written explorer."""
    path = explorer.to_html(Path(folder) / "explorer.html")
    print(f"{path.stat().st_size / 1e6:.1f} MB", flush=True)
    page = new_page(browser)
    page.goto(path.as_uri())
    page.wait_for_function(DRAWN)
    page.evaluate(GESTURES)
    return page


def written(browser: Browser, options: argparse.Namespace) -> pd.DataFrame:
    """Milliseconds of gestures on a written explorer; *magnify* and memory on a page of `faces` clips with faces."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for clips in options.clips:
            page = opened(browser, BranchExplorer(umap(planted(clips), method="pca")), folder)
            rows += measured(page, "hover", options.rounds, clips=clips)
            rows += measured(page, "lasso", options.rounds, clips=clips)
            page.close()
        clips = sample_clips(n=options.faces)
        page = opened(browser, BranchExplorer(sample_embedding(sample_features(clips)), clips=clips), folder)
        measured(page, "hover", 1, clips=options.faces)
        page.locator(".medn-magnify").wait_for()
        rows += measured(page, "magnify", options.rounds, clips=options.faces)
        session = page.context.new_cdp_session(page)
        for turn in range(options.gestures + 1):
            page.evaluate("turn => window.bench[['hover', 'lasso', 'magnify'][turn % 3]](turn)", turn)
            if turn in (options.gestures // 5, options.gestures):
                session.send("HeapProfiler.collectGarbage")
                used = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
                print(f"page memory after {turn} gestures: {used:.2f} MB")
    return summary(rows)


KINDS = {"start": start, "lasso": lasso, "written": written}

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("what", nargs="+", choices=KINDS)
    arguments.add_argument("--clips", type=int, nargs="*", default=[500, 5000])
    arguments.add_argument("--faces", type=int, default=240, help="clips with faces on the page of written")
    arguments.add_argument("--gestures", type=int, default=200, help="between which the page's memory is compared")
    arguments.add_argument("--rounds", type=int, default=9)
    options = arguments.parse_args()
    with launched() as browser:
        for what in options.what:
            print(f"{what}\n{KINDS[what](browser, options).round(1).to_string()}\n", flush=True)
