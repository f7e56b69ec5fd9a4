"""What a reader does with the attribution viewer and the face that answers."""

from lab_page import SETTLE_MS, LabPage
from pictures_shown import IMAGE, expect_other_picture
from playwright.sync_api import Locator


def _drag_to_end(lab: LabPage, row: Locator) -> None:
    """Take the handle of a slider and draw it to the right end, as a hand would."""
    handle, track = row.locator(".noUi-handle").bounding_box(), row.locator(".noUi-base").bounding_box()
    middle = handle["y"] + handle["height"] / 2
    lab.page.mouse.move(handle["x"] + handle["width"] / 2, middle)
    lab.page.mouse.down()
    lab.page.mouse.move(track["x"] + track["width"] + 2, middle, steps=12)
    lab.page.mouse.up()


def move_a_face_and_make_a_pair(lab: LabPage) -> None:
    """FaceLab in ``02_network``: a slider dragged, a cue pressed, a pair made, a key pressed."""
    face = lab.scroll_to_class("medn-face-lab")
    flow, kept = face.locator("img").nth(1), face.locator("img").nth(2)
    face.get_by_text("confusable pair", exact=True).wait_for(timeout=15_000)

    before = flow.evaluate(IMAGE)
    brow = face.locator(".widget-slider", has_text="AU4").first
    _drag_to_end(lab, brow)
    face.get_by_text("AU 4E + AU 6B + AU 12C").first.wait_for(timeout=15_000)
    expect_other_picture(lab, flow, than=before)

    face.get_by_role("button", name="Rest").click()
    face.get_by_text("No movement:").first.wait_for(timeout=15_000)
    lab.screenshot("face-at-rest")

    face.locator("select", has=lab.page.locator("option", has_text="AU 4+7")).first.select_option(label="AU 4")
    face.get_by_text("AU 4C, cue still").first.wait_for(timeout=15_000)
    places = kept.evaluate(IMAGE)
    face.get_by_role("button", name="flush").click()
    face.get_by_text("AU 4C, cue flush").first.wait_for(timeout=15_000)
    expect_other_picture(lab, kept, than=places)
    face.get_by_role("button", name="Same AUs, other cue").click()
    face.get_by_text("AU 4C, cue pallor").nth(1).wait_for(timeout=15_000)  # in hand and as B
    assert "A and B have the same AUs and mean" in face.inner_text()
    lab.page.wait_for_timeout(2 * SETTLE_MS)
    lab.screenshot("face-pair")

    face.get_by_role("button", name="Back to A").click()
    face.get_by_text("AU 4C, cue flush").nth(1).wait_for(timeout=15_000)
    brow.locator(".noUi-handle").focus()
    lab.page.keyboard.press("ArrowRight")
    face.get_by_text("AU 4D, cue flush").first.wait_for(timeout=15_000)


BY_HAND = {"02_network.ipynb": (move_a_face_and_make_a_pair,)}
"""What is tried in a notebook once it has run."""
