"""BranchExplorer in a real browser: every gesture on the maps, in the page and in the kernel."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
from lab_page import LabPage, MapsOnPage
from outlines import circle, held, loneliest, through_a_gap
from playwright.sync_api import expect

pytestmark = pytest.mark.acts

SETUP = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r})
import ipywidgets as widgets
from sample_records import sample_clips, sample_embedding, sample_features, sample_predictions
from medn_lab.widgets import BranchExplorer

clips = sample_clips(n=90)
features = sample_features(clips)
explorer = BranchExplorer(
    sample_embedding(features), clips=clips, predictions=sample_predictions(clips), features=features)
heard = []
sizes = widgets.Label("[]").add_class("heard-selections")

def hear(change):
    heard.append(len(change.new))
    sizes.value = str(heard)

explorer.observe(hear, "selection")
"""


@pytest.fixture(scope="module")
def explorer_notebook(lab_server) -> str:
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(text) for text in (SETUP.strip(), "widgets.VBox([explorer, sizes])")]
    )
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, lab_server.root / "explorer.ipynb")
    return "explorer.ipynb"


@pytest.fixture
def maps(lab, explorer_notebook) -> MapsOnPage:
    lab.open_notebook(explorer_notebook)
    lab.run_all(seconds=120)
    assert lab.errors() == []
    lab.scroll_to(1)
    return MapsOnPage(lab.page)


def heard_sizes(lab: LabPage, *, at_least: int) -> list[int]:
    """Wait until so many selections have been heard and a moment longer, and return the sizes of all that were."""
    sizes = lab.page.locator(".heard-selections").element_handle()
    lab.page.wait_for_function("([node, count]) => JSON.parse(node.innerText).length >= count", arg=[sizes, at_least])
    lab.page.wait_for_timeout(300)
    return json.loads(sizes.inner_text())


def test_ten_lassos_are_each_heard_once_wherever_they_end_and_light_every_map(lab, maps):
    places = maps.places()
    heard = []
    for end in np.argsort(np.linalg.norm(places - places.mean(axis=0), axis=1))[:10]:
        corners = circle((places[end][0] - 25, places[end][1]), radius=25)  # the clip is the last corner
        corners = [*corners[1:], corners[0]]
        maps.lasso(corners)
        sizes = heard_sizes(lab, at_least=len(heard) + 1)
        assert sizes[:-1] == heard
        assert sizes[-1] in held(places, corners)
        assert [maps.drawn(number=number)["lit"] for number in range(3)] == [sizes[-1]] * 3
        heard = sizes
    lab.screenshot("explorer-lasso")


def test_shift_adds_alt_takes_away_and_a_double_click_or_escape_clears(lab, maps):
    places = maps.places(number=1)
    first = through_a_gap(places, least=5, most=20)
    maps.lasso(first)
    (size,) = heard_sizes(lab, at_least=1)
    everything = [tuple(map(float, corner)) for corner in _box(places)]
    maps.lasso(everything, modifier="Shift")
    assert heard_sizes(lab, at_least=2)[1] == 90
    maps.lasso(first, modifier="Alt")
    assert heard_sizes(lab, at_least=3)[2] == 90 - size
    row = loneliest(places)
    lab.page.mouse.dblclick(*places[row])
    assert heard_sizes(lab, at_least=4)[3] == 0
    maps.lasso(first)
    maps.canvases.nth(1).press("Escape")
    assert heard_sizes(lab, at_least=6) == [size, 90, 90 - size, 0, size, 0]
    expect(lab.page.locator(".medn-branch-explorer")).to_contain_text("Nothing is selected")


