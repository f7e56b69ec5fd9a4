"""Every public name keeps the house's manner: documented, typed, keyword-only after the record, no default a trap."""

import ast
import dataclasses
import doctest
import inspect
import re
import textwrap
import typing
from collections.abc import Callable, Collection, Iterator
from functools import cache
from importlib import import_module

import numpy as np

import medn_lab

ROOMS = ("records", "data", "synthme", "model", "train", "evaluate", "diagnose", "view", "widgets", "rerunning")

PAIRED_FIRST = {
    ("x", "y"), ("xy", "features"), ("x", "xy"), ("features", "target"), ("a", "b"), ("onset", "apex"),
    ("seed", "number"), ("face", "actions"), ("photo", "action_units"), ("index", "out"), ("motion", "emotion"),
    ("motion", "guess"), ("true", "predicted"), ("output", "targets"), ("config", "clips"),
    ("config", "table"), ("model", "clips"), ("features", "counterfactuals"),
}  # fmt: skip
"""First two parameters that are one thing in two halves: a measure of a pair reads ``measure(x, y)``, and a model is
asked about clips."""

PLACES = {"clip_id", "clip_ids"}
"""Second parameters that say where in the record to look: ``plot_clip(clips, "s01_c03")``."""

DESCRIBED_TOGETHER = {"synthme.Identity": "some fifty lengths, shares and colours, whose units one sentence gives"}
"""Dataclasses whose fields are not described one by one, and why."""

POSITIONAL = {
    "records.Truth.au_mask": "a clip and one of its AUs",
    "records.frame_numbers": "onset, apex, offset, in the order of time and of every spreadsheet",
    "records.positions": "a table and the ids looked up in it",
    "synthme.render_frames": "clips, one of them, and its frames",
    "synthme.write_dataset": "clips and where they go",
    "synthme.write_flow_pack": "clips and where they go",
    "data.to_classes": "to_classes(table, protocol) is fixed, so that scripts can rely on it",
    "train.fit": "a model (or its config) and what it learns from",
    "diagnose.permutation_test": "permutation_test(measure, x, y) is fixed: what is measured, of what",
}
"""Names with more than one positional parameter, and why."""


WITHOUT_EXAMPLE = {
    "diagnose.warm_umap": "starts some 15 s of compiling in the background, and its result is that it is done"
}
"""Names whose example does not run, and why."""


def _public() -> Iterator[tuple[str, object]]:
    for room in ROOMS:
        module = import_module(f"medn_lab.{room}")
        for name in getattr(module, "__all__", ()):
            if not inspect.ismodule(getattr(module, name)) and typing.get_origin(getattr(module, name)) is None:
                yield f"{room}.{name}", getattr(module, name)


OTHER_SEEDS = {
    "synthme.face_studio": ("identity_seed", "whose face it is; `seed` draws what disturbs the recording"),
    "diagnose.map_stability": ("seeds", "several, because what differs between them is the result"),
}
"""Functions with a second argument for chance, and why."""

OTHER_NAMES = re.compile(r"random_state|random_seed|rng|generator|seeds|\w+_seed")

PUBLIC = dict(_public())
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}


def _ours(function: Callable) -> bool:
    return (getattr(function, "__module__", None) or "").startswith("medn_lab")


def _methods() -> Iterator[tuple[str, Callable]]:
    for owner, value in CLASSES.items():
        for name, member in inspect.getmembers_static(value):
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if not name.startswith("_") and inspect.isfunction(function) and _ours(function):
                yield f"{owner}.{name}", function


METHODS = dict(_methods())
"""Public methods and properties that the classes' own source holds; what torch or traitlets bring is theirs."""

CONSTRUCTORS = {
    f"{name}()": value.__init__
    for name, value in CLASSES.items()
    if not dataclasses.is_dataclass(value) and "__init__" in vars(value) and _ours(value.__init__)
}

SIGNATURES = FUNCTIONS | METHODS | CONSTRUCTORS


