"""Make the README's pictures again: the animated explorer, a sheet of drawn persons, the report on the shipped models.

Run as ``python tests/tools/make_pictures.py``, or with some of ``persons animation report``; a developer's tool, which
needs a Chromium.
"""

import io
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import medn_lab as medn

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURES = REPOSITORY / "notebooks" / "pictures"
sys.path.insert(0, str(REPOSITORY / "tests" / "browser"))

from chromium_here import launched  # noqa: E402
from lab_page import MapsOnPage  # noqa: E402
from outlines import through_a_gap  # noqa: E402


def draw_persons() -> None:
    """Sixteen persons at their onset, two rows."""
    clips = medn.synthetic_clips(n_subjects=16, clips_per_subject=1, seed=3)
    onsets = zip(clips.table["clip_id"], clips.table["onset"], strict=True)
    faces = [medn.synthme.render_frames(clips, clip_id, [int(onset)], size=256)[0] for clip_id, onset in onsets]
    sheet = Image.fromarray(np.vstack([np.hstack(faces[:8]), np.hstack(faces[8:])]))
    sheet.resize((1280, 320), Image.Resampling.LANCZOS).save(PICTURES / "faces.png", optimize=True)


def draw_animation() -> None:
    """A written explorer as an animation: a lasso, a confusable pair that plays, its motion magnified twenty times."""
    clips = medn.synthetic_clips(n_subjects=8, seed=1)
    model = medn.load_pretrained("medn_tiny.synthme_v2")
    predictions, features = medn.predict(model, clips), medn.extract_features(model, clips)
    records = {"clips": clips, "predictions": predictions, "features": features}
    explorer = medn.widgets.BranchExplorer(medn.diagnose.umap(features), **records)
    frames: list[tuple[Image.Image, int]] = []
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        page = browser.new_page(viewport={"width": 1160, "height": 900})
        page.goto(explorer.to_html(Path(folder) / "explorer.html").as_uri())
        maps = MapsOnPage(page, within="#maps")

        def shoot(milliseconds: int) -> None:
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            frames.append((picture.resize((928, 720), Image.Resampling.LANCZOS), milliseconds))

        corners = through_a_gap(maps.places(), least=20, most=40)
        shoot(1200)
        page.mouse.move(*corners[0])
        page.mouse.down()
        for number, corner in enumerate(corners[1:]):
            page.mouse.move(*corner, steps=3)
            if number % 4 == 0:
                shoot(110)
        page.mouse.up()
        maps.wait_for("+selected > 0", number=2)
        shoot(1800)
        apart = np.linalg.norm(maps.places() - np.mean(corners, axis=0), axis=1)
        with_partner = [row for row, text in enumerate(maps.texts()) if text.splitlines()[1].startswith("AU")]
        maps.click(min(with_partner, key=apart.__getitem__))
        page.locator("canvas.medn-face-canvas").nth(1).wait_for()
        page.mouse.move(4, 4)
        page.locator("canvas.medn-face-canvas").first.scroll_into_view_if_needed()
        page.locator(".medn-magnify").focus()
        for press in range(29):
            if press < 19:
                page.keyboard.press("ArrowRight")
                page.keyboard.press("ArrowRight")
            page.wait_for_timeout(180)
            shoot(150)
    (first, *rest), times = zip(*frames, strict=True)
    how = {"save_all": True, "loop": 0, "quality": 62, "method": 4}
    first.save(PICTURES / "explorer.webp", append_images=rest, duration=list(times), **how)


def draw_report() -> None:
    """The beginning of the page of the decoupling report: the four shipped models on 24 persons new to them."""
    clips = medn.synthetic_clips(n_subjects=24, seed=1)
    clips = clips.with_table(medn.data.to_classes(clips.table, "synthme_5class")[0])
    models = {name.partition(".")[0]: medn.load_pretrained(name) for name in medn.model.pretrained_names()}
    features = {name: medn.extract_features(model, clips) for name, model in models.items()}
    how = {"allowed": medn.synthme.allowed_auc(), "protocol": "synthme_5class", "readers": ["ridge", "rbf", "knn"]}
    report = medn.diagnose.decoupling_report(features, **how)
    figures = (
        medn.view.plot_leakage(report.leakage.query("branch != 'fused'"), each_au=False, width=1000),
        medn.view.plot_decoupling(report.conditional.query("target in ('AUs', 'cue')"), kind="conditional", width=1000),
    )
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        page = browser.new_page(viewport={"width": 1060, "height": 800})
        page.goto(report.to_html(Path(folder) / "report.html", figures=figures).as_uri())
        page.locator(".js-plotly-plot").last.wait_for()
        bottom = page.locator("figure").last.bounding_box()
        page.screenshot(path=PICTURES / "report.png", full_page=True, clip={
            "x": 0, "y": 0, "width": 1060, "height": bottom["y"] + bottom["height"],
        })  # fmt: skip


DRAWN = {"persons": draw_persons, "animation": draw_animation, "report": draw_report}

if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for name in sys.argv[1:] or DRAWN:
        DRAWN[name]()
