"""Every notebook in a real browser: it opens, runs to its end without an error, and asks no other machine anything.

What its reader does with its widgets is tried in the same run: point, encircle, drag, play.
"""

from pathlib import Path

import pytest
from lab_page import SETTLE_MS, LabPage
from lab_server import REPOSITORY
from playwright.sync_api import Locator

NOTEBOOKS = sorted(path.name for path in (REPOSITORY / "notebooks").glob("*.ipynb"))

IMAGE = """async node => {
  const answer = await fetch(node.src);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  return [bytes.length, bytes.reduce((sum, byte) => (sum * 31 + byte) >>> 0, 7)].join(':');
}"""
"""Length and checksum of the picture that an image element shows."""


def expect_other_picture(lab: LabPage, image: Locator, than: str) -> str:
    """Wait until another picture is shown, and return its length and checksum."""
    for _ in range(60):
        lab.page.wait_for_timeout(250)
        shown = image.evaluate(IMAGE)
        if shown != than:
            return shown
    raise AssertionError("the picture did not change in 15 seconds")


def play_and_magnify_the_clip(lab: LabPage) -> None:
    """The player of ``00_start_here``."""
    player = lab.scroll_to_class("medn-clip-player")
    image = player.locator("img").first
    still = image.evaluate(IMAGE)
    slider = player.locator(".widget-slider", has_text="magnify").locator(".noUi-base")
    box = slider.bounding_box()
    lab.page.mouse.click(box["x"] + 0.95 * box["width"], box["y"] + box["height"] / 2)
    lab.page.wait_for_timeout(1000)
    play, pause = (player.locator(".jupyter-widget-play button, .widget-play button").nth(place) for place in (0, 1))
    play.click()
    moved = expect_other_picture(lab, image, than=still)
    expect_other_picture(lab, image, than=moved)
    pause.click()
    lab.screenshot("player-magnified")


def click_and_encircle_clips(lab: LabPage) -> None:
    """The explorer of ``00_start_here``: a click on the motion map changes the card, a lasso there the selection."""
    explorer = lab.scroll_to_class("medn-branch-explorer")
    plot = lab.plot(".medn-branch-explorer")
    points = plot.points(plot.trace_names().index("motion points"))
    assert len(points) == 240
    axes = points[0]["axes"]

    def alone(point: dict) -> float:
        return min((point["x"] - q["x"]) ** 2 + (point["y"] - q["y"]) ** 2 for q in points if q is not point)

    title = explorer.locator(".medn-title").first
    before = title.inner_text()
    clip = max((point for point in points if point["customdata"] != before), key=alone)
    plot.click(clip["x"], clip["y"], axes=axes)
    title.filter(has_text=clip["customdata"]).wait_for(timeout=15_000)

    xs, ys = sorted(p["x"] for p in points), sorted(p["y"] for p in points)
    left, right, low, high = ((side[k] + side[k + 1]) / 2 for side, k in ((xs, 40), (xs, 180), (ys, 40), (ys, 180)))
    held = sum(left < p["x"] < right and low < p["y"] < high for p in points)
    assert held > 20
    plot.lasso([(left, low), (left, high), (right, high), (right, low)], axes=axes)
    line = explorer.get_by_text("of 240 clips").first
    line.wait_for(timeout=15_000)
    lab.page.wait_for_timeout(2 * SETTLE_MS)
    # The page rounds corners to pixels: clips that close to the outline may fall on either side of it.
    assert abs(int(line.inner_text().split(" of ")[0]) - held) <= 3
    lab.screenshot("explorer-lasso")


def look_at_the_curves(lab: LabPage) -> None:
    """The monitor of ``03_training`` after the training."""
    monitor = lab.scroll_to_class("medn-training-monitor")
    plot = lab.plot(".medn-training-monitor")
    names = plot.trace_names()
    assert len(names) >= 3
    lengths = [sum(point["y"] is not None for point in plot.points(place)) for place, _ in enumerate(names)]
    assert max(lengths) >= 3, f"the curves {names} have {lengths} points"
    assert "Epoch" in monitor.inner_text()
    assert monitor.get_by_role("button", name="Stop after this epoch").is_disabled()
    lab.screenshot("training-curves")


BY_HAND = {
    "00_start_here.ipynb": (play_and_magnify_the_clip, click_and_encircle_clips),
    "03_training.ipynb": (look_at_the_curves,),
}
"""What is tried in a notebook once it has run."""


@pytest.mark.parametrize("name", sorted({*NOTEBOOKS, *BY_HAND}))
def test_a_notebook_runs_in_lab_without_error_or_network_and_its_widgets_obey(lab, name):
    if name not in NOTEBOOKS:
        pytest.skip(f"there is no notebooks/{name} to run")
    lab.open_notebook(f"notebooks/{name}")
    lab.run_all(seconds=1200)
    pictures = lab.screenshots_down(Path(name).stem)
    assert lab.errors() == []
    assert lab.not_executed() == []
    assert all(picture.stat().st_size > 10_000 for picture in pictures)
    for act in BY_HAND.get(name, ()):
        act(lab)
