"""A name from data that is markup shows as text, in every widget, figure and report, and nothing of it runs."""

from hostile_records import EVIL, hostile_records
from lab_page import MapsOnPage
from playwright.sync_api import expect
from sample_records import sample_embedding

from medn_lab import diagnose, view, widgets

SHOWN = (
    "medn-branch-explorer", "medn-clip-player", "medn-evaluation-panel", "medn-decoupling-panel", "medn-pair-browser",
    "medn-attribution-viewer", "medn-face-lab", "medn-training-monitor",
)  # fmt: skip
SETUP = "from hostile_records import hostile_widgets\nshown = hostile_widgets()"


def expect_text_only(page, where=None) -> None:
    """The name stands there, no element was made of it, and what it would run has not run."""
    expect(where or page.locator("body")).to_contain_text(EVIL)
    assert page.evaluate("document.querySelectorAll('img[src=x], [onerror], [onwheel]').length") == 0
    assert page.evaluate("window.planted") is None


def test_every_widget_shows_it_as_text(lab):
    lab.open_cells("hostile.ipynb", SETUP, *(f"shown[{name!r}]" for name in SHOWN))
    lab.run_all(seconds=180)
    assert lab.errors() == []
    for place, name in enumerate(SHOWN, start=1):
        lab.scroll_to(place)
        expect_text_only(lab.page, lab.page.locator(f".{name}").first)
    explorer = lab.scroll_to_class("medn-branch-explorer")
    MapsOnPage(lab.page).hover(0, number=1)
    expect_text_only(lab.page, explorer.locator(".medn-tip"))


def test_a_report_figures_and_a_written_explorer_show_it_as_text(guarded_page, outside, tmp_path):
    page = guarded_page
    clips, predictions, features = hostile_records()
    report = diagnose.decoupling_report(features, n_permutations=9, n_shuffles=2, about={EVIL: EVIL})
    report.to_html(tmp_path / "report.html", title=EVIL)
    figure = view.plot_au_scores(predictions, clips.table["clip_id"][0])
    figure.write_html(tmp_path / "figure.html", include_plotlyjs=True)
    explorer = widgets.BranchExplorer(sample_embedding(features), clips=clips)
    explorer.to_html(tmp_path / "explorer.html", title=EVIL)
    for name in ("report", "figure", "explorer"):
        page.goto((tmp_path / f"{name}.html").as_uri())
        expect_text_only(page)
    MapsOnPage(page, within="#maps").click(0)
    expect(page.locator("#card-a .medn-title")).to_contain_text(EVIL)
    expect_text_only(page, page.locator("h1"))
    assert outside == []
