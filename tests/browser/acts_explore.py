"""What a reader does with the explorer and with the curves of a training."""

from lab_page import SETTLE_MS, LabPage


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


BY_HAND = {"00_start_here.ipynb": (click_and_encircle_clips,), "03_training.ipynb": (look_at_the_curves,)}
"""What is tried in a notebook once it has run."""
