"""How a committed notebook looks: executed, clean, small, more prose than code, and honest at its end."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
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


def code(book: Book) -> list[Book]:
    return [cell for cell in book.cells if cell.cell_type == "code" and cell.source.strip()]


def prose(book: Book) -> list[Book]:
    return [cell for cell in book.cells if cell.cell_type == "markdown" and cell.source.strip()]


def outputs(book: Book) -> list[Book]:
    return [output for cell in code(book) for output in cell.outputs]


def is_parameters(cell: Book) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def _is_in_order(book: Book) -> list[str]:
    counts = [cell.execution_count for cell in code(book)]
    good = counts == list(range(1, len(counts) + 1))
    return [] if good else [f"execution counts are {counts}: run it from top to bottom"]


def _stores_results_alone(book: Book) -> list[str]:
    found = [f"an error is stored: {one.evalue}" for one in outputs(book) if one.output_type == "error"]
    loud = [one.text[:200] for one in outputs(book) if one.output_type == "stream" and one.name == "stderr"]
    found += [f"something was written to stderr: {text!r}" for text in loud]
    found += ["widget state is stored"] if "widgets" in book.metadata else []
    return found + (["times are stored"] if any("execution" in cell.metadata for cell in book.cells) else [])


def _has_no_machine_paths(book: Book) -> list[str]:
    texts = [cell.source for cell in book.cells]
    for output in outputs(book):
        data = output.get("data", {})
        texts += [output.get("text", ""), *(str(text) for kind, text in data.items() if kind.startswith("text/"))]
    return [f"a path of one machine: {match[0]}..." for text in texts for match in MACHINE_PATH.finditer(text)]


def _has_short_plain_cells(book: Book) -> list[str]:
    cells, found = code(book), []
    if len(prose(book)) < len(cells):
        found.append(f"{len(prose(book))} prose cells for {len(cells)} code cells")
    for cell in cells:
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if len(lines) > LONGEST_CELL and not is_parameters(cell):
            found.append(f"{len(lines)} lines in one cell: {lines[0]!r}")
        tree = ast.parse("\n".join(line for line in lines if line[:1] not in "%!"))
        defined = [node for node in ast.walk(tree) if isinstance(node, DEFINITIONS)]
        found += [f"defines {node.name}: that belongs into the library" for node in defined]
    return found


def _asks_and_closes(book: Book) -> list[str]:
    first = book.cells[0]
    title = first.source.splitlines()[0] if first.source else ""
    good = first.cell_type == "markdown" and title.startswith("# ") and title.rstrip().endswith("?")
    found = [] if good else [f"the title must be a question: {title!r}"]
    headings = [text.strip() for cell in prose(book) for text in re.findall(r"^#+ (.*)$", cell.source, re.MULTILINE)]
    closing = [name for name in headings if name in CLOSING]
    return found + ([] if tuple(closing) == CLOSING else [f"it must end with {', '.join(CLOSING)}; it has {closing}"])


def _has_parameters(book: Book) -> list[str]:
    tagged = [cell for cell in code(book) if is_parameters(cell)]
    if len(tagged) != 1:
        return [f"{len(tagged)} cells are tagged 'parameters', one must be"]
    body = ast.parse(tagged[0].source).body  # papermill reads one parameter a line
    lines = {node.lineno for node in body}
    good = all(isinstance(node, (ast.Assign, ast.AnnAssign)) for node in body) and len(lines) == len(body)
    return [] if good else ["the parameters cell must hold one assignment a line and nothing else"]


def _has_a_picture_next_to_each_figure(book: Book) -> list[str]:
    faults, kinds = [], [{kind for output in cell.outputs for kind in output.get("data", {})} for cell in code(book)]
    for number, cell in enumerate(code(book)):
        near = set().union(*kinds[max(0, number - 1) : number + 2])
        bare = any(PLOTLY in one.get("data", {}) and "image/png" not in one.data for one in cell.outputs)
        if bare or (WIDGET_VIEW in kinds[number] and not near & PICTURES):
            faults.append(f"a figure or widget without a static picture next to it: {cell.source.splitlines()[0]!r}")
    return faults


def _keeps_its_budget(book: Book) -> list[str]:
    spent = book.metadata.get(KEY, {}).get("seconds")
    if spent is None:
        return ["nothing says how long it took: run make notebooks"]
    most = MOST_SECONDS[any("fit(" in cell.source for cell in code(book))]
    return [] if spent <= most else [f"it took {spent} s of one processor when it was executed, over {most} s"]


RULES: dict[str, Callable[[Book], list[str]]] = {
    "executed from top to bottom": _is_in_order,
    "results alone": _stores_results_alone,
    "no machine paths": _has_no_machine_paths,
    "short plain cells": _has_short_plain_cells,
    "a question and an honest end": _asks_and_closes,
    "a parameters cell": _has_parameters,
    "a picture next to each figure": _has_a_picture_next_to_each_figure,
    "outputs of this version and these weights": staleness,
    "within its budget of time": _keeps_its_budget,
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_keeps_every_rule_and_is_small_and_valid(path):
    book = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    faults = [f"{name}: {fault}" for name, rule in RULES.items() for fault in rule(book)]
    assert not faults, "\n".join(faults)
    assert path.stat().st_size < LARGEST, f"{path.stat().st_size / 1e6:.2f} MB"
    assert book.nbformat == 4
    nbformat.validate(book)
    assert NOTEBOOKS[0].name == "00_start_here.ipynb"  # where make lab opens


ERROR = nbformat.v4.new_output("error", ename="ValueError", evalue="x", traceback=[])
PATH = nbformat.v4.new_output("stream", name="stdout", text="saved to /" + "home/me/x")
SEVEN = "\n".join(f"a{k} = {k}" for k in range(7))
OTHER_MODEL = 'model = load_pretrained("medn_tiny_coupled.synthme_v2")'


def without_pictures(book: Book) -> None:
    for output in outputs(book):
        output.get("data", {}).pop("image/png", None)


SPOILED: list[tuple[str, Callable[[Book], object]]] = [
    ("executed from top to bottom", lambda book: code(book)[3].update(execution_count=7)),
    ("results alone", lambda book: code(book)[3].update(outputs=[ERROR])),
    ("results alone", lambda book: book.metadata.update(widgets={})),
    ("no machine paths", lambda book: code(book)[3].update(outputs=[PATH])),
    ("short plain cells", lambda book: book.update(cells=book.cells[:1] + code(book))),
    ("short plain cells", lambda book: code(book)[3].update(source=SEVEN)),
    ("short plain cells", lambda book: code(book)[3].update(source="def f():\n    return 1")),
    ("a question and an honest end", lambda book: book.cells[-1].update(source="## What we saw\n\n## Questions")),
    ("a parameters cell", lambda book: next(filter(is_parameters, code(book))).update(source="a = 1; b = 2")),
    ("a picture next to each figure", without_pictures),
    ("outputs of this version and these weights", lambda book: book.metadata[KEY].update(version="0.0.1")),
    ("outputs of this version and these weights", lambda book: code(book)[3].update(source=OTHER_MODEL)),
    ("within its budget of time", lambda book: book.metadata[KEY].update(seconds=61)),
]
"""Planted faults for each rule, in the first notebook."""


def test_each_planted_fault_is_caught_by_its_rule():
    assert {name for name, _ in SPOILED} == set(RULES)
    for name, spoil in SPOILED:
        book = nbformat.read(NOTEBOOKS[0], as_version=4)
        spoil(book)
        assert RULES[name](book), name
