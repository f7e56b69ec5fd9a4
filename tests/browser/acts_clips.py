"""What a reader does with a clip that plays, and with a pair of them."""

import csv
import time
from collections.abc import Callable
from pathlib import Path

from lab_page import PATIENCE_MS, LabPage
from pictures_shown import IMAGE, expect_other_picture
from playwright.sync_api import Locator, expect

FACE = "canvas.medn-face-canvas"


def drag_to_share(lab: LabPage, slider: Locator, share: float) -> None:
    """Press a slider of the page at a share of its length."""
    box = slider.bounding_box()
    lab.page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)


def play_and_magnify_the_clip(lab: LabPage) -> None:
    """The player of ``00_start_here``."""
    player = lab.scroll_to_class("medn-clip-player")
    face = player.locator(FACE)
    still = face.evaluate(IMAGE)
    drag_to_share(lab, player.locator(".medn-magnify"), 0.95)
    expect(player.locator(".medn-factor")).not_to_have_text("1.0")
    player.get_by_role("button", name="Play").click()
    moved = expect_other_picture(lab, face, than=still)
    expect_other_picture(lab, face, than=moved)
    player.get_by_role("button", name="Pause").click()
    lab.page.wait_for_timeout(500)
    held = face.evaluate(IMAGE)
    lab.page.wait_for_timeout(1200)
    assert face.evaluate(IMAGE) == held
    lab.screenshot("player-magnified")


def step_and_overlay_the_clip(lab: LabPage) -> None:
    """The player of ``01_clips_and_preprocessing``: a key steps a frame, a button draws the flow."""
    player = lab.scroll_to_class("medn-clip-player")
    face, line = player.locator(FACE), player.locator(".medn-now")
    player.locator(".medn-frames").focus()
    took = []
    for _ in range(4):
        shown, now = face.evaluate(IMAGE), line.inner_text()
        lab.page.keyboard.press("ArrowRight")
        took.append(seconds_until_other(lab, face, than=shown))
        expect(line).not_to_have_text(now)
    note_times("player: arrow key to picture", took)
    expect(line).to_contain_text(" ms")
    shown = face.evaluate(IMAGE)
    player.get_by_role("button", name="flow arrows").click()
    note_times("player: overlay button to picture", [seconds_until_other(lab, face, than=shown)])
    player.get_by_text("times as long as the motion").wait_for()
    lab.screenshot("player-arrows")


def watch_what_the_network_keeps(lab: LabPage) -> None:
    """The player of ``08_confusable_pairs``: kept tokens at two keep rates, then the attribution in red and blue."""
    player = lab.scroll_to_class("medn-clip-player")
    face = player.locator(FACE)
    shown = face.evaluate(IMAGE)
    if player.get_by_role("button", name="kept tokens").get_attribute("aria-pressed") == "false":
        player.get_by_role("button", name="kept tokens").click()
        shown = expect_other_picture(lab, face, than=shown)
    player.locator(".medn-which").select_option(index=1)
    shown = expect_other_picture(lab, face, than=shown)
    lab.screenshot("player-kept")
    player.get_by_role("button", name="attribution").click()
    shown = expect_other_picture(lab, face, than=shown)
    player.locator(".medn-frames").focus()
    for _ in range(3):
        lab.page.keyboard.press("ArrowRight")
        shown = expect_other_picture(lab, face, than=shown)
    player.get_by_text("red raises it").wait_for()
    lab.screenshot("player-attribution")


def browse_pairs(lab: LabPage) -> None:
    """The browser of ``08_confusable_pairs``: next, a frame, a filter, the attribution, a bookmark saved as a file."""
    browser = lab.scroll_to_class("medn-pair-browser")
    titles = browser.locator(".medn-title").filter(has_text="-")
    faces = browser.locator(FACE)
    expect(faces).to_have_count(2)
    browser.get_by_role("button", name="Pause").click()
    first, shown = titles.all_inner_texts(), faces.first.evaluate(IMAGE)
    began = time.monotonic()
    browser.get_by_role("button", name="next").click()
    wait_for(lab, lambda: titles.all_inner_texts() != first)
    note_times("pairs: next to cards", [time.monotonic() - began])
    note_times("pairs: next to faces", [time.monotonic() - began + seconds_until_other(lab, faces.first, than=shown)])

    shown = faces.first.evaluate(IMAGE)
    browser.locator(".medn-frames").focus()
    lab.page.keyboard.press("ArrowRight")
    note_times("pairs: arrow key to frame", [seconds_until_other(lab, faces.first, than=shown)])
    expect(browser.locator(".medn-now")).to_contain_text(" ms")
    for _ in range(2):
        lab.page.keyboard.press("ArrowRight")
    lab.page.wait_for_timeout(500)
    shown = [face.evaluate(IMAGE) for face in faces.all()]
    drag_to_share(lab, browser.locator(".medn-magnify"), 0.9)
    note_times("pairs: magnify to frame", [seconds_until_other(lab, faces.first, than=shown[0])])
    expect_other_picture(lab, faces.last, than=shown[1])
    lab.screenshot("pairs-frame")

    count = browser.get_by_text("pairs").filter(has_text="of ").first
    whole = count.inner_text()
    browser.locator("input[type=checkbox]").first.check()
    expect(count).not_to_have_text(whole)
    expect(browser).to_contain_text("opposite")

    browser.get_by_role("button", name="attribute the difference").click()
    browser.get_by_text("red raises").wait_for()
    expect(browser.locator(".js-plotly-plot")).to_have_count(2)  # the flows, and the attribution
    browser.locator(".js-plotly-plot").last.scroll_into_view_if_needed()
    lab.screenshot("pairs-attributed")

    note = browser.get_by_placeholder("note on this pair")
    note.fill("one-sided")
    note.press("Enter")
    link = browser.locator("a.medn-download")
    link.wait_for()
    with lab.page.expect_download() as saved:
        link.click()
    rows = list(csv.DictReader(Path(saved.value.path()).read_text(encoding="utf-8").splitlines()))
    assert [row["note"] for row in rows] == ["one-sided"]
    assert [rows[0]["clip_a"], rows[0]["clip_b"]] == titles.all_inner_texts()
    lab.screenshot("pairs-bookmarked")


def seconds_until_other(lab: LabPage, image: Locator, than: str) -> float:
    """How long it takes from now until another picture is shown."""
    began = time.monotonic()
    wait_for(lab, lambda: image.evaluate(IMAGE) != than)
    return time.monotonic() - began


def wait_for(lab: LabPage, there: Callable[[], bool]) -> None:
    """Ask until the answer is yes."""
    began = time.monotonic()
    while not there():
        assert 1000 * (time.monotonic() - began) < PATIENCE_MS, f"nothing changed in {PATIENCE_MS // 1000} seconds"
        lab.page.wait_for_timeout(10)


def note_times(what: str, seconds: list[float]) -> None:
    """Say on the test's output how long a gesture took to be seen."""
    print(f"{what}: {', '.join(f'{one:.2f}' for one in seconds)} s")


BY_HAND = {
    "00_start_here.ipynb": (play_and_magnify_the_clip,),
    "01_clips_and_preprocessing.ipynb": (step_and_overlay_the_clip,),
    "08_confusable_pairs.ipynb": (browse_pairs, watch_what_the_network_keeps),
}
"""What is tried in a notebook once it has run."""
