"""Figures on the page that nbconvert writes draw in a browser without a network, and JupyterLab draws its own alone."""

import nbformat
import pytest
from lab_page import notebook_of
from lab_server import REPOSITORY
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from medn_lab.view.theme import MISSING

CELLS = (
    f"""
import sys
sys.path.insert(0, {str(REPOSITORY / "tests")!r})
from sample_records import sample_clips, sample_embedding, sample_features
from medn_lab import view
clips = sample_clips()
""",
    "view.plot_clip(clips, clips.table['clip_id'][0])",
    "figure = view.plot_embedding(sample_embedding(sample_features(clips)))\ndisplay(figure)",
    "figure.show()\nfigure.show()",
)
DRAWN = "[data-medn-figure].js-plotly-plot .main-svg:first-child"


@pytest.fixture(scope="module")
def book(chromium, tmp_path_factory) -> nbformat.NotebookNode:
    """A small notebook after a run from top to bottom: four figures, by last expression, ``display`` and ``show``."""
    place = {"metadata": {"path": str(tmp_path_factory.mktemp("book"))}}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PLOTLY_RENDERER", raising=False)  # as papermill or "Run all" would
        return NotebookClient(notebook_of(CELLS), timeout=600, resources=place).execute()


def opened(page, book, folder):
    path = folder / "page.html"
    path.write_text(HTMLExporter().from_notebook_node(book)[0], encoding="utf-8")
    page.goto(path.as_uri())
    return page.locator("[data-medn-figure]")


def test_an_exported_page_draws_every_figure_from_a_file_without_a_network(book, guarded_page, tmp_path):
    guarded_page.add_init_script("window.define = () => { throw 'define was called'; }; window.define.amd = {};")
    figures = opened(guarded_page, book, tmp_path)
    expect(guarded_page.locator(DRAWN)).to_have_count(4)
    assert figures.evaluate_all("all => all.every(gd => gd.data.length && gd.calcdata.length)")
    heights = figures.evaluate_all("all => new Set(all.map(gd => gd.clientHeight)).size")
    assert heights == 2  # two figures, one of them thrice


def test_figures_without_the_first_say_what_to_do(book, guarded_page, tmp_path):
    rest = nbformat.from_dict({**book, "cells": [*book.cells[:1], *book.cells[2:]]})
    figures = opened(guarded_page, rest, tmp_path)
    expect(figures).to_have_text([MISSING] * 3)
    expect(guarded_page.locator(DRAWN)).to_have_count(0)


def test_lab_draws_each_figure_once_from_its_json_and_stores_the_html(lab):
    lab.open_cells("figures.ipynb", *CELLS)
    lab.run_all(seconds=180)
    assert lab.errors() == []
    stored = lab.page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells
          .flatMap(cell => cell.outputs ?? []).map(output => Object.keys(output.data ?? {}))"""
    )
    assert len(stored) == 4
    assert all({"application/vnd.plotly.v1+json", "text/html"} <= set(kinds) for kinds in stored)
    for cell, figures in ((1, 1), (2, 1), (3, 2)):
        lab.scroll_to(cell)
        expect(lab.page.locator(".jp-CodeCell").nth(cell).locator(".js-plotly-plot")).to_have_count(figures)
    expect(lab.page.locator("[data-medn-figure]")).to_have_count(0)
    assert lab.plot().points()