def sections(docstring: str) -> dict[str, str]:
    """The numpydoc sections of a docstring by their titles; the text before the first is under ``""``."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", inspect.cleandoc(docstring), flags=re.MULTILINE)
    return {"": parts[0].strip(), **dict(zip(parts[1::2], parts[2::2], strict=True))}


def described(name: str) -> dict[str, str]:
    """As `sections`, with those of the function to which "See Also" refers for the parameters."""
    own = sections(FUNCTIONS[name].__doc__ or "")
    other = re.search(r"^(\w+) : the parameters", own.get("See Also", ""), flags=re.MULTILINE)
    return (described(f"{name.rpartition('.')[0]}.{other[1]}") if other else {}) | own


def documented_names(section: str) -> set[str]:
    """The names that a Parameters or Attributes section describes (``a, b : int`` describes two)."""
    heads = re.findall(r"^(\S[^:\n]*?)\s*(?::|$)", inspect.cleandoc(section), flags=re.MULTILINE)
    return {name.strip(" *`") for head in heads for name in head.split(",")}


def parameters(function: Callable) -> list[inspect.Parameter]:
    return [value for name, value in inspect.signature(function).parameters.items() if name not in {"self", "cls"}]


def undocumented(function: Callable, section: str, *, free: Collection[str] = ()) -> list[str]:
    known = documented_names(section) | {*free}
    return [value.name for value in parameters(function) if value.name not in known]


def excess_positionals(name: str, function: Callable) -> list[str]:
    """Parameters beyond the first (or first pair) that a caller could give without their name."""
    by_place = [
        one.name for one in parameters(function) if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    free = 2 if tuple(by_place[:2]) in PAIRED_FIRST or PLACES & set(by_place[1:2]) else 1
    return [] if name in POSITIONAL else by_place[free:]


def open_string_defaults(function: Callable) -> list[str]:
    """Parameters whose default is a string while their type is neither a Literal that holds it nor plain text."""
    try:
        hints = typing.get_type_hints(function)
    except NameError:  # A type that is imported for type checkers alone.
        hints = dict(function.__annotations__)
    found = []
    for value in parameters(function):
        if isinstance(value.default, str):
            hint = hints.get(value.name)
            members = list(_members(hint))
            if not (value.default in members or str in members or re.search(r"Literal|\bstr\b", str(hint))):
                found.append(value.name)
    return found


def _members(hint: object) -> Iterator[object]:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal or not arguments:
        yield from arguments or (hint,)
    else:
        for argument in arguments:
            yield from _members(argument)


def raises_value_error(function: Callable) -> bool:
    """Whether the source of `function` itself (not what it calls) raises a ValueError."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return any(isinstance(call, ast.Call) and getattr(call.func, "id", "") == "ValueError" for call in raised)


def faults_of(found: dict[str, object]) -> dict[str, object]:
    """Only what is at fault, so that a failing rule lists every name that breaks it."""
    return {name: fault for name, fault in found.items() if fault}


def test_the_lists_above_and_the_top_of_the_package_name_what_is_public():
    assert not set(POSITIONAL) - set(PUBLIC) - set(METHODS)
    assert set(WITHOUT_EXAMPLE) <= set(PUBLIC)
    assert {"synthetic_clips", "load_pretrained", "fit", "predict", "extract_features"} <= set(medn_lab.__all__)
    assert not [name for name in (*PUBLIC, *medn_lab.__all__) if name.rpartition(".")[2].startswith("_")]


def _summary_fault(value: object) -> str:
    summary, _, rest = (inspect.getdoc(value) or "").partition("\n")
    if len(summary) <= 10 or summary.partition("(")[0] == value.__name__:
        return "no docstring"
    if not summary.endswith((".", "?", ":")):
        return f"the first line is not a sentence: {summary!r}"
    return "the first line runs on" if rest and not rest.startswith("\n") else ""


def test_a_public_name_has_a_docstring_with_a_summary_line():
    # A constant's docstring stands below it in the source.
    assert not faults_of({name: _summary_fault(value) for name, value in PUBLIC.items() if callable(value)})


def _function_fault(name: str) -> list[str]:
    function, text = FUNCTIONS[name], described(name)
    if name.startswith("view.plot_"):  # a figure: its size, what it returns and what it refuses are those of every one
        return undocumented(function, text.get("Parameters", ""), free=("width", "height"))
    found = undocumented(function, text.get("Parameters", ""))
    returned = inspect.signature(function).return_annotation
    if returned not in (None, "None", inspect.Signature.empty) and not {"Returns", "Yields"} & set(text):
        found.append("Returns")
    if raises_value_error(function) and "Raises" not in text:
        found.append("Raises")
    return found


def test_a_function_documents_parameters_returns_and_errors():
    assert not faults_of({name: _function_fault(name) for name in FUNCTIONS})


