"""BranchExplorer in a real browser: no lasso is lost, wherever the mouse is let go, and none is counted twice."""

import json
import math
from pathlib import Path

import nbformat
import pytest
from lab_page import SETTLE_MS, LabPage, PlotlyPlot
from outlines import held, through_a_gap
from playwright.sync_api import expect

pytestmark = pytest.mark.acts

SETUP = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r})
import ipywidgets as widgets
from sample_records import sample_clips, sample_embedding, sample_features, sample_predictions
from medn_lab.widgets import BranchExplorer, branch_maps

branch_maps.MOST_SVG_POINTS = AT_MOST
branch_maps.LATER = 3600  # a slow machine takes long to draw a lasso; only a double click clears one here
clips = sample_clips(n=90)
features = sample_features(clips)
explorer = BranchExplorer(
    sample_embedding(features), clips=clips, predictions=sample_predictions(clips), features=features)
heard = []
told = widgets.Label("[]").add_class("heard-selections")

def hear(change):
    heard.append(len(change.new))
    told.value = str(heard)

explorer.observe(hear, "selection")
"""
CORNERS = 10


@pytest.fixture(scope="module", params=["traces", "canvas"])
def explorer_notebook(lab_server, request) -> str:
    setup = SETUP.strip().replace("AT_MOST", "400" if request.param == "traces" else "10")
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(setup), nbformat.v4.new_code_cell("widgets.VBox([explorer, told])")]
    )
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, lab_server.root / f"explorer-{request.param}.ipynb")
    return f"explorer-{request.param}.ipynb"


@pytest.fixture
def plot(lab, explorer_notebook) -> PlotlyPlot:
    lab.open_notebook(explorer_notebook)
    lab.run_all(seconds=120)
    assert lab.errors() == []
    lab.scroll_to(1)
    return lab.plot(".medn-branch-explorer")


def heard_sizes(lab: LabPage, *, at_least: int) -> list[int]:
    """Wait until so many selections have been heard and a moment longer, and return the sizes of all that were."""
    told = lab.page.locator(".heard-selections").element_handle()
    lab.page.wait_for_function("([node, count]) => JSON.parse(node.innerText).length >= count", arg=[told, at_least])
    lab.page.wait_for_timeout(700)
    return json.loads(told.inner_text())


def expect_heard(lab: LabPage, sizes: list[range]) -> None:
    """Wait until selections of these sizes have been heard, and see that no further one follows."""
    heard = heard_sizes(lab, at_least=len(sizes))
    assert len(heard) == len(sizes), heard
    assert all(size in allowed for size, allowed in zip(heard, sizes, strict=True)), (heard, sizes)


def circle(point: dict, *, radius: float) -> list[tuple[float, float]]:
    angles = [2 * math.pi * k / CORNERS for k in range(CORNERS)]
    return [(point["x"] + radius * math.cos(a), point["y"] + radius * math.sin(a)) for a in angles]


def encircle(lab: LabPage, plot: PlotlyPlot, corners: list[tuple[float, float]], *, axes: list[str]) -> list:
    """Draw a lasso through the corners, let the mouse go at the last and leave it there; the corners in pixels."""
    mouse = lab.page.mouse
    places = [plot.pixel(x, y, axes=axes) for x, y in corners]
    mouse.move(*places[0])
    lab.page.wait_for_timeout(SETTLE_MS)
    mouse.down()
    for place in places[1:]:
        mouse.move(*place, steps=4)
    mouse.up()
    left, top = places[-1]
    mouse.move(left + 1, top)  # A hand is never still: this is the hover that follows.
    mouse.move(left, top)
    return places


def roomy(points: list[dict], *, radius: float) -> list[dict]:
    """Points whose circle stays inside of the others' span, so that no corner is cut off at the frame."""
    sides = {key: [point[key] for point in points] for key in "xy"}
    return [
        point for point in points
        if all(min(values) < point[key] - radius and point[key] + radius < max(values) for key, values in sides.items())
    ]  # fmt: skip


def test_ten_lassos_that_end_on_a_point_are_all_heard_once(lab, plot):
    points = plot.points(plot.trace_names().index("motion points"))
    axes, heard = points[0]["axes"], []
    ends = roomy(points, radius=0.5)[:10]
    assert len(ends) == 10
    for end in ends:
        # The middle of the circle lies off the point by the radius, so that the point itself is the last corner.
        corners = circle({"x": end["x"] - 0.4, "y": end["y"]}, radius=0.4)
        corners = [*corners[1:], corners[0]]
        drawn = encircle(lab, plot, corners, axes=axes)
        sizes = heard_sizes(lab, at_least=len(heard) + 1)
        assert sizes[:-1] == heard
        assert sizes[-1] in held(plot, points, drawn)  # the last corner itself may fall on either side
        heard = sizes


