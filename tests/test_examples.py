"""Every public name has an example that runs: pytest collects them as doctests, this file sees that none is missing."""

import doctest
import inspect
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "medn_lab"
ROOMS = sorted([*(path.parent.name for path in PACKAGE.glob("*/__init__.py")), "rerunning"])

WITHOUT = {"diagnose.warm_umap": "starts some 15 s of compiling in the background, and its result is that it is done"}
"""Names whose example does not run, and why."""


def public() -> dict[str, object]:
    """Functions and classes by ``room.name``; a constant's docstring stands below it in the source."""
    rooms = {room: import_module(f"medn_lab.{room}") for room in ROOMS}
    named = {f"{room}.{name}": getattr(module, name) for room, module in rooms.items() for name in module.__all__}
    return {name: value for name, value in named.items() if callable(value) and not inspect.ismodule(value)}


PUBLIC = public()


def examples(value: object) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(inspect.getdoc(value) or "")


def section(value: object) -> str:
    """The text of a docstring's Examples section; empty without one."""
    _, _, text = (inspect.getdoc(value) or "").partition("\nExamples\n--------\n")
    return text


@cache
def collected(module: str) -> set[str]:
    """The dotted names of a module whose examples pytest would run."""
    return {test.name for test in doctest.DocTestFinder().find(import_module(module)) if test.examples}


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - WITHOUT.keys()))
def test_a_public_name_has_an_example_that_runs_and_shows_something(name):
    value = PUBLIC[name]
    found = doctest.DocTestParser().get_examples(section(value))
    assert found, f"{name} has no section Examples with a line that runs"
    assert f"{value.__module__}.{value.__name__}" in collected(value.__module__)
    assert any(example.want for example in found), f"the example of {name} shows nothing"
    assert not [example.source for example in examples(value) if example.options.get(doctest.SKIP)]


def test_names_without_an_example_exist_and_lack_it():
    assert WITHOUT.keys() <= PUBLIC.keys()
    assert not [name for name in WITHOUT if examples(PUBLIC[name])]


def test_an_example_is_short():
    lengths = {name: len(examples(value)) for name, value in PUBLIC.items()}
    assert {name: n for name, n in lengths.items() if n > 12} == {}


class TestTheCheckerItself:
    def test_it_sees_an_example_outside_its_section(self):
        def planted():
            """Do nothing.

            >>> 1 + 1
            2
            """

        assert len(examples(planted)) == 1
        assert section(planted) == ""