def _class_fault(name: str, value: type) -> list[str]:
    text = sections(value.__doc__ or "")
    described = text.get("Attributes", "") + "\n" + text.get("Parameters", "")
    if dataclasses.is_dataclass(value):
        fields = {field.name for field in dataclasses.fields(value) if not field.name.startswith("_")}
        return sorted(fields - documented_names(described)) if name not in DESCRIBED_TOGETHER else []
    return undocumented(CONSTRUCTORS[f"{name}()"], described) if f"{name}()" in CONSTRUCTORS else []


def test_a_class_documents_its_fields_or_its_arguments():
    assert not faults_of({name: _class_fault(name, value) for name, value in CLASSES.items()})


def _method_fault(method: Callable) -> list[str]:
    if not (inspect.getdoc(method) or "").strip():
        return ["no docstring"]
    if len(parameters(method)) > 1 and method.__name__ != "forward":
        return undocumented(method, sections(method.__doc__).get("Parameters", ""))
    return []


def test_a_method_has_a_docstring_and_names_its_parameters_when_it_has_several():
    assert not faults_of({name: _method_fault(method) for name, method in METHODS.items()})


def test_only_the_first_argument_may_be_given_by_place():
    # The network's own calls pass tensors by place, as torch does; callbacks are called by the loop.
    free = ("forward", "forward_features", "forward_head", "__call__", "on_epoch")
    checked = {name: value for name, value in SIGNATURES.items() if name.rpartition(".")[2] not in free}
    assert not faults_of({name: excess_positionals(name, value) for name, value in checked.items()})


CHANGEABLE = (list, dict, set, bytearray, np.ndarray)


def test_signatures_are_typed_and_no_default_is_a_trap():
    faults = {}
    for name, function in SIGNATURES.items():
        untyped = [value.name for value in parameters(function) if value.annotation is inspect.Parameter.empty]
        untyped += ["return"] * (inspect.signature(function).return_annotation is inspect.Signature.empty)
        changeable = [value.name for value in parameters(function) if isinstance(value.default, CHANGEABLE)]
        faults[name] = untyped + changeable + open_string_defaults(function)
    assert not faults_of(faults)


def _seed_fault(name: str, function: Callable) -> list[str]:
    other = [value.name for value in parameters(function) if OTHER_NAMES.fullmatch(value.name)]
    seeds = [(place, value) for place, value in enumerate(parameters(function)) if value.name == "seed"]
    for place, seed in seeds:
        # It has no default where the seed comes first, and in classes that a function with a default makes.
        required = seed.default is seed.empty and (place == 0 or (name in CONSTRUCTORS and name != "model.MEDN()"))
        if seed.annotation not in (int, "int") or not (required or seed.default == 0):
            other.append("seed")
    return [] if other == [OTHER_SEEDS.get(name, ("",))[0]] else other


def test_chance_has_one_argument_called_seed_a_whole_number_and_0_by_default():
    assert not faults_of({name: _seed_fault(name, function) for name, function in SIGNATURES.items()})


@cache
def collected(module: str) -> set[str]:
    """The dotted names of a module whose examples pytest would run."""
    return {test.name for test in doctest.DocTestFinder().find(import_module(module)) if test.examples}


def _example_fault(value: type) -> str:
    text = sections(value.__doc__ or "").get("Examples", "")
    found = doctest.DocTestParser().get_examples(text)
    if not any(example.want for example in found) or len(found) > 12:
        return f"its section Examples has {len(found)} lines, or shows nothing"
    if f"{value.__module__}.{value.__name__}" not in collected(value.__module__):
        return "its example is not collected"
    return "a line of its example is skipped" if any(one.options.get(doctest.SKIP) for one in found) else ""


def test_a_public_name_has_an_example_that_runs_and_shows_something():
    checked = {name: value for name, value in PUBLIC.items() if callable(value) and name not in WITHOUT_EXAMPLE}
    assert not faults_of({name: _example_fault(value) for name, value in checked.items()})


def planted(clips: int, size: int, *, seed: int, a: object = "x", b: typing.Literal["x"] = "x", c: str | None = "x"):
    """Raise, and do nothing else.

    Parameters
    ----------
    clips, size : int
        Two at once.
    """
    raise ValueError("planted")


def paired(x, y, *, d: typing.Literal["y"] | None = "x"):
    raise KeyError("other")


def test_the_checks_see_what_is_planted():
    assert undocumented(planted, sections(planted.__doc__)["Parameters"]) == ["seed", "a", "b", "c"]
    assert [excess_positionals("planted", planted), excess_positionals("paired", paired)] == [["size"], []]
    assert [open_string_defaults(planted), open_string_defaults(paired)] == [["a"], []]
    assert [raises_value_error(planted), raises_value_error(paired)] == [True, False]