def test_a_lasso_on_the_next_map_replaces_the_first_and_a_double_click_clears(lab, plot):
    names = plot.trace_names()
    motion, fused = (plot.points(names.index(f"{branch} points")) for branch in ("motion", "fused"))
    heard = []
    for points in (motion, fused):
        drawn = plot.lasso(through_a_gap(plot, points, least=5, most=40), axes=points[0]["axes"])
        heard.append(held(plot, points, drawn))
        expect_heard(lab, heard)
    drawn = plot.graph.evaluate("gd => gd.layout.selections.map(one => one.xref)")
    assert drawn == [fused[0]["axes"][0]]
    place = roomy(fused, radius=0.7)[0]
    lab.execute("branch_maps.LATER = 1.0")
    lab.page.mouse.dblclick(*plot.pixel(place["x"], place["y"], axes=place["axes"]))
    expect_heard(lab, [*heard, range(1)])
    lab.page.wait_for_function("gd => gd.layout.selections.length === 0", arg=plot.graph.element_handle())


def test_a_clip_inside_a_lasso_can_still_be_clicked_and_the_button_takes_the_lasso_away(lab, plot):
    points = plot.points(plot.trace_names().index("motion points"))
    middle = roomy(points, radius=0.6)[0]
    plot.lasso(circle(middle, radius=0.6), axes=middle["axes"])
    lab.page.locator(".heard-selections", has_text="[").filter(has_not_text="[]").wait_for()
    plot.click(middle["x"], middle["y"], axes=middle["axes"])
    card = lab.page.locator(".medn-branch-explorer .medn-title")
    card.filter(has_text=str(middle["customdata"])).wait_for()
    lab.page.locator(".medn-branch-explorer button", has_text="Clear").click()
    lab.page.wait_for_function("gd => gd.layout.selections.length === 0", arg=plot.graph.element_handle())
    expect(lab.page.locator(".medn-branch-explorer")).to_contain_text("Nothing is selected")


DRAWN = """canvas => {
  const pen = canvas.getContext('2d'), { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
  let full = 0, there = 0;
  for (let k = 3; k < data.length; k += 4) { full += data[k] === 255; there += data[k] > 0; }
  return { full, there, lit: +canvas.dataset.lit, rings: +canvas.dataset.rings };
}"""
"""How many pixels of the canvas are drawn at full strength, and at all."""


@pytest.mark.parametrize("explorer_notebook", ["canvas"], indirect=True)
def test_the_canvas_draws_the_points_lights_a_lasso_rings_a_clip_and_follows_a_zoom(lab, plot):
    canvas = lab.page.locator(".medn-branch-explorer canvas.medn-dots")
    handle, points = canvas.element_handle(), plot.points(plot.trace_names().index("motion points"))
    before = canvas.evaluate(DRAWN)
    assert before["lit"] == before["rings"] == 0
    assert before["there"] > 90 * 3 * 9  # 90 points on three maps, the smallest marker well over nine pixels
    middle = roomy(points, radius=0.6)[0]
    drawn = plot.lasso(circle(middle, radius=0.6), axes=middle["axes"])
    lab.page.wait_for_function("canvas => +canvas.dataset.lit > 0", arg=handle)
    lit = canvas.evaluate(DRAWN)
    assert lit["lit"] in held(plot, points, drawn)
    plot.click(middle["x"], middle["y"], axes=middle["axes"])
    lab.page.wait_for_function("canvas => canvas.dataset.rings === '1'", arg=handle)
    lab.screenshot("explorer-canvas")
    lab.page.locator(".medn-branch-explorer button", has_text="Clear").click()
    lab.page.wait_for_function("canvas => canvas.dataset.lit === '0'", arg=handle)
    plot.choose_tool("Zoom")
    x, y = middle["x"], middle["y"]
    lab.page.mouse.move(*plot.pixel(x - 0.2, y - 0.2, axes=middle["axes"]))
    lab.page.mouse.down()
    lab.page.mouse.move(*plot.pixel(x + 0.2, y + 0.2, axes=middle["axes"]), steps=8)
    lab.page.mouse.up()
    lab.page.wait_for_function(
        "gd => gd._fullLayout.xaxis.range[1] - gd._fullLayout.xaxis.range[0] < 0.6", arg=plot.graph.element_handle()
    )
    lab.page.wait_for_timeout(SETTLE_MS)
    assert canvas.evaluate(DRAWN)["there"] < before["there"]  # most points of the first map are out of its frame
    lab.screenshot("explorer-canvas-zoomed")
