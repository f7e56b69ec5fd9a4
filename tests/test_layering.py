"""Which room may know which: the imports are read from the source, so that an import inside a function counts too."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

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

USES_NETWORKS = ("attribution",)
"""The first words of the names of those modules of ``diagnose`` that look into a network; all others are numeric: no
torch."""

NETWORK_PACKAGES = {"torch", "captum", "lightning_fabric", "torchvision"}

HEAVY = {"torch", "captum", "umap", "sklearn", "scipy.stats", "matplotlib", "cv2", "skimage", "pandas", "plotly"}

LONGEST_MODULE = 500


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
    faults = []
    for path in [alone] if alone.is_file() else sources("*.py*", under=PACKAGE / room):
        found = breaches(room, imports_of(path.read_text(), module=module_of(path)))
        faults += [f"{path.relative_to(PACKAGE)} {fault}" for fault in found]
    assert not faults, "\n".join(faults)


def test_modules_are_short_and_named_after_something():
    lengths = {path: len(path.read_text().splitlines()) for path in sources("*.py")}
    assert not {path: length for path, length in lengths.items() if length > LONGEST_MODULE}
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
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_importing_a_room_loads_nothing_heavy():
    rooms = [f"medn_lab.{room}" for room in MAY_KNOW if (PACKAGE / room).is_dir()]
    assert loaded(["medn_lab", *rooms], HEAVY) == []


@pytest.mark.slow
def test_numeric_modules_of_diagnose_load_no_torch():
    modules = sources("*.py", under=PACKAGE / "diagnose")
    numeric = [module_of(path) for path in modules if not path.stem.startswith(USES_NETWORKS)]
    assert loaded(numeric, NETWORK_PACKAGES) == []


@pytest.mark.parametrize("stub", sources("__init__.pyi"), ids=module_of)
def test_every_name_of_a_stub_resolves(stub):
    room = import_module(module_of(stub))
    imports = [node for node in parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)]
    names = [alias.asname or alias.name for node in imports for alias in node.names]
    missing = [name for name in names if not hasattr(room, name)]
    assert not missing, f"{module_of(stub)} promises {missing}"
    assert sorted(names) == sorted(room.__all__)
    # Importing a module sets its name in the package, in place of an exported function of the same name.
    modules = {path.stem for path in stub.parent.glob("*.py")}
    assert not modules & {name for name in names if not inspect.ismodule(getattr(room, name))}


def test_the_checker_sees_what_is_planted_and_passes_what_is_allowed():
    allowed = "from medn_lab.data.protocols import to_classes\nimport medn_lab\nmedn_lab.__file__.upper()"
    for room, text, faults in (
        ("evaluate", allowed, 0),
        ("diagnose", "def f():\n    from medn_lab.synthme.cue import course", 1),
        ("widgets", "import importlib\nimportlib.import_module('medn_lab.evaluate')", 1),
        ("model", "import medn_lab\nmedn_lab.fit(1)", 1),
        ("model", "from ..train import fit as fit", 1),
        ("view", "import sklearn.metrics", 1),
    ):
        assert len(breaches(room, imports_of(text, module=f"medn_lab.{room}"))) == faults
