"""BranchExplorer and ClipPlayer in a real browser with a kernel: what a gesture does in the page and in the kernel."""

import json

import numpy as np
import pytest
from lab_page import LabPage, MapsOnPage
from outlines import circle, held, loneliest, through_a_gap
from playwright.sync_api import expect

pytestmark = pytest.mark.acts

SETUP = """
import ipywidgets as widgets
from sample_records import sample_of_each
from medn_lab.widgets import BranchExplorer, ClipPlayer

records = sample_of_each(n=90)
explorer = BranchExplorer(**records)
heard = []
sizes = widgets.Label("[]").add_class("heard-selections")

def hear(change):
    heard.append(len(change.new))
    sizes.value = str(heard)

explorer.observe(hear, "selection")
player = ClipPlayer(records["clips"])
widgets.VBox([explorer, sizes, player])
"""
LATE = """() => { const make = URL.createObjectURL;
  URL.createObjectURL = blob => {
    const url = make(blob);
    if (blob.type !== 'text/javascript') return url;
    const module = `await new Promise(done => setTimeout(done, 4000));
      const { default: widget } = await import(${JSON.stringify(url)}); export default widget;`;
    return make(new Blob([module], { type: 'text/javascript' }));
  };
  URL.revokeObjectURL = () => {};
}"""
"""Widgets' modules load late, as on a busy page."""
EXECUTE = "code => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({ code }).done"


@pytest.fixture
def maps(lab) -> MapsOnPage:
    lab.open_cells("explorer.ipynb", SETUP)
    lab.run_all()
    assert lab.errors() == []
    lab.scroll_to(0)
    return MapsOnPage(lab.page)


def heard_sizes(lab: LabPage, *, at_least: int) -> list[int]:
    """Wait until so many selections have been heard and a moment longer, and return the sizes of all that were."""
    sizes = lab.page.locator(".heard-selections").element_handle()
    lab.page.wait_for_function("([node, count]) => JSON.parse(node.innerText).length >= count", arg=[sizes, at_least])
    lab.page.wait_for_timeout(300)
    return json.loads(sizes.inner_text())


def test_every_lasso_arrives_once_wherever_it_ends_and_selects_in_every_map(lab, maps):
    places, heard = maps.places(), []
    for end in np.argsort(np.linalg.norm(places - places.mean(axis=0), axis=1))[:5]:
        corners = circle((places[end][0] - 25, places[end][1]), radius=25)  # the clip is the last corner
        corners = [*corners[1:], corners[0]]
        maps.lasso(corners)
        sizes = heard_sizes(lab, at_least=len(heard) + 1)
        assert sizes[:-1] == heard
        assert sizes[-1] in held(places, corners)
        assert [maps.drawn(number=number)["selected"] for number in range(3)] == [sizes[-1]] * 3
        heard = sizes
    first = through_a_gap(places, least=5, most=20)
    (left, top), (right, bottom) = places.min(axis=0) - 4, places.max(axis=0) + 4
    maps.lasso(first)
    size = heard_sizes(lab, at_least=6)[-1]
    maps.lasso([(left, top), (right, top), (right, bottom), (left, bottom)], modifier="Shift")  # adds
    assert heard_sizes(lab, at_least=7)[-1] == 90
    maps.lasso(first, modifier="Alt")  # takes away
    assert heard_sizes(lab, at_least=8)[-1] == 90 - size
    lab.page.mouse.dblclick(*places[loneliest(places)])
    assert heard_sizes(lab, at_least=9)[-1] == 0
    maps.lasso(first)
    maps.canvases.nth(1).press("Escape")
    assert heard_sizes(lab, at_least=11)[5:] == [size, 90, 90 - size, 0, size, 0]
    expect(lab.page.locator(".medn-branch-explorer")).to_contain_text("Nothing is selected")


def test_pointer_and_keys_play_a_clip_the_legend_hides_a_category_and_the_maps_follow_the_page(lab, maps):
    places, texts = maps.places(), maps.texts()
    row = loneliest(places)
    maps.lasso(circle(tuple(places[row]), radius=30))
    maps.wait_for("+selected > 0")
    maps.hover(row)
    assert [maps.drawn(number=number)["hovered"] for number in range(3)] == [row] * 3
    explorer, names = lab.page.locator(".medn-branch-explorer"), [text.splitlines()[0] for text in texts]
    expect(explorer.locator(".medn-tip")).to_contain_text(names[row])
    maps.click(row)
    explorer.locator(".medn-title", has_text=names[row]).wait_for()
    maps.wait_for("+rings === 1", number=2)
    maps.canvases.first.press("ArrowRight")
    maps.wait_for(f"+hovered === {(row + 1) % 90}")
    maps.canvases.first.press("Enter")
    explorer.locator(".medn-title", has_text=names[(row + 1) % 90]).wait_for()
    maps.canvases.first.press("Escape")
    entry = explorer.locator(".medn-entry").first
    count = int(entry.inner_text().split()[-1])
    entry.click()
    lab.page.get_by_text(f"{90 - count} of 90 clips shown").wait_for()
    assert np.isnan(maps.places()[:, 0]).sum() == count
    expect(entry).to_have_attribute("aria-pressed", "false")
    entry.click(modifiers=["Shift"])
    lab.page.get_by_text(f"{count} of 90 clips shown").wait_for()
    entry.click(modifiers=["Shift"])
    lab.page.get_by_text("of 90 clips shown").wait_for(state="hidden")
    entry.press("Space")
    lab.page.get_by_text(f"{90 - count} of 90 clips shown").wait_for()
    lab.page.keyboard.press("Space")  # the focus is on the entry still
    lab.page.get_by_text("of 90 clips shown").wait_for(state="hidden")
    sizes = []
    for width in (900, 1500):
        lab.page.set_viewport_size({"width": width, "height": 900})
        lab.page.wait_for_timeout(600)
        sizes.append(sum(canvas.bounding_box()["width"] for canvas in maps.canvases.all()))
        box, last = explorer.bounding_box(), maps.canvases.nth(2).bounding_box()
        assert last["x"] + last["width"] <= box["x"] + box["width"] + 1
    assert sizes[1] > 1.3 * sizes[0]


def test_a_widget_whose_module_loads_late_shows_what_the_kernel_sent_before_and_after(lab):
    lab.open_cells("late.ipynb", SETUP)
    lab.page.evaluate(LATE)
    lab.run_all()
    player = lab.page.locator(".medn-clip-player")
    expect(player.locator("canvas.medn-face-canvas")).to_have_count(1)
    lab.page.evaluate(EXECUTE, "player.view.magnify = 7.5")
    expect(player.locator(".medn-factor")).to_have_text("7.5")
