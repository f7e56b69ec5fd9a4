"""Rules of the package: which room may know which, by its source; what every public name says of itself."""

import ast
import dataclasses
import doctest
import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Collection, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from cases import printed

import medn_lab

parse = cache(ast.parse)
PACKAGE = Path(__file__).resolve().parents[1] / "medn_lab"

MAY_KNOW = {
    "records": set(),
    "data": {"records"},
    "synthme": {"data", "records"},
    "model": {"records"},
    "train": {"model", "records"},
    "evaluate": {"train", "model", "data.protocols", "records"},
    "diagnose": {"evaluate", "model", "records"},
    "view": {"records"},
    "widgets": {"records", "view"},
    "rerunning": {"diagnose", "evaluate", "train", "model", "synthme", "data.protocols", "records"},
}
"""Rooms (or single modules of a room) that a room may import; each also knows itself."""

THIRD_PARTIES = {
    "records": {"jinja2", "lark", "lazy_loader", "numpy", "pandas", "PIL"},
    "view": {"IPython", "cv2", "lazy_loader", "numpy", "pandas", "PIL", "plotly", "scipy"},
}
"""Rooms that keep to few outside packages."""

NETWORK_PACKAGES = {"torch", "captum", "lightning_fabric", "torchvision"}

HEAVY = {"torch", "captum", "umap", "sklearn", "scipy.stats", "matplotlib", "cv2", "skimage", "pandas", "plotly"}


def imports_of(source: str, *, module: str = "") -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a module's text imports, wherever in the text it does.

    The stub of the package `module` imports relatively. Of a bare ``import medn_lab`` counts what is then read from it,
    but for the version and the package's own place.
    """
    for node in ast.walk(parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")[: module.count(".") + 2 - node.level] if node.level else []
            base += [node.module] if node.module else []
            names = [".".join([*base, alias.name]) for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [read for read in [ast.unparse(node)] if read.startswith("medn_lab.")]
        elif isinstance(node, ast.Call) and re.search(r"\b(import_module|__import__|load)$", ast.unparse(node.func)):
            names = [one.value for one in node.args[:1] if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        yield from ((node.lineno, name) for name in names if not re.match(r"medn_lab(\.__|$)", name))


def breaches(room: str, imported: Iterator[tuple[int, str]]) -> list[str]:
    """A sentence for each import that `room` may not make."""
    found = []
    for line, name in imported:
        head, _, inside = name.partition(".")
        if head == "medn_lab":
            allowed = any(inside == known or inside.startswith(f"{known}.") for known in {room, *MAY_KNOW[room]})
            found += [] if allowed else [f"line {line}: {room} may not know {inside}"]
        elif room in THIRD_PARTIES and head not in THIRD_PARTIES[room] | sys.stdlib_module_names:
            found.append(f"line {line}: {room} may not know {head}")
    return found


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def sources(pattern: str, *, under: Path = PACKAGE) -> list[Path]:
    return sorted(path for path in under.rglob(pattern) if "__pycache__" not in path.parts)


def test_every_folder_and_file_of_the_package_is_a_room_with_known_neighbours():
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert folders | {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} == set(MAY_KNOW)


@pytest.mark.parametrize("room", MAY_KNOW)
def test_a_room_imports_only_the_rooms_it_may_know(room):
    alone = PACKAGE / f"{room}.py"  # a room is a folder, or one file
    for path in [alone] if alone.is_file() else sources("*.py*", under=PACKAGE / room):
        faults = breaches(room, imports_of(path.read_text(), module=module_of(path)))
        assert not faults, f"{path.relative_to(PACKAGE)} {faults}"


def test_modules_are_short_and_named_after_something():
    lengths = {path: len(path.read_text().splitlines()) for path in sources("*.py")}
    assert not {path: length for path, length in lengths.items() if length > 500}
    assert not {"utils", "util", "helpers", "helper", "common", "misc"} & {path.stem.strip("_") for path in lengths}


def loaded(modules: list[str], packages: Collection[str]) -> list[str]:
    """Which of the modules, imported one after the other by a fresh interpreter, brings which of the packages."""
    script = f"""
import importlib, sys
for module in {modules}:
    before = set(sys.modules)
    importlib.import_module(module)
    for name in {packages} & sys.modules.keys() - before:
        print(module, name)
