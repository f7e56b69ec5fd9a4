"""How a committed notebook looks: executed, clean, small, more prose than code, and honest at its end."""

import ast
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import nbformat
import pytest
from tools.made_with import KEY, PRETRAINED, checkpoints_named, made_with, staleness

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

LARGEST = 700_000
LONGEST_CELL = 6
MOST_SECONDS = 60
MOST_SECONDS_OF_A_TRAINING = 180
"""What a notebook may take of one processor, and one that trains (03) too."""
CLOSING = ("What we saw", "What this does not show", "Questions")
PLOTLY = "application/vnd.plotly.v1+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
MACHINE_PATH = re.compile(r"(?<![\w.:/~-])(?:/(?:home|Users|root|tmp|work|mnt|private|var|opt)/[\w.-]|[A-Z]:\\\\?\w)")

Book = nbformat.NotebookNode


def code(book: Book) -> list[Book]:
    return [cell for cell in book.cells if cell.cell_type == "code" and cell.source.strip()]


def prose(book: Book) -> list[Book]:
    return [cell for cell in book.cells if cell.cell_type == "markdown" and cell.source.strip()]


def has_tag(cell: Book, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def headings(book: Book) -> list[str]:
    return [text.strip() for cell in prose(book) for text in re.findall(r"^#+ (.*)$", cell.source, flags=re.MULTILINE)]


def statement_lines(cell: Book) -> list[str]:
    return [line for line in cell.source.splitlines() if line.strip()]


def _is_in_order(book: Book) -> list[str]:
    counts = [cell.execution_count for cell in code(book)]
    expected = list(range(1, len(counts) + 1))
    return [] if counts == expected else [f"execution counts are {counts}: run it from top to bottom"]


def _has_no_errors(book: Book) -> list[str]:
    outputs = [output for cell in code(book) for output in cell.outputs]
    failed = [f"an error is stored: {one.ename}: {one.evalue}" for one in outputs if one.output_type == "error"]
    loud = [one.text[:200] for one in outputs if one.output_type == "stream" and one.name == "stderr"]
    return failed + [f"something was written to stderr: {text!r}" for text in loud]


def _has_no_widget_state(book: Book) -> list[str]:
    return ["widget state is stored"] if "widgets" in book.metadata else []


def _has_no_times(book: Book) -> list[str]:
    return ["execution times are stored"] if any("execution" in cell.metadata for cell in book.cells) else []


def _has_no_machine_paths(book: Book) -> list[str]:
    seen = []
    for cell in book.cells:
        texts = [cell.source]
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            texts += [output.get("text", ""), *(str(text) for kind, text in data.items() if kind.startswith("text/"))]
        seen += [match[0] for text in texts for match in MACHINE_PATH.finditer(text)]
    return [f"a path of one machine: {path}..." for path in seen]


def _has_as_much_prose_as_code(book: Book) -> list[str]:
    words, statements = len(prose(book)), len(code(book))
    return [] if words >= statements else [f"{words} prose cells beside {statements} code cells"]


def _has_short_cells(book: Book) -> list[str]:
    return [
        f"{len(statement_lines(cell))} lines in one cell: {cell.source.splitlines()[0]!r}"
        for cell in code(book)
        if len(statement_lines(cell)) > LONGEST_CELL and not has_tag(cell, "parameters")
    ]


def _defines_nothing(book: Book) -> list[str]:
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    sources = ["\n".join(line for line in cell.source.splitlines() if line[:1] not in "%!") for cell in code(book)]
    found = [node.name for text in sources for node in ast.walk(ast.parse(text)) if isinstance(node, definitions)]
    return [f"defines {name}: that belongs into the library" for name in found]


def _asks_a_question(book: Book) -> list[str]:
    first = book.cells[0]
    title = first.source.splitlines()[0] if first.source else ""
    good = first.cell_type == "markdown" and title.startswith("# ") and title.rstrip().endswith("?")
    return [] if good else [f"the title must be a question: {title!r}"]


def _closes_honestly(book: Book) -> list[str]:
    told = [name for name in headings(book) if name in CLOSING]
    return [] if tuple(told) == CLOSING else [f"it must end with {', '.join(CLOSING)}; it has {told}"]


def _has_parameters(book: Book) -> list[str]:
    tagged = [cell for cell in code(book) if has_tag(cell, "parameters")]
    if len(tagged) != 1:
        return [f"{len(tagged)} cells are tagged 'parameters', one must be"]
    # papermill reads one parameter a line.
    body = ast.parse(tagged[0].source).body
    lines = {node.lineno for node in body}
    good = all(isinstance(node, (ast.Assign, ast.AnnAssign)) for node in body) and len(lines) == len(body)
    return [] if good else ["the parameters cell must hold one assignment a line and nothing else"]


def _has_a_picture_beside_each_figure(book: Book) -> list[str]:
    cells = code(book)
    bare = [
        cell.source.splitlines()[0]
        for cell in cells
        for output in cell.outputs
        if PLOTLY in output.get("data", {}) and "image/png" not in output.data
    ]
    faults = [f"a plotly figure without its PNG: {line!r}" for line in bare]
    kinds = [{kind for output in cell.outputs for kind in output.get("data", {})} for cell in cells]
    for number, cell in enumerate(cells):
        near = set().union(*kinds[max(0, number - 1) : number + 2])
        if WIDGET_VIEW in kinds[number] and not near & {"image/png", "image/webp", "image/gif", "image/jpeg"}:
            faults.append(f"a widget without a static picture beside it: {cell.source.splitlines()[0]!r}")
    return faults


def _keeps_its_budget(book: Book) -> list[str]:
    spent = book.metadata.get(KEY, {}).get("seconds")
    if spent is None:
        return ["nothing says how long it took: run make notebooks"]
    trains = any("fit(" in cell.source for cell in code(book))
    most = MOST_SECONDS_OF_A_TRAINING if trains else MOST_SECONDS
    return [] if spent <= most else [f"it took {spent} s of one processor when it was executed, over {most} s"]


RULES: dict[str, Callable[[Book], list[str]]] = {
    "executed from top to bottom": _is_in_order,
    "no stored errors": _has_no_errors,
    "no widget state": _has_no_widget_state,
    "no times": _has_no_times,
    "no machine paths": _has_no_machine_paths,
    "as much prose as code": _has_as_much_prose_as_code,
    "short code cells": _has_short_cells,
    "no functions or classes": _defines_nothing,
    "a question as title": _asks_a_question,
    "an honest end": _closes_honestly,
    "a parameters cell": _has_parameters,
    "a picture beside each figure": _has_a_picture_beside_each_figure,
    "outputs of this version and these weights": staleness,
    "within its budget of time": _keeps_its_budget,
}


@cache
def stored(path: Path) -> Book:
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_keeps_the_rule(path, rule):
    faults = rule(stored(path))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_is_small_and_valid(path):
    assert path.stat().st_size < LARGEST, f"{path.stat().st_size / 1e6:.2f} MB"
    nbformat.validate(json.loads(path.read_text(encoding="utf-8")))


def test_the_first_notebook_is_where_make_lab_opens():
    assert not NOTEBOOKS or NOTEBOOKS[0].name == "00_start_here.ipynb"


def test_a_folder_with_files_has_notebooks():
    assert bool(NOTEBOOKS) or not list(FOLDER.glob("[!.]*"))


def good_book() -> Book:
    """A notebook that keeps every rule."""
    new = nbformat.v4
    figure = new.new_output("execute_result", {PLOTLY: {}, "image/png": "", "text/plain": "Figure"}, execution_count=3)
    cells = [
        new.new_markdown_cell("# Can motion alone tell?\n\nA sentence."),
        new.new_code_cell("subjects = 4\nseed = 0", execution_count=1, metadata={"tags": ["parameters"]}),
        new.new_markdown_cell("We load."),
        new.new_code_cell("import medn_lab as medn", execution_count=2),
        new.new_markdown_cell("We look."),
        new.new_code_cell("figure", execution_count=3, outputs=[figure]),
        new.new_markdown_cell("## What we saw\n\n## What this does not show\n\n## Questions\n\nWhy?"),
    ]
    book = new.new_notebook(cells=cells)
    book.metadata[KEY] = made_with(book) | {"seconds": 12}
    return book


def test_the_good_book_keeps_every_rule():
    assert {name: rule(good_book()) for name, rule in RULES.items()} == {name: [] for name in RULES}


def _error() -> dict:
    return nbformat.v4.new_output("error", ename="ValueError", evalue="x", traceback=[])


def _said(text: str) -> dict:
    return nbformat.v4.new_output("stream", name="stdout", text=text)


SPOILED: dict[str, Callable[[Book], object]] = {
    "executed from top to bottom": lambda book: book.cells[3].update(execution_count=7),
    "no stored errors": lambda book: book.cells[3].update(outputs=[_error()]),
    "no widget state": lambda book: book.metadata.update(widgets={}),
    "no times": lambda book: book.cells[3].metadata.update(execution={"iopub.execute_input": "2026-01-01"}),
    "no machine paths": lambda book: book.cells[3].update(outputs=[_said("saved to /" + "home/me/x")]),
    "as much prose as code": lambda book: book.update(cells=book.cells[:2] + book.cells[3:4] + book.cells[5:6]),
    "short code cells": lambda book: book.cells[3].update(source="\n".join(f"a{k} = {k}" for k in range(7))),
    "no functions or classes": lambda book: book.cells[3].update(source="def f():\n    return 1"),
    "a question as title": lambda book: book.cells[0].update(source="# Motion"),
    "an honest end": lambda book: book.cells[-1].update(source="## What we saw\n\n## Questions"),
    "a parameters cell": lambda book: book.cells[1].update(source="a = 1; b = 2"),
    "a picture beside each figure": lambda book: book.cells[5].outputs[0].data.pop("image/png"),
    "outputs of this version and these weights": lambda book: book.metadata[KEY].update(version="0.0.1"),
    "within its budget of time": lambda book: book.metadata[KEY].update(seconds=61),
}
"""A planted fault for each rule."""


@pytest.mark.parametrize("name", RULES)
def test_a_planted_fault_is_caught_by_its_rule(name):
    book = good_book()
    SPOILED[name](book)
    assert RULES[name](book)


class TestStaleness:
    """A notebook's outputs are tied to the weights that its cells name."""

    @pytest.fixture
    def weights(self, tmp_path):
        for name in ("medn_a.synthme_v2", "medn_a_coupled.synthme_v2", "medn_b.synthme_v2"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "model.safetensors").write_bytes(name.encode())
        return tmp_path

    @pytest.fixture
    def book(self, weights):
        book = good_book()
        book.cells[3]["source"] = 'model = medn.load_pretrained("medn_a.synthme_v2")'
        book.metadata[KEY] = made_with(book, folder=weights)
        return book

    def test_other_weights_of_a_named_model_make_it_stale_and_are_named(self, book, weights):
        assert staleness(book, folder=weights) == []
        (weights / "medn_b.synthme_v2" / "model.safetensors").write_bytes(b"trained again")
        assert staleness(book, folder=weights) == [], "it does not name that model"
        (weights / "medn_a.synthme_v2" / "model.safetensors").write_bytes(b"trained again")
        (fault,) = staleness(book, folder=weights)
        assert "other weights of medn_a.synthme_v2" in fault

    def test_a_model_that_is_named_since_makes_it_stale_and_so_does_silence(self, book, weights):
        book.cells[3]["source"] += '\nother = medn.load_pretrained("medn_b.synthme_v2")'
        assert "medn_b.synthme_v2 (none, now" in staleness(book, folder=weights)[0]
        del book.metadata[KEY]
        assert "nothing says" in staleness(book, folder=weights)[0]

    @pytest.mark.parametrize(
        ("source", "named"),
        [
            ('f"medn_a{kind}.synthme_v2"', ["medn_a.synthme_v2", "medn_a_coupled.synthme_v2"]),
            ('names = ["medn_b.synthme_v2"]', ["medn_b.synthme_v2"]),
            ('"medn_unknown.synthme_v2"', []),
        ],
    )
    def test_names_are_read_also_where_an_f_string_makes_them(self, weights, source, named):
        assert checkpoints_named(source, folder=weights) == named

    def test_the_default_model_counts_where_none_is_named(self):
        assert checkpoints_named("medn.load_pretrained()", folder=PRETRAINED) == ["medn_tiny.synthme_v2"]
