"""The API reference of ``make docs``: a page a room, every public name on it, nothing fetched from elsewhere."""

import re
from importlib import import_module

import pytest

pdoc = pytest.importorskip("pdoc", reason="pip install 'medn-lab[test]'")


@pytest.fixture(scope="module")
def pattern(repository) -> list[str]:
    """What ``make docs`` hands to pdoc: the package, and what of it is left out."""
    (line,) = re.findall(
        r"^\t\$\(VENV\)/bin/pdoc .*? (medn_lab .*)$", (repository / "Makefile").read_text(), re.MULTILINE
    )
    return [part.strip("'") for part in line.split()]


def test_the_reference_has_a_page_for_each_room_and_none_for_what_lies_inside(pattern, repository):
    rooms = {f"medn_lab.{path.parent.name}" for path in (repository / "medn_lab").glob("*/__init__.py")}
    rooms |= {f"medn_lab.{path.stem}" for path in (repository / "medn_lab").glob("*.py")} - {"medn_lab.__init__"}
    assert set(pdoc.extract.walk_specs(pattern)) == {"medn_lab", *rooms}


@pytest.mark.slow
def test_every_public_name_is_on_its_room_s_page(pattern):
    for page in pdoc.extract.walk_specs(pattern):
        room = import_module(page)
        described = pdoc.doc.Module(room)
        shown = {one.name.rpartition(".")[2] for one in (*described.members.values(), *described.submodules)}
        assert set(room.__all__) <= shown, f"{page} lacks {sorted(set(room.__all__) - shown)}"


def test_a_page_shows_docstring_sections_and_asks_no_other_machine():
    module = pdoc.doc.Module(import_module("medn_lab.train"))
    pdoc.render.configure(docformat="numpy", show_source=False)
    page = pdoc.render.html_module(module, all_modules={"medn_lab.train": module})
    assert 'id="fit"' in page
    assert re.search(r"<h6[^>]*>Parameters</h6>", page)
    assert "&gt;&gt;&gt; " in page
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?https?:", page)