"""
    return printed("-c", script)


def test_importing_a_room_loads_nothing_heavy():
    assert loaded(["medn_lab", *(f"medn_lab.{room}" for room in MAY_KNOW if (PACKAGE / room).is_dir())], HEAVY) == []


@pytest.mark.slow
def test_loading_a_model_does_not_load_the_compiler_of_torch():
    script = "import sys, medn_lab as m; m.load_pretrained(); print({'sympy', 'torch._dynamo'} & set(sys.modules))"
    assert printed("-c", script) == ["set()"]


@pytest.mark.slow
def test_numeric_modules_of_diagnose_load_no_torch():
    modules = sources("*.py", under=PACKAGE / "diagnose")
    # Those that look into a network are called attribution.
    numeric = [module_of(path) for path in modules if not path.stem.startswith("attribution")]
    assert loaded(numeric, NETWORK_PACKAGES) == []


@pytest.mark.parametrize("stub", sources("__init__.pyi"), ids=module_of)
def test_every_name_of_a_stub_resolves(stub):
    room = import_module(module_of(stub))
    imports = [node for node in parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)]
    names = [alias.asname or alias.name for node in imports for alias in node.names]
    assert not [name for name in names if not hasattr(room, name)]
    assert sorted(names) == sorted(room.__all__)
    # Importing a module sets its name in the package, in place of an exported function of the same name.
    modules = {path.stem for path in stub.parent.glob("*.py")}
    assert not modules & {name for name in names if not inspect.ismodule(getattr(room, name))}


def test_the_checker_sees_what_is_planted_and_passes_what_is_allowed():
    for room, text, faults in (
        ("evaluate", "from medn_lab.data.protocols import to_classes\nimport medn_lab\nmedn_lab.__file__.upper()", 0),
        ("diagnose", "def f():\n    from medn_lab.synthme.cue import course", 1),
        ("widgets", "import importlib\nimportlib.import_module('medn_lab.evaluate')", 1),
        ("model", "import medn_lab\nmedn_lab.fit(1)", 1),
        ("model", "from ..train import fit as fit", 1),
        ("view", "import sklearn.metrics", 1),
    ):
        assert len(breaches(room, imports_of(text, module=f"medn_lab.{room}"))) == faults


PAIRED_FIRST = {
    ("x", "y"), ("x", "xy"), ("features", "target"), ("a", "b"), ("onset", "apex"),
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
    "synthme.render_frames": "clips, one of them, and its frames",
    "synthme.write_dataset": "clips and where they go",
    "synthme.write_flow_pack": "clips and where they go",
    "data.to_classes": "to_classes(table, protocol) is fixed, so that scripts can rely on it",
    "diagnose.permutation_test": "permutation_test(measure, x, y) is fixed: what is measured, of what",
}
"""Names with more than one positional parameter, and why."""


WITHOUT_EXAMPLE = {"diagnose.warm_umap": "compiles in the background for some 15 s, and its result is that it is done"}
"""Names whose example does not run, and why."""


def _public() -> Iterator[tuple[str, object]]:
    for room in MAY_KNOW:
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


def raises_value_error(function: Callable) -> bool:
    """Whether the source of `function` itself (not what it calls) raises a ValueError."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return any(isinstance(call, ast.Call) and getattr(call.func, "id", "") == "ValueError" for call in raised)


def test_the_lists_above_and_the_top_of_the_package_name_what_is_public():
    assert not set(POSITIONAL) - set(PUBLIC) - set(METHODS)
    assert set(WITHOUT_EXAMPLE) <= set(PUBLIC)
    assert not [name for name in (*PUBLIC, *medn_lab.__all__) if name.rpartition(".")[2].startswith("_")]


def function_fault(name: str, function: Callable) -> list[str]:
    """What a function's docstring lacks: parameters, what is returned, that a ValueError is raised."""
    text = described(name)
    if name.startswith("view.plot_"):  # a figure: its size, what it returns and what it refuses are those of every one
        return undocumented(function, text.get("Parameters", ""), free=("width", "height"))
    found = undocumented(function, text.get("Parameters", ""))
    returned = inspect.signature(function).return_annotation
    if returned not in (None, "None", inspect.Signature.empty) and not {"Returns", "Yields"} & set(text):
        found.append("Returns")
    if raises_value_error(function) and "Raises" not in text:
        found.append("Raises")
    return found


