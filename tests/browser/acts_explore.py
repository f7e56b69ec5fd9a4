"""What a reader does with the explorer and with the curves of a training."""

from lab_page import SETTLE_MS, LabPage
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
    clip = loneliest(points, but=before)
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


def read_the_measures_of_a_lasso(lab: LabPage) -> None:
    """The explorer of ``00_start_here``: below the maps, dependence and leakage of the clips that were encircled."""
    explorer = lab.scroll_to_class("medn-branch-explorer")
    count = explorer.get_by_text("of 240 clips").first.inner_text().split(" of ")[0]
    explorer.get_by_text(f"Selected: {count} clips of 8 subjects").wait_for(timeout=30_000)
    explorer.get_by_text("AUs from the emotion branch").wait_for()
    rows = explorer.locator(".medn-rows", has=lab.page.get_by_text("linear CKA"))
    lab.page.wait_for_function("node => !node.innerText.includes('…')", arg=rows.element_handle(), timeout=30_000)
    figures = [line for line in rows.inner_text().splitlines() if line.strip("-–").replace(".", "").isdigit()]
    assert len(figures) >= 12, figures  # selected, all and chance of at least four measures
    lab.screenshot("explorer-measures")


def click_for_the_pair(lab: LabPage) -> None:
    """The explorer of ``00_start_here``: with the switch on, a click shows the pair."""
    explorer = lab.scroll_to_class("medn-branch-explorer")
    explorer.get_by_label("partner at a click").check()
    plot = lab.plot(".medn-branch-explorer")
    points = plot.points(plot.trace_names().index("motion points"))
    before = explorer.locator(".medn-title").first.inner_text()
    clip = loneliest(points, but=before)
    plot.click(clip["x"], clip["y"], axes=clip["axes"])
    partner = explorer.locator(".medn-title").nth(1)
    partner.wait_for(timeout=15_000)
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
    explorer.get_by_text("30 of 240 clips shown").wait_for(timeout=15_000)
    for branch in ("motion", "emotion", "fused"):
        wait_until_drawn(lab, f"{branch} points", least=30, most=30)
    lab.screenshot("explorer-filtered")
    explorer.get_by_role("button", name="Show all").click()
    explorer.get_by_text("of 240 clips shown").wait_for(state="hidden", timeout=15_000)
    wait_until_drawn(lab, "fused points", least=240, most=240)


def colour_by_the_gate_and_light_a_step(lab: LabPage) -> None:
    """The explorer of ``06_feature_space``: another colouring changes the legend, a group of it the selection."""
    explorer = lab.scroll_to_class("medn-branch-explorer")
    explorer.get_by_label("Colour by").select_option(label="gate (0 all emotion, 1 all motion)")
    explorer.get_by_text("gate (0 all emotion, 1 all motion):").wait_for(timeout=15_000)
    explorer.get_by_label("Light up").select_option(index=1)
    explorer.get_by_text("of 240 clips").first.wait_for(timeout=15_000)
    lit = wait_until_drawn(lab, "emotion lit", least=21, most=79)
    explorer.get_by_text(f"Selected: {lit} clips").wait_for(timeout=30_000)
    lab.page.wait_for_timeout(4 * SETTLE_MS)
    lab.screenshot("explorer-gate")


def wait_until_drawn(lab: LabPage, name: str, *, least: int, most: int) -> int:
    """Wait until so many points of a trace have a place, and say how many."""
    drawn = lab.page.wait_for_function(
        """([gd, name, least, most]) => {
          const count = Array.from(gd._fullData.find(one => one.name === name)?.x ?? []).filter(Number.isFinite).length;
          return least <= count && count <= most && count; }""",
        arg=[lab.plot(".medn-branch-explorer").graph.element_handle(), name, least, most],
        timeout=15_000,
    )
    return drawn.json_value()


def loneliest(points: list[dict], *, but: str) -> dict:
    """The point farthest from its next neighbour, where a click can mean no other; not the clip `but`."""

    def room(point: dict) -> float:
        return min((point["x"] - q["x"]) ** 2 + (point["y"] - q["y"]) ** 2 for q in points if q is not point)

    return max((point for point in points if point["customdata"] != but), key=room)


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
