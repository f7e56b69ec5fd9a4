"""How a committed notebook looks: executed, clean, small, more prose than code, and honest at its end."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from cases import assert_refuses
from tools.made_with import KEY, staleness

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

LARGEST = 700_000
LONGEST_CELL = 6
MOST_SECONDS = {False: 60, True: 180}
"""What a notebook may take of one processor; True: one that trains."""
CLOSING = ("What we saw", "What this does not show", "Questions")
PLOTLY = "application/vnd.plotly.v1+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PICTURES = {"image/png", "image/webp", "image/gif", "image/jpeg"}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
MACHINE_PATH = re.compile(r"(?<![\w.:/~-])(?:/(?:home|Users|root|tmp|work|mnt|private|var|opt)/[\w.-]|[A-Z]:\\\\?\w)")

Book = nbformat.NotebookNode


def is_parameters(cell: Book) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def code_of(book: Book) -> list[Book]:
    return [cell for cell in book.cells if cell.cell_type == "code" and cell.source.strip()]


def check(book: Book) -> None:
    """Hold a notebook to every rule; an AssertionError names the first that it breaks."""
    code, prose = code_of(book), [cell.source for cell in book.cells if cell.cell_type == "markdown"]
    outputs = [output for cell in code for output in cell.outputs]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run it from top to bottom"
    faults = [one for one in outputs if one.output_type == "error" or one.get("name") == "stderr"]
    assert not faults, "an error is stored"
    assert "widgets" not in book.metadata, "widget state is stored"
    assert not [cell for cell in code if "execution" in cell.metadata], "times are stored"
    shown = [text for one in outputs for kind, text in one.get("data", {}).items() if kind.startswith("text/")]
    texts = [*prose, *(cell.source for cell in code), *(one.get("text", "") for one in outputs), *shown]
    assert not [text for text in texts if MACHINE_PATH.search(text)], "a path of one machine"

    assert len(list(filter(str.strip, prose))) >= len(code), "less prose than code"
    for cell in code:
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= LONGEST_CELL or is_parameters(cell), f"a long cell: {lines[0]}"
        nodes = ast.walk(ast.parse("\n".join(line for line in lines if line[:1] not in "%!")))
        assert not [one for one in nodes if isinstance(one, DEFINITIONS)], f"this belongs into the library: {lines[0]}"
    assert re.match(r"# .*\?\s*$", book.cells[0].source, re.MULTILINE), "the title must be a question"
    headings = re.findall(r"^#+ (.*?)\s*$", "\n".join(prose), re.MULTILINE)
    assert tuple(name for name in headings if name in CLOSING) == CLOSING, f"it must end with {CLOSING}"
    (body,) = [ast.parse(cell.source).body for cell in code if is_parameters(cell)]  # papermill reads one a line
    lines = {node.lineno for node in body if isinstance(node, (ast.Assign, ast.AnnAssign))}
    assert len(lines) == len(body), "the parameters cell must hold one assignment a line and nothing else"

    kinds = [{kind for output in cell.outputs for kind in output.get("data", {})} for cell in code]
    for place, cell in enumerate(code):
        near = set().union(*kinds[max(0, place - 1) : place + 2])
        bare = [one for one in cell.outputs if PLOTLY in one.get("data", {}) and "image/png" not in one.data]
        assert not bare, f"a figure without a static picture: {cell.source}"
        assert WIDGET_VIEW not in kinds[place] or near & PICTURES, f"a widget without a picture near it: {cell.source}"
    assert staleness(book) == []
    spent, most = book.metadata[KEY]["seconds"], MOST_SECONDS[any("fit(" in cell.source for cell in code)]
    assert spent <= most, f"it took {spent} s of one processor when it was executed, over {most} s"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_keeps_every_rule_and_is_small_and_valid(path):
    book = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    check(book)
    assert path.stat().st_size < LARGEST, f"{path.stat().st_size / 1e6:.2f} MB"
    assert book.nbformat == 4
    nbformat.validate(book)
    assert NOTEBOOKS[0].name == "00_start_here.ipynb"  # where make lab opens


PATH = nbformat.v4.new_output("stream", name="stdout", text="saved to /" + "home/me/x")


def without_pictures(book: Book) -> list:
    return [one.data.pop("image/png", None) for cell in code_of(book) for one in cell.outputs if "data" in one]


@pytest.mark.parametrize(("rule", "spoil"), [
    ("from top to bottom", lambda book: code_of(book)[3].update(execution_count=7)),
    ("a path", lambda book: code_of(book)[3].update(outputs=[PATH])),
    ("the library", lambda book: code_of(book)[3].update(source="def f():\n    return 1")),
    ("must end", lambda book: book.cells[-1].update(source="## What we saw\n\n## Questions")),
    ("one assignment", lambda book: next(filter(is_parameters, code_of(book))).update(source="a = 1; b = 2")),
    ("static picture", without_pictures),
    ("checkpoints", lambda book: code_of(book)[3].update(source="medn_tiny_coupled.synthme_v2")),
])  # fmt: skip
def test_a_fault_planted_in_the_first_notebook_is_found(rule, spoil):
    book = nbformat.read(NOTEBOOKS[0], as_version=4)
    spoil(book)
    assert_refuses(check, book, match=rule, error=AssertionError)
