"""What a reader does with the explorer and with the curves of a training."""

import re

from lab_page import LabPage, MapsOnPage
from outlines import held, loneliest, through_a_gap
from playwright.sync_api import expect


def point_at_clips_and_encircle_them(lab: LabPage) -> None:
    """The explorer of ``00_start_here``: a lasso measures its clips, a click shows a clip and its partner."""
    explorer = lab.scroll_to_class("medn-branch-explorer")
    maps, titles = MapsOnPage(lab.page), explorer.locator(".medn-title")
    places, names = maps.places(), [text.splitlines()[0] for text in maps.texts()]
    corners = through_a_gap(places, least=80, most=200)
    maps.lasso(corners)
    counts = "|".join(map(str, held(places, corners)))
    line = explorer.get_by_text(re.compile(rf"^({counts}) of {len(places)} clips")).first
    explorer.get_by_text(f"Selected: {line.inner_text().split(' of ')[0]} clips of ").wait_for()
    explorer.get_by_text("AUs from the emotion branch").wait_for()
    expect(explorer).not_to_contain_text("omputing")
    figures = explorer.locator(".medn-table tbody td").all_inner_texts()
    # Four measures: the value of all clips each, of the selection and chance unless it is too small for a measure.
    assert sum(text.replace(".", "").isdigit() for text in figures) >= 8, figures

    explorer.get_by_label("partner on click").check()
    places = maps.places()  # the table of measures may have moved the maps
    row = loneliest(places)  # every clip of this corpus has a partner
    maps.click(row)
    expect(titles.first).to_contain_text(names[row])
    expect(titles.nth(1)).not_to_contain_text(names[row])
    explorer.get_by_text("has the same AU set as").wait_for()
    maps.wait_for("+rings === 2", number=2)
    lab.screenshot("explorer-pair")


def colour_by_the_gate_and_light_a_step(lab: LabPage) -> None:
    """The explorer of ``06_feature_space``: another colouring changes the legend, a group of it the selection."""
    explorer = lab.scroll_to_class("medn-branch-explorer")
    explorer.get_by_label("Colour by").select_option(label="gate (0 all emotion, 1 all motion)")
    explorer.get_by_text("gate (0 all emotion, 1 all motion)").last.wait_for()
    explorer.locator(".medn-entry").first.click(modifiers=["Control"])
    maps = MapsOnPage(lab.page)
    maps.wait_for("+lit >= 1 && +lit < +clips", number=1)
    drawn = maps.drawn(number=1)
    lit = drawn["lit"]
    explorer.get_by_text(f"{lit} of {drawn['clips']} clips").first.wait_for()
    explorer.get_by_text(f"Selected: {lit} clips").wait_for()


def look_at_the_curves(lab: LabPage) -> None:
    """The monitor of ``03_training`` after the training."""
    monitor = lab.scroll_to_class("medn-training-monitor")
    plot = lab.plot(".medn-training-monitor")
    names = plot.graph.evaluate("gd => gd._fullData.map(trace => trace.name ?? '')")
    assert len(plot.points()) >= 3
    assert {"linear CKA", "AUs from the emotion branch", "emotion from the motion branch"} <= set(names)
    expect(monitor).to_contain_text("Epoch")
    expect(monitor.get_by_role("button", name="Stop after this epoch")).to_be_disabled()
    expect(monitor.get_by_role("button", name="Resume")).to_be_disabled()  # it is finished
    lab.screenshot("training-curves")


BY_HAND = {
    "00_start_here.ipynb": (point_at_clips_and_encircle_them,),
    "03_training.ipynb": (look_at_the_curves,),
    "06_feature_space.ipynb": (colour_by_the_gate_and_light_a_step,),
}
"""What is tried in a notebook once it has run."""
