"""What a reader does with the explorer and with the curves of a training."""

import re

import numpy as np
from lab_page import LabPage, PlotlyPlot
from outlines import held, through_a_gap
from playwright.sync_api import expect


def click_and_encircle_clips(lab: LabPage) -> None:
    """The explorer of ``00_start_here``: a click on the motion map changes the card, a lasso there the selection."""
    explorer = lab.scroll_to_class("medn-branch-explorer")
    plot = lab.plot(".medn-branch-explorer")
    points = plot.points(plot.trace_names().index("motion points"))
    assert len(points) == 240
    axes = points[0]["axes"]
    title = explorer.locator(".medn-title").first
    before = title.inner_text()
    clip = loneliest(plot, points, but=before)
    plot.click(clip["x"], clip["y"], axes=axes)
    title.filter(has_text=clip["customdata"]).wait_for()

    corners = plot.lasso(through_a_gap(plot, points, least=80, most=200), axes=axes)
    counts = "|".join(map(str, held(plot, points, corners)))
    explorer.get_by_text(re.compile(rf"^({counts}) of 240 clips")).first.wait_for()
    lab.screenshot("explorer-lasso")


def read_the_measures_of_a_lasso(lab: LabPage) -> None:
    """The explorer of ``00_start_here``: below the maps, dependence and leakage of the clips that were encircled."""
    explorer = lab.scroll_to_class("medn-branch-explorer")
    count = explorer.get_by_text("of 240 clips").first.inner_text().split(" of ")[0]
    explorer.get_by_text(f"Selected: {count} clips of ").wait_for()
    explorer.get_by_text("AUs from the emotion branch").wait_for()
    rows = explorer.locator(".medn-rows", has=lab.page.get_by_text("linear CKA"))
    expect(rows).not_to_contain_text("…")
    figures = [line for line in rows.inner_text().splitlines() if line.strip("-–").replace(".", "").isdigit()]
    # Four measures: the value of all clips each, of the selection and chance unless it is too small for a measure.
    assert len(figures) >= 8, figures
    lab.screenshot("explorer-measures")


def click_for_the_pair(lab: LabPage) -> None:
    """The explorer of ``00_start_here``: with the switch on, a click shows the pair."""
    explorer = lab.scroll_to_class("medn-branch-explorer")
    explorer.get_by_label("partner at a click").check()
    plot = lab.plot(".medn-branch-explorer")
    points = plot.points(plot.trace_names().index("motion points"))
    before = explorer.locator(".medn-title").first.inner_text()
    clip = loneliest(plot, points, but=before)  # every clip of this corpus has a partner
    plot.click(clip["x"], clip["y"], axes=clip["axes"])
    partner = explorer.locator(".medn-title").nth(1)
    partner.wait_for()
    expect(explorer.locator(".medn-title").first).to_contain_text(clip["customdata"])
    expect(partner).not_to_contain_text(clip["customdata"])
    explorer.get_by_text("has the same AU set as").wait_for()
    lab.page.wait_for_function(
        "gd => gd.calcdata[gd._fullData.findIndex(trace => trace.name === 'fused rings')].length === 2",
        arg=plot.graph.element_handle(),
    )
    lab.screenshot("explorer-pair")


def show_one_subject_alone(lab: LabPage) -> None:
    """The explorer of ``00_start_here``: a filter leaves one person's clips on every map, a button brings all back."""
    explorer = lab.scroll_to_class("medn-branch-explorer")
    subjects = explorer.get_by_label("Subject")
    subjects.select_option(index=1)
    explorer.get_by_text("30 of 240 clips shown").wait_for()
    for branch in ("motion", "emotion", "fused"):
        wait_until_drawn(lab, f"{branch} points", least=30, most=30)
    lab.screenshot("explorer-filtered")
    explorer.get_by_role("button", name="Show all").click()
    explorer.get_by_text("of 240 clips shown").wait_for(state="hidden")
    wait_until_drawn(lab, "fused points", least=240, most=240)


def colour_by_the_gate_and_light_a_step(lab: LabPage) -> None:
    """The explorer of ``06_feature_space``: another colouring changes the legend, a group of it the selection."""
    explorer = lab.scroll_to_class("medn-branch-explorer")
    explorer.get_by_label("Colour by").select_option(label="gate (0 all emotion, 1 all motion)")
    explorer.get_by_text("gate (0 all emotion, 1 all motion):").wait_for()
    explorer.get_by_label("Light up").select_option(index=1)
    lit = wait_until_drawn(lab, "emotion lit", least=1, most=239)
    explorer.get_by_text(f"{lit} of 240 clips").first.wait_for()
    explorer.get_by_text(f"Selected: {lit} clips").wait_for()
    lab.screenshot("explorer-gate")


def wait_until_drawn(lab: LabPage, name: str, *, least: int, most: int) -> int:
    """Wait until so many points of a trace have a place, and say how many."""
    drawn = lab.page.wait_for_function(
        """([gd, name, least, most]) => {
          const count = Array.from(gd._fullData.find(one => one.name === name)?.x ?? []).filter(Number.isFinite).length;
          return least <= count && count <= most && count; }""",
        arg=[lab.plot(".medn-branch-explorer").graph.element_handle(), name, least, most],
    )
    return drawn.json_value()


def loneliest(plot: PlotlyPlot, points: list[dict], *, but: str) -> dict:
    """The point farthest on the page from its next neighbour, where a click can mean no other; not the clip `but`."""
    places = np.array(plot.pixels(points))
    apart = np.linalg.norm(places[:, None] - places, axis=2) + np.diag(np.full(len(points), np.inf))
    room = apart.min(axis=1) * [point["customdata"] != but for point in points]
    return points[int(room.argmax())]


def look_at_the_curves(lab: LabPage) -> None:
    """The monitor of ``03_training`` after the training."""
    monitor = lab.scroll_to_class("medn-training-monitor")
    plot = lab.plot(".medn-training-monitor")
    names = plot.trace_names()
    assert len(names) >= 3
    lengths = [sum(point["y"] is not None for point in plot.points(place)) for place, _ in enumerate(names)]
    assert max(lengths) >= 3, f"the curves {names} have {lengths} points"
    assert {"linear CKA", "AUs from the emotion branch", "emotion from the motion branch"} <= set(names)
    expect(monitor).to_contain_text("Epoch")
    expect(monitor.get_by_role("button", name="Stop after this epoch")).to_be_disabled()
    expect(monitor.get_by_role("button", name="Resume")).to_be_disabled()  # it is finished
    lab.screenshot("training-curves")


BY_HAND = {
    "00_start_here.ipynb": (
        click_and_encircle_clips,
        read_the_measures_of_a_lasso,
        click_for_the_pair,
        show_one_subject_alone,
    ),
    "03_training.ipynb": (look_at_the_curves,),
    "06_feature_space.ipynb": (colour_by_the_gate_and_light_a_step,),
}
"""What is tried in a notebook once it has run."""
