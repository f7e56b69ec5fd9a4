"""The widgets as a page without code: Voila shows them and they obey. Only where it is installed (``make voila``)."""

import sys

import nbformat
import pytest
from lab_page import MapsOnPage, another_picture, notebook_of
from lab_server import free_port, running

pytest.importorskip("voila", reason="Voila is not installed: pip install -c constraints.txt -e '.[voila]'")

CELLS = (
    "import numpy as np\nimport medn_lab as medn",
    "clips = medn.synthetic_clips(n_subjects=2, clips_per_subject=6, seed=3)\n"
    "predictions = medn.predict(medn.load_pretrained(), clips)\n"
    "features = medn.extract_features(medn.load_pretrained(), clips)",
    "medn.widgets.ClipPlayer(clips)",
    "medn.widgets.EvaluationPanel(medn.evaluate.evaluation_summary(predictions), clips=clips)",
    "xy = {f'{name}_xy': getattr(features, name)[:, :2] for name in ('motion', 'emotion', 'fused')}\n"
    "medn.widgets.BranchExplorer(medn.records.Embedding(**xy, table=clips.table), clips=clips)",
)


@pytest.fixture
def page(guarded_page, tmp_path):
    """The page of a Voila that serves one notebook of widgets."""
    nbformat.write(notebook_of(CELLS), tmp_path / "widgets.ipynb")
    port = free_port()
    command = [sys.executable, "-m", "voila", "--no-browser", f"--port={port}", "--strip_sources=True", "widgets.ipynb"]
    with running(command, folder=tmp_path, cwd=tmp_path, address=f"http://127.0.0.1:{port}/static/"):
        guarded_page.goto(f"http://127.0.0.1:{port}/", timeout=180_000)
        guarded_page.locator(".medn-branch-explorer").wait_for(state="attached", timeout=180_000)
        yield guarded_page


def test_the_widgets_live_on_a_page_without_code(page, outside, pictures):
    assert page.get_by_text("import medn_lab").count() == 0

    player = page.locator(".medn-clip-player")
    face = player.locator("canvas.medn-face-canvas")
    with another_picture(face):
        player.get_by_role("button", name="Play").click()

    panel = page.locator(".medn-evaluation-panel")
    panel.locator(".js-plotly-plot .annotation").first.wait_for()
    panel.locator(".medn-title").wait_for()
    assert panel.locator(".medn-listed option").count() > 0

    maps = MapsOnPage(page)
    assert maps.canvases.count() == 3
    entries = page.locator(".medn-branch-explorer .medn-entry")
    assert entries.count() > 1  # what was painted after the maps were made is on this page too
    maps.hover(0)
    assert maps.drawn(number=2)["hovered"] == 0

    page.screenshot(path=pictures / "voila.png", full_page=True)
    # Voila's page template asks a public server for an icon font that the page has already; we ask for nothing.
    assert not [url for url in outside if "fontawesome" not in url]
