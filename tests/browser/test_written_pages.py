"""Explorer, pairs and player as one file: it opens from disk without a network, plays, selects, colours, filters."""

import numpy as np
import pytest
from lab_page import MapsOnPage, another_picture
from outlines import held, loneliest, through_a_gap
from playwright.sync_api import expect
from sample_records import sample_clips, sample_of_each, sample_predictions

from medn_lab.diagnose import confusable_pairs
from medn_lab.widgets import BranchExplorer, ClipPlayer, PairBrowser

pytestmark = pytest.mark.acts


@pytest.fixture(scope="module")
def explorer() -> BranchExplorer:
    return BranchExplorer(**sample_of_each(n=60))


@pytest.fixture(scope="module")
def written(explorer, tmp_path_factory):
    return explorer.to_html(tmp_path_factory.mktemp("written") / "explorer.html").as_uri()


@pytest.fixture
def page(guarded_page, outside):
    broken = []
    guarded_page.emulate_media(reduced_motion="no-preference")
    guarded_page.set_viewport_size({"width": 1200, "height": 1000})
    guarded_page.on("pageerror", lambda error: broken.append(str(error)))
    guarded_page.on("console", lambda message: broken.extend([message.text] * (message.type == "error")))
    yield guarded_page
    assert (broken, outside) == ([], [])


def opened(page, address) -> MapsOnPage:
    page.goto(address)
    return MapsOnPage(page, within="#maps")


def test_a_click_plays_a_clip_and_its_partner_which_are_magnified(page, written):
    maps = opened(page, written)
    places, texts = maps.places(), maps.texts()
    with_aus = [row for row, text in enumerate(texts) if text.splitlines()[1].startswith("AU")]
    row = with_aus[loneliest(places[with_aus])]
    maps.click(row)
    expect(page.locator("#card-a .medn-title")).to_have_text(texts[row].splitlines()[0])
    faces = page.locator("canvas.medn-face-canvas")
    expect(faces).to_have_count(2)
    expect(page.locator("#message")).to_contain_text("same AU set")
    with another_picture(faces.first):
        page.wait_for_function("node => +node.dataset.frame > 2", arg=faces.first.element_handle())  # it plays
    page.get_by_role("button", name="Pause").click()
    with another_picture(faces.first):
        page.locator(".medn-magnify").press("End")
    expect(faces.first).to_have_attribute("data-magnify", "20")
    maps.wait_for("+rings === 2", number=2)
    page.set_viewport_size({"width": 800, "height": 1000})
    tops = "all => new Set(all.map(card => card.getBoundingClientRect().top)).size"  # at one moment, as maps redraw
    assert page.locator("#card-a, #card-b").evaluate_all(tops) == 1  # the cards share a row


def test_a_lasso_a_filter_and_a_colouring_act_on_every_map(page, written, explorer):
    maps = opened(page, written)
    places = maps.places()
    corners = through_a_gap(places, least=10, most=40)
    maps.lasso(corners)
    maps.wait_for("+selected > 0", number=2)
    selected = maps.drawn(number=2)["selected"]
    assert selected in held(places, corners)
    expect(page.locator("#selection")).to_contain_text(f"{selected} of 60 clips")
    page.locator("#subject").select_option(index=1)
    kept = explorer.shown["subject"].value_counts().max()
    assert np.isfinite(maps.places(number=1)[:, 0]).sum() == kept
    page.locator("#subject").select_option("")
    page.locator("#colour").select_option("predicted")
    expect(page.locator(".medn-legend-title")).to_have_text("predicted emotion")


def test_a_map_is_zoomed_panned_and_reset_with_mouse_buttons_and_keys(page, written):
    maps = opened(page, written)
    before, canvas = maps.places(), maps.canvases.first

    def after(gesture, *arguments):
        gesture(*arguments)
        page.wait_for_timeout(100)
        return maps.places()

    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    zoomed = after(canvas.press, "+")
    assert np.ptp(zoomed, axis=0) / np.ptp(before, axis=0) == pytest.approx([1.25, 1.25], rel=0.01)
    page.get_by_role("button", name="Pan").click()
    dragged = after(maps.lasso, [(x, y), (x + 40, y - 25)])
    assert np.median(dragged - zoomed, axis=0) == pytest.approx([40, -25], abs=1)
    assert maps.drawn()["selected"] == 0
    assert after(page.get_by_role("button", name="Show all points").click) == pytest.approx(before, abs=0.5)
    canvas.focus()  # until then the wheel scrolls the page
    page.mouse.move(x, y)
    assert (np.ptp(after(page.mouse.wheel, 0, -200), axis=0) > 1.2 * np.ptp(before, axis=0)).all()


def test_a_page_states_how_many_pictures_of_faces_it_holds(page, explorer, tmp_path):
    opened(page, explorer.to_html(tmp_path / "explorer.html", faces=False).as_uri()).click(0)
    expect(page.locator("body")).to_contain_text("No pictures of faces are in this file")
    expect(page.locator("#view")).to_contain_text("are not in this file")
    expect(page.locator("canvas.medn-face-canvas")).to_have_count(0)
    expect(page.get_by_role("button", name="flow arrows")).to_have_count(0)  # nothing to draw over
    text = explorer.to_html(tmp_path / "explorer.html", most_megabytes=0.1).read_text(encoding="utf-8")
    assert 0 < int(text.partition("The pictures of ")[2].split()[0]) < 60
    assert len(text) < 400_000


def test_a_list_of_pairs_is_searched_and_each_pair_plays(page, tmp_path):
    clips = sample_clips(n=40)
    browser = PairBrowser(confusable_pairs(clips.table), clips=clips, predictions=sample_predictions(clips))
    page.goto(browser.to_html(tmp_path / "pairs.html").as_uri())
    options = page.locator("#items option")
    expect(options).to_have_count(len(browser.pairs))
    expect(page.locator("canvas.medn-face-canvas")).to_have_count(2)
    expect(page.locator("#card-b .medn-title")).to_have_text(browser.pair[1])
    page.locator("#search").fill(browser.pairs["clip_b"].iloc[-1])
    left = options.count()
    assert 0 < left < len(browser.pairs)
    expect(page.locator("#count")).to_have_text(f"{left} of {len(browser.pairs)}")
    page.locator("#items").select_option(index=left - 1)
    expect(page.locator("#message")).to_have_text(options.last.inner_text())


def test_a_player_keeps_its_overlays_on_the_page(page, tmp_path):
    clips = sample_clips(n=5)
    player = ClipPlayer(clips, magnify=4)
    player.view.overlay = "magnitude"
    page.goto(player.to_html(tmp_path / "clips.html").as_uri())
    expect(page.locator("#items option")).to_have_count(5)
    face = page.locator("canvas.medn-face-canvas")
    expect(face).to_have_attribute("data-overlay", "magnitude")
    expect(page.locator("#view")).to_contain_text("length of the flow")
    page.locator("#items").select_option(index=3)
    expect(page.locator("#card-a .medn-title")).to_have_text(clips.table["clip_id"].iloc[3])


def test_the_page_passes_the_accessibility_rules(page, written):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    maps = opened(page, written)
    maps.click(loneliest(maps.places()))
    page.locator("canvas.medn-face-canvas").first.wait_for()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]
        assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found] == []
