"""What a reader does with a clip that plays, and with a pair of them."""

import csv
from pathlib import Path

from lab_page import IMAGE, LabPage, another_picture
from playwright.sync_api import expect

FACE = "canvas.medn-face-canvas"


def play_and_magnify_the_clip(lab: LabPage) -> None:
    """The player of ``00_start_here``."""
    player = lab.scroll_to_class("medn-clip-player")
    face = player.locator(FACE)
    slider = player.locator(".medn-magnify").bounding_box()
    lab.page.mouse.click(slider["x"] + 0.95 * slider["width"], slider["y"] + slider["height"] / 2)
    expect(player.locator(".medn-factor")).not_to_have_text("1.0")
    with another_picture(face):
        player.get_by_role("button", name="Play").click()
    with another_picture(face):
        lab.page.wait_for_timeout(250)  # it goes on
    player.get_by_role("button", name="Pause").click()
    lab.page.wait_for_timeout(500)
    held = face.evaluate(IMAGE)
    lab.page.wait_for_timeout(1200)
    assert face.evaluate(IMAGE) == held
    lab.screenshot("player-magnified")


def watch_what_the_network_keeps(lab: LabPage) -> None:
    """The player of ``08_confusable_pairs``: arrows, kept tokens at two keep rates, attribution in red and blue."""
    player = lab.scroll_to_class("medn-clip-player")
    face, line = player.locator(FACE), player.locator(".medn-now")
    with another_picture(face):
        player.get_by_role("button", name="flow arrows").click()
    player.get_by_text("times as long as the motion").wait_for()
    rates = player.get_by_role("button", name="kept tokens")
    rates.first.click()
    expect(face).to_have_attribute("data-overlay", "kept")
    with another_picture(face):
        rates.nth(1).click()
    with another_picture(face):
        player.get_by_role("button", name="attribution: frames").click()
    now = line.inner_text()
    with another_picture(face):
        player.locator(".medn-frames").press("ArrowRight")
    expect(line).not_to_have_text(now)
    player.get_by_text("red raises it").wait_for()
    lab.screenshot("player-attribution")


def browse_pairs(lab: LabPage) -> None:
    """The browser of ``08_confusable_pairs``: next, a frame, a filter, the attribution, a bookmark saved as a file."""
    browser = lab.scroll_to_class("medn-pair-browser")
    titles, faces = browser.locator(".medn-title").filter(has_text="-"), browser.locator(FACE)
    expect(faces).to_have_count(2)
    browser.get_by_role("button", name="Pause").click()
    first = titles.first.inner_text()  # of four persons: the second clip is in both pairs
    with another_picture(faces.first):
        browser.get_by_role("button", name="next").click()
    expect(titles.first).not_to_have_text(first)
    with another_picture(*faces.all()):
        for _ in range(3):
            browser.locator(".medn-frames").press("ArrowRight")
    expect(browser.locator(".medn-now")).to_contain_text(" ms")

    count = browser.get_by_text("pairs").filter(has_text="of ").first
    whole = count.inner_text()
    browser.locator("input[type=checkbox]").first.check()
    expect(count).not_to_have_text(whole)
    browser.get_by_role("button", name="attribute the difference").click()
    browser.get_by_text("red raises").wait_for()
    expect(browser.locator(".js-plotly-plot")).to_have_count(2)  # the flows, and the attribution

    note = browser.get_by_placeholder("note on this pair")
    note.fill("one-sided")
    note.press("Enter")
    link = browser.locator("a.medn-download")
    link.wait_for()
    with lab.page.expect_download() as saved:
        link.click()
    (row,) = csv.DictReader(Path(saved.value.path()).read_text(encoding="utf-8").splitlines())
    assert [row["note"], row["clip_a"], row["clip_b"]] == ["one-sided", *titles.all_inner_texts()]
    lab.screenshot("pairs-bookmarked")


BY_HAND = {
    "00_start_here.ipynb": (play_and_magnify_the_clip,),
    "08_confusable_pairs.ipynb": (browse_pairs, watch_what_the_network_keeps),
}
"""What is tried in a notebook once it has run."""