def class_fault(name: str, value: type) -> list[str]:
    """Fields or arguments that a class's docstring lacks."""
    text = sections(value.__doc__ or "")
    described = text.get("Attributes", "") + "\n" + text.get("Parameters", "")
    if dataclasses.is_dataclass(value):
        fields = {field.name for field in dataclasses.fields(value) if not field.name.startswith("_")}
        return sorted(fields - documented_names(described)) if name not in DESCRIBED_TOGETHER else []
    return undocumented(CONSTRUCTORS[f"{name}()"], described) if f"{name}()" in CONSTRUCTORS else []


def method_fault(name: str, method: Callable) -> list[str]:
    """Parameters that a method's docstring lacks, if it has several."""
    several = len(parameters(method)) > 1 and method.__name__ != "forward"
    return undocumented(method, sections(method.__doc__ or "").get("Parameters", "")) if several else []


def excess_positionals(name: str, function: Callable) -> list[str]:
    """Parameters beyond the first (or first pair) that a caller could give without their name."""
    by_place = [one.name for one in parameters(function) if one.kind <= one.POSITIONAL_OR_KEYWORD]
    free = 2 if tuple(by_place[:2]) in PAIRED_FIRST or PLACES & set(by_place[1:2]) else 1
    # A network is called with tensors by place, as torch does.
    return [] if name in POSITIONAL or name.endswith(".forward") else by_place[free:]


def seed_fault(name: str, function: Callable) -> list[str]:
    """Arguments for chance that are not `seed`, a whole number, 0 by default."""
    other = [value.name for value in parameters(function) if OTHER_NAMES.fullmatch(value.name)]
    seeds = [(place, value) for place, value in enumerate(parameters(function)) if value.name == "seed"]
    for place, seed in seeds:
        # It has no default where the seed comes first, and in classes that a function with a default makes.
        required = seed.default is seed.empty and (place == 0 or (name in CONSTRUCTORS and name != "model.MEDN()"))
        if seed.annotation not in (int, "int") or not (required or seed.default == 0):
            other.append("seed")
    return [] if other == [OTHER_SEEDS.get(name, ("",))[0]] else other


@cache
def collected(module: str) -> set[str]:
    """The dotted names of a module whose examples pytest would run."""
    return {test.name for test in doctest.DocTestFinder().find(import_module(module)) if test.examples}


def example_fault(name: str, value: object) -> str:
    """Why the example of a name does not run or shows nothing."""
    if not callable(value) or name in WITHOUT_EXAMPLE:
        return ""
    found = doctest.DocTestParser().get_examples(sections(value.__doc__ or "").get("Examples", ""))
    if not any(example.want for example in found) or len(found) > 12:
        return f"its section Examples has {len(found)} lines, or shows nothing"
    if f"{value.__module__}.{value.__name__}" not in collected(value.__module__):
        return "its example is not collected"
    return "a line of its example is skipped" if any(one.options.get(doctest.SKIP) for one in found) else ""


def reference_fault(name: str, value: object) -> list[str]:
    """Names under "See Also" that are not public."""
    found = documented_names(sections(inspect.getdoc(value) or "").get("See Also", ""))
    known = {*PUBLIC, *METHODS, *(one.rpartition(".")[2] for one in PUBLIC)}
    return sorted(one for one in found if one and one.removeprefix("medn_lab.") not in known)


RULES = {
    "a function documents its parameters, returns and errors": (FUNCTIONS, function_fault),
    "a class documents its fields or arguments": (CLASSES, class_fault),
    "a method documents its parameters": (METHODS, method_fault),
    "only the first argument is given by place": (SIGNATURES, excess_positionals),
    "chance has one argument called seed": (SIGNATURES, seed_fault),
    "a name has an example that runs and shows something": (PUBLIC, example_fault),
    "a name refers to public names": (PUBLIC | METHODS, reference_fault),
}


@pytest.mark.parametrize("rule", RULES)
def test_every_public_name_keeps_the_rule(rule):
    values, fault = RULES[rule]
    found = {name: fault(name, value) for name, value in values.items()}
    assert not {name: fault for name, fault in found.items() if fault}
