"""Gestures on a written explorer in Chromium: milliseconds until the page has drawn them, and memory over 200 of them.

Run as ``python tests/benchmarks/bench_page.py --clips 500 5000 50000``; needs a Chromium. Each gesture is sent
inside the page, and ends when the frame with its result has been handed over.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "browser"))

import numpy as np
import pandas as pd
from bench_maps import planted
from chromium_here import FLAGS, find_chromium
from playwright.sync_api import Browser, Page, sync_playwright
from sample_records import sample_clips, sample_embedding, sample_features

from medn_lab.diagnose import umap
from medn_lab.widgets import BranchExplorer

FACES = 240
"""Clips of the page that has faces."""

GESTURES = """
const drawn = (node, key, act) => new Promise(resolve => {
  const begun = performance.now(), before = node.dataset[key];
  setTimeout(() => resolve(NaN), 10_000);  // nothing changed
  const watch = new MutationObserver(() => {
    if (node.dataset[key] === before) return;
    watch.disconnect();
    requestAnimationFrame(() => scheduler.postTask(
      () => resolve(performance.now() - begun), { priority: 'user-blocking' }));
  });
  watch.observe(node, { attributes: true });
  act();
});
const maps = () => [...document.querySelectorAll('canvas.medn-map')];
const send = (node, type, x, y, more = {}) => {
  const { left, top } = node.getBoundingClientRect();
  node.dispatchEvent(new PointerEvent(type, {
    clientX: left + x, clientY: top + y, bubbles: true, pointerId: 1, isPrimary: true, button: 0,
    buttons: type === 'pointerup' ? 0 : 1, ...more }));
};
const hover = async row => {
  const [first] = maps(), { x, y } = first.clip(row);
  if (+first.dataset.hovered >= 0) {
    await drawn(first, 'hovered', () => send(first, 'pointermove', 1, 1, { buttons: 0 }));
  }
  return drawn(first, 'hovered', () => send(first, 'pointermove', x, y, { buttons: 0 }));
};
const lasso = turn => {
  const [first, , last] = maps(), rows = +first.dataset.clips;
  const at = first.clip(turn * 7919 % rows), radius = 60;
  const corner = k => [at.x + radius * Math.cos(k), at.y + radius * Math.sin(k)];
  send(first, 'pointerdown', ...corner(0));
  for (let k = 0.3; k < 6.2; k += 0.3) send(first, 'pointermove', ...corner(k));
  return drawn(last, 'lit', () => send(first, 'pointerup', ...corner(6.2)));
};
const magnify = turn => {
  const slider = document.querySelector('.medn-magnify'), face = document.querySelector('canvas.medn-face-canvas');
  return drawn(face, 'magnify', () => {
    slider.value = 2 + turn % 17;
    slider.dispatchEvent(new Event('input', { bubbles: true }));
  });
};
window.bench = { hover, lasso, magnify };
"""


def measure(page: Page, gesture: str, rounds: int) -> list[float]:
    """Milliseconds of each round, without the first."""
    return [page.evaluate(f"turn => window.bench.{gesture}(turn)", turn) for turn in range(rounds + 1)][1:]


def heap(page: Page) -> float:
    """Megabytes that the page's JavaScript holds after a collection."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
    session.detach()
    return used


def opened(browser: Browser, explorer: BranchExplorer, folder: Path) -> Page:
    """A page with the written explorer."""
    path = explorer.to_html(folder / "explorer.html")
    print(f"{path.stat().st_size / 1e6:.1f} MB", flush=True)
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(120_000)
    page.goto(path.as_uri())
    page.wait_for_function("() => +document.querySelector('canvas.medn-map')?.dataset.clips > 0")
    page.evaluate(GESTURES)
    return page


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--clips", type=int, nargs="*", default=[500, 5000, 50_000])
    arguments.add_argument("--rounds", type=int, default=15)
    chosen = arguments.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), headless=True, args=FLAGS)
        for n in chosen.clips:
            page = opened(browser, BranchExplorer(umap(planted(n), method="pca")), Path(folder))
            for gesture in ("hover", "lasso"):
                taken = measure(page, gesture, chosen.rounds)
                rows.append((n, gesture, np.nanmedian(taken), np.nanmax(taken)))
            page.close()
        clips = sample_clips(n=FACES)
        page = opened(browser, BranchExplorer(sample_embedding(sample_features(clips)), clips=clips), Path(folder))
        measure(page, "hover", 1)
        page.locator(".medn-magnify").wait_for()
        taken = measure(page, "magnify", chosen.rounds)
        rows.append((FACES, "magnify", np.nanmedian(taken), np.nanmax(taken)))
        held = []
        for turn in range(201):
            page.evaluate("turn => window.bench[['hover', 'lasso', 'magnify'][turn % 3]](turn)", turn)
            if turn in (40, 200):
                held.append(heap(page))
        browser.close()
    print(pd.DataFrame(rows, columns=["clips", "gesture", "median ms", "slowest ms"]).round(1).to_string(index=False))
    print(f"page memory: {held[0]:.2f} MB after 40 gestures, {held[1]:.2f} MB after 200")


if __name__ == "__main__":
    main()
