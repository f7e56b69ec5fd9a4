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

HEAVY = ("torch", "captum", "umap", "sklearn", "scipy.stats", "matplotlib", "cv2", "skimage", "pandas", "plotly")

LONGEST_MODULE = 500


def imports_of(source: str, *, package: Path = PACKAGE) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a module's text imports, wherever in the text it does.

    A bare ``import medn_lab`` counts by what is then read from it: the version and the package's own place are
    everybody's, ``medn_lab.fit`` is an import of a room in disguise.
    """
    nodes = list(ast.walk(parse(source)))
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name != package.name)
        elif isinstance(node, ast.Attribute) and id(node) not in inner:
            read = ast.unparse(node)
            if read.startswith(f"{package.name}.") and not read.startswith(f"{package.name}.__"):
                yield node.lineno, read
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                place = package.parent.joinpath(*node.module.split("."))
                is_module = (place / alias.name).is_dir() or (place / f"{alias.name}.py").is_file()
                if (node.module, alias.name) == (package.name, "__version__"):
                    continue  # The version is everybody's to write down.
                yield node.lineno, f"{node.module}.{alias.name}" if is_module else node.module
        elif isinstance(node, ast.Call) and re.search(r"\b(import_module|__import__|load)$", ast.unparse(node.func)):
            texts = [one.value for one in node.args[:1] if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            yield from ((node.lineno, text) for text in texts)


def stub_imports(source: str, *, module: str) -> Iterator[tuple[int, str]]:
    """As `imports_of`, for a lazy_loader stub: its relative imports are made absolute from the package `module`."""
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.ImportFrom):
            base = module.split(".")[: len(module.split(".")) + 1 - node.level] if node.level else []
            yield node.lineno, ".".join([*base, *(node.module or "").split(".")]).rstrip(".")


def breaches(room: str, imported: Iterator[tuple[int, str]]) -> list[str]:
    """A sentence for each import that `room` may not make."""
    found = []
    for line, name in imported:
        head, _, inside = name.partition(".")
        if head == "medn_lab":
            other = inside.partition(".")[0]
            allowed = any(inside == known or inside.startswith(f"{known}.") for known in MAY_KNOW[room])
            if other != room and not allowed:
                found.append(f"line {line}: {room} may not know {inside or 'the whole package'}")
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
        text = path.read_text()
        found = imports_of(text) if path.suffix == ".py" else stub_imports(text, module=module_of(path))
        faults += [f"{path.relative_to(PACKAGE)} {fault}" for fault in breaches(room, found)]
    assert not faults, "\n".join(faults)


def test_modules_are_short_and_named_after_something():
    lengths = {path: len(path.read_text().splitlines()) for path in sources("*.py")}
    assert not {path: length for path, length in lengths.items() if length > LONGEST_MODULE}
    assert not {"utils", "util", "helpers", "helper", "common", "misc"} & {path.stem.strip("_") for path in lengths}


def loaded(modules: str, packages: Collection[str]) -> str:
    """Which of `packages` a fresh interpreter has loaded after ``import MODULES``, printed as a list."""
    script = f"import sys, {modules}; print([name for name in {packages} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("room", ["", *(room for room in MAY_KNOW if (PACKAGE / room).is_dir())])
def test_importing_a_room_loads_nothing_heavy(room):
    # The records hold DataFrames and are what every other room starts from.
    heavy = [name for name in HEAVY if not (room == "records" and name == "pandas")]
    module = f"medn_lab.{room}".rstrip(".")
    assert loaded(module, heavy) == "[]"


@pytest.mark.slow
def test_numeric_modules_of_diagnose_load_no_torch():
    modules = sources("*.py", under=PACKAGE / "diagnose")
    numeric = [module_of(path) for path in modules if not path.stem.startswith(USES_NETWORKS)]
    assert loaded(", ".join(numeric), NETWORK_PACKAGES) == "[]"


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


PLANTED = [
    ("model", "from medn_lab import train"),
    ("diagnose", "def f():\n    from medn_lab.synthme.cue import course"),
    ("widgets", "import importlib\nimportlib.import_module('medn_lab.evaluate')"),
    ("evaluate", "from medn_lab.data.protocols_old import x"),
    ("model", "import medn_lab\nmedn_lab.fit(1)"),
    ("view", "import sklearn.metrics"),
]
ALLOWED = [
    ("evaluate", "from medn_lab.data.protocols import to_classes\nimport medn_lab.data.protocols"),
    ("model", "from medn_lab import __version__\nimport medn_lab\nmedn_lab.__file__.upper()"),
    ("view", "import plotly.graph_objects as go\nfrom pathlib import Path"),
]


def test_the_checker_sees_what_is_planted_and_passes_what_is_allowed():
    assert [len(breaches(room, imports_of(text))) for room, text in PLANTED] == [1] * len(PLANTED)
    assert [breaches(room, imports_of(text)) for room, text in ALLOWED] == [[]] * len(ALLOWED)
    planted = stub_imports("from ..train import fit as fit", module="medn_lab.model")
    assert breaches("model", planted) == ["line 1: model may not know train"]
