"""What a reader does with the attribution viewer and the face that answers."""

import re

from lab_page import PATIENCE_MS, SETTLE_MS, LabPage, another_picture
from playwright.sync_api import expect


def move_a_face_and_make_a_pair(lab: LabPage) -> None:
    """FaceLab in ``02_network``: a slider moved by keys, a cue, an overlay and a pair by buttons."""
    face = lab.scroll_to_class("medn-face-lab")
    canvas = face.locator(".medn-face-canvas").first
    face.get_by_text("(viewing copy)").first.wait_for()
    brow = face.locator(".widget-slider", has_text="AU4").first
    brow.scroll_into_view_if_needed()
    lab.page.wait_for_timeout(SETTLE_MS)  # figures above may still take their height
    brow.locator(".noUi-handle").press("End")
    face.locator(".js-plotly-plot").get_by_text("AU 4E + AU 6B + AU 12C").wait_for()
    expect(canvas).to_have_attribute("data-magnify", "8")

    face.get_by_role("button", name="Neutral").click()
    face.get_by_text("No movement:").first.wait_for()
    brow.locator(".noUi-handle").press("ArrowRight")
    face.get_by_text("AU 4A, cue still").first.wait_for()
    face.get_by_role("button", name="kept tokens").first.click()
    face.get_by_role("button", name="flush").click()
    face.get_by_text("AU 4A, cue flush").first.wait_for()
    expect(canvas).to_have_attribute("data-overlay", "kept")  # what is shown of a face is shown of the next one, too
    face.get_by_role("button", name="Same AUs, other cue").click()
    expect(face).to_contain_text("A and B have the same AUs and mean")
    expect(face.locator(".medn-face-canvas")).to_have_count(3)  # the current clip, A and B
    face.get_by_role("button", name="Back to A").click()
    expect(face.get_by_role("button", name="flush")).to_have_class(re.compile("mod-active"))  # A's cue, not B's
    face.get_by_text("Now: AU 4A, cue flush").first.wait_for()
    lab.page.wait_for_timeout(SETTLE_MS)  # a key that comes while the face is sent can be lost
    brow.locator(".noUi-handle").press("ArrowRight")
    face.get_by_text("AU 4B, cue flush").first.wait_for()
    face.get_by_role("button", name="Counterfactual shift").click()
    face.get_by_text("shift (sd)").wait_for()


def ask_a_clip_for_other_maps(lab: LabPage) -> None:
    """The viewer of ``07_attribution``: another frame, another method, the check, an AU, a pair."""
    viewer = lab.scroll_to_class("medn-attribution-viewer")
    picture = viewer.locator("canvas").first
    viewer.get_by_text("not measured").first.wait_for()
    with another_picture(picture):
        viewer.get_by_role("button", name="onset").first.click()  # the first bar of the attribution per frame
    with another_picture(picture):
        viewer.get_by_label("Method").select_option(label="saliency")
    viewer.get_by_text("not a property of this method").wait_for()
    viewer.get_by_role("button", name="Check").click()
    viewer.get_by_text("This map is checked").wait_for(timeout=4 * PATIENCE_MS)
    expect(viewer).not_to_contain_text("not measured")

    viewer.get_by_label("Target").select_option(label="AU12")
    expect(viewer.locator(".medn-bar")).to_have_count(0)  # an AU does not depend on the frames
    other = viewer.get_by_label("Compare with")
    for text in other.locator("option").all_inner_texts()[1:]:
        other.select_option(label=text)
        lab.page.wait_for_timeout(SETTLE_MS)
        if viewer.locator("canvas").count() == 2:  # of another emotion
            break
    viewer.get_by_text("score of b").wait_for()
    expect(viewer.locator("canvas")).to_have_count(2)
    lab.page.wait_for_timeout(SETTLE_MS)
    lab.screenshot("attribution-pair")


BY_HAND = {"02_network.ipynb": (move_a_face_and_make_a_pair,), "07_attribution.ipynb": (ask_a_clip_for_other_maps,)}
"""What is tried in a notebook once it has run."""
