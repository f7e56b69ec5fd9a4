"""Make the README's pictures again: the explorer after a lasso in a real JupyterLab, persons, a thumbnail a notebook.

Run as ``python tests/tools/make_pictures.py``; a developer's tool, which needs a Chromium.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image

import medn_lab as medn

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURES = REPOSITORY / "notebooks" / "pictures"
sys.path.insert(0, str(REPOSITORY / "tests" / "browser"))

from chromium_here import FLAGS, find_chromium  # noqa: E402
from lab_page import LabPage, MapsOnPage  # noqa: E402
from lab_server import serve_lab  # noqa: E402
from outlines import circle  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402


def draw_persons() -> None:
    """Sixteen persons at their onset, two rows."""
    clips = medn.synthetic_clips(n_subjects=16, clips_per_subject=1, seed=3)
    onsets = zip(clips.table["clip_id"], clips.table["onset"], strict=True)
    faces = [medn.synthme.render_frames(clips, clip_id, [int(onset)], size=256)[0] for clip_id, onset in onsets]
    sheet = np.vstack([np.hstack(faces[:8]), np.hstack(faces[8:])])
    small = Image.fromarray(sheet).resize((1280, 320), Image.Resampling.LANCZOS)
    small.save(PICTURES / "faces.png", optimize=True)


THUMBNAILS = {
    "00_start_here": 2, "01_clips_and_preprocessing": 3, "02_network": 2, "03_training": 0, "04_evaluation": 5,
    "05_decoupling": 8, "06_feature_space": 5, "07_attribution": 0, "08_confusable_pairs": 2, "09_your_own_data": 2,
    "10_proof": 0,
}  # fmt: skip
"""Which of a notebook's stored pictures stands for it in the README."""


def draw_thumbnails() -> None:
    """One stored picture of each notebook, small."""
    for name, number in THUMBNAILS.items():
        book = nbformat.read(PICTURES.parent / f"{name}.ipynb", as_version=4)
        outputs = [output.get("data", {}) for cell in book.cells for output in cell.get("outputs", [])]
        stored = [data["image/png"] for data in outputs if "image/png" in data][number]
        picture = Image.open(io.BytesIO(base64.b64decode(stored))).convert("RGB")
        picture.thumbnail((520, 380), Image.Resampling.LANCZOS)
        small = picture.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        small.save(PICTURES / f"{name}.png", optimize=True)


def draw_explorer() -> None:
    """The explorer of ``00_start_here`` with a lasso round a cluster of the motion map and a confusable pair."""
    with tempfile.TemporaryDirectory() as folder, serve_lab(Path(folder)) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1250})
        lab = LabPage(page, server=server, pictures=Path(folder), outside=[])
        lab.open_notebook("notebooks/00_start_here.ipynb")
        lab.run_all()
        explorer = lab.scroll_to_class("medn-branch-explorer")
        page.wait_for_timeout(1500)
        maps = MapsOnPage(page)
        places = maps.places()
        # The tightest crowd of the motion map: the clip whose twentieth neighbour is nearest.
        distances = np.linalg.norm(places[:, None] - places[None], axis=2)
        middle = places[np.argsort(distances, axis=1)[np.sort(distances, axis=1)[:, 20].argmin()][:20]].mean(axis=0)
        maps.lasso(circle(middle, radius=1.35 * np.sort(np.linalg.norm(places - middle, axis=1))[24]))
        page.wait_for_timeout(1500)
        maps.click(int(np.linalg.norm(places - middle, axis=1).argmin()))
        page.wait_for_timeout(1500)
        explorer.get_by_role("button", name="Confusable partner").click()
        page.wait_for_timeout(2500)
        explorer.screenshot(path=PICTURES / "explorer.png")
        browser.close()


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    draw_persons()
    draw_thumbnails()
    draw_explorer()