def _box(places: np.ndarray) -> list[list[float]]:
    (left, top), (right, bottom) = places.min(axis=0) - 4, places.max(axis=0) + 4
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def test_the_pointer_rings_a_clip_on_every_map_and_a_click_plays_it_inside_a_lasso_too(lab, maps):
    places, texts = maps.places(), maps.texts()
    row = loneliest(places)
    maps.lasso(circle(tuple(places[row]), radius=30))
    maps.wait_for("+lit > 0")
    maps.hover(row)
    assert [maps.drawn(number=number)["hovered"] for number in range(3)] == [row] * 3
    clip_id = texts[row].splitlines()[0]
    expect(lab.page.locator(".medn-branch-explorer .medn-tip")).to_contain_text(clip_id)
    maps.click(row)
    lab.page.locator(".medn-branch-explorer .medn-title", has_text=clip_id).wait_for()
    maps.wait_for("+rings === 1", number=2)
    lab.screenshot("explorer-click")


def test_a_map_is_zoomed_panned_and_reset_with_mouse_buttons_and_keys(lab, maps):
    before = maps.places()
    canvas = maps.canvases.first
    box = canvas.bounding_box()
    canvas.press("+")
    lab.page.wait_for_timeout(100)
    zoomed = maps.places()
    spread = np.ptp(zoomed, axis=0) / np.ptp(before, axis=0)
    assert spread == pytest.approx([1.25, 1.25], rel=0.01)
    explorer = lab.page.locator(".medn-branch-explorer")
    explorer.get_by_role("button", name="Pan").click()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    lab.page.mouse.move(x, y)
    lab.page.mouse.down()
    lab.page.mouse.move(x + 40, y - 25, steps=4)
    lab.page.mouse.up()
    lab.page.wait_for_timeout(100)
    assert np.median(maps.places() - zoomed, axis=0) == pytest.approx([40, -25], abs=1)
    assert maps.drawn()["lit"] == 0
    explorer.get_by_role("button", name="Show all points").click()
    lab.page.wait_for_timeout(100)
    assert maps.places() == pytest.approx(before, abs=0.5)
    canvas.focus()  # until then the wheel scrolls the page
    lab.page.mouse.move(x, y)
    lab.page.mouse.wheel(0, -200)
    lab.page.wait_for_timeout(100)
    assert (np.ptp(maps.places(), axis=0) > 1.2 * np.ptp(before, axis=0)).all()


def test_keys_alone_reach_a_clip_and_play_it(lab, maps):
    texts = maps.texts()
    canvas = maps.canvases.first
    for _ in range(3):
        canvas.press("ArrowRight")
    maps.wait_for("+hovered === 2")
    canvas.press("Enter")
    lab.page.locator(".medn-branch-explorer .medn-title", has_text=texts[2].splitlines()[0]).wait_for()
    maps.wait_for("+rings === 1")
    assert maps.drawn()["hovered"] == 2


def test_the_legend_hides_a_category_and_brings_it_back(lab, maps):
    entry = lab.page.locator(".medn-branch-explorer .medn-entry").first
    count = int(entry.inner_text().split()[-1])
    entry.click()
    lab.page.get_by_text(f"{90 - count} of 90 clips shown").wait_for()
    assert np.isnan(maps.places()[:, 0]).sum() == count
    expect(entry).to_have_attribute("aria-pressed", "false")
    entry.click(modifiers=["Shift"])
    lab.page.get_by_text(f"{count} of 90 clips shown").wait_for()
    entry.click(modifiers=["Shift"])
    lab.page.get_by_text("of 90 clips shown").wait_for(state="hidden")
    assert not np.isnan(maps.places()).any()
    entry.press("Space")
    lab.page.get_by_text(f"{90 - count} of 90 clips shown").wait_for()
    lab.page.keyboard.press("Space")  # the focus is on the entry still
    lab.page.get_by_text("of 90 clips shown").wait_for(state="hidden")


def test_the_maps_follow_the_width_of_the_page(lab, maps):
    sizes = []
    for width in (900, 1500):
        lab.page.set_viewport_size({"width": width, "height": 900})
        lab.page.wait_for_timeout(600)
        sizes.append(sum(canvas.bounding_box()["width"] for canvas in maps.canvases.all()))
        explorer = lab.page.locator(".medn-branch-explorer").bounding_box()
        last = maps.canvases.nth(2).bounding_box()
        assert last["x"] + last["width"] <= explorer["x"] + explorer["width"] + 1
    assert sizes[1] > 1.3 * sizes[0]
