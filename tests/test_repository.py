"""What belongs to the repository: style, types, the API reference, pinned packages, plain processor instructions."""

import platform
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import medn_lab

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
REQUIREMENTS = {canonicalize_name(line.name): line for line in map(Requirement, PROJECT["project"]["dependencies"])}
CONDA_NAMES = {"pytorch": "torch", "opencv": "opencv-python"}
"""Packages that conda-forge calls otherwise than the Python index."""


# --- style and types --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff_finds_nothing_and_looks_for_holes_faults_and_missing_docstrings(what):
    pytest.importorskip("ruff", reason="pip install 'medn-lab[test]'")
    command = [sys.executable, "-m", "ruff", *what, "--no-cache"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rules = PROJECT["tool"]["ruff"]["lint"]
    assert {"S", "B", "D"} <= set(rules["select"])
    assert set(rules["per-file-ignores"]) == {"tests/**", "**/*.pyi"}


def test_no_part_of_the_package_is_let_off_by_mypy():
    mypy = PROJECT["tool"]["mypy"]
    assert mypy["disallow_untyped_defs"]
    for one in mypy["overrides"]:
        assert set(one) == {"module", "ignore_missing_imports"}
        assert not [name for name in one["module"] if name.split(".")[0] in ("medn_lab", "*")]
    assert not set(mypy) & {"ignore_errors", "strict_optional", "disable_error_code", "exclude", "follow_imports"}
    comment = re.compile(r"#\s*mypy:|@no_type_check|type:\s*ignore(?!\[)")
    files = (REPOSITORY / "medn_lab").rglob("*.py*")
    found = [file.name for file in files if file.suffix != ".pyc" and comment.search(file.read_text("utf-8"))]
    assert not found, "settings of mypy inside of a module, or an ignored error that is not named"


@pytest.mark.slow
def test_mypy_finds_nothing(tmp_path):
    mypy = pytest.importorskip("mypy.api", reason="pip install 'medn-lab[test]'")
    config = ["--config-file", str(REPOSITORY / "pyproject.toml"), "--cache-dir", str(tmp_path)]
    found, faults, status = mypy.run([*config, str(REPOSITORY / "medn_lab")])
    assert status == 0, found + faults


# --- the reference of ``make docs`` -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_reference_has_a_page_for_each_room_with_every_public_name():
    pdoc = pytest.importorskip("pdoc", reason="pip install 'medn-lab[test]'")
    make = (REPOSITORY / "Makefile").read_text()
    (line,) = re.findall(r"^\t\$\(VENV\)/bin/pdoc .*? (medn_lab .*)$", make, re.MULTILINE)
    pages = pdoc.extract.walk_specs([part.strip("'") for part in line.split()])
    rooms = {f"medn_lab.{path.parent.name}" for path in (REPOSITORY / "medn_lab").glob("*/__init__.py")}
    assert set(pages) == {"medn_lab", "medn_lab.rerunning", *rooms}
    for page in pages:
        room = import_module(page)
        described = pdoc.doc.Module(room)
        shown = {one.name.rpartition(".")[2] for one in (*described.members.values(), *described.submodules)}
        assert set(room.__all__) <= shown, f"{page} lacks {sorted(set(room.__all__) - shown)}"


# --- packages ---------------------------------------------------------------------------------------------------------


def test_conda_asks_for_the_same_packages_and_versions_as_pyproject_and_for_the_project_itself():
    conda = yaml.safe_load((REPOSITORY / "environment.yml").read_text())["dependencies"]
    (pip,) = [part["pip"] for part in conda if isinstance(part, dict)]
    assert "-e ." in pip
    lines = [line for line in conda if isinstance(line, str)] + [line for line in pip if line[0] != "-"]
    read = [Requirement(re.sub(r"(?<![=<>~!])=(?!=)", "==", line)) for line in lines]
    wanted = {canonicalize_name(CONDA_NAMES.get(one.name, one.name)): one.specifier for one in read}
    python, _ = wanted.pop("python"), wanted.pop("pip")
    assert wanted == {name: one.specifier for name, one in REQUIREMENTS.items()}
    supported = Requirement(f"python{PROJECT['project']['requires-python']}").specifier
    assert supported.contains(next(iter(python)).version)


def test_every_dependency_is_pinned_within_its_range_by_no_build_and_no_host():
    text, extras = (REPOSITORY / "constraints.txt").read_text(), PROJECT["project"]["optional-dependencies"]
    pins = {canonicalize_name(one.name): one for one in map(Requirement, re.findall(r"^[^#\n]+", text, re.MULTILINE))}
    named = [*PROJECT["project"]["dependencies"], *extras["test"], *extras["voila"], *extras["docs"]]
    named += [line for line in extras["dev"] if "medn-lab" not in line]
    for line in map(Requirement, named):
        pin = pins[canonicalize_name(line.name)]
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert line.specifier.contains(exact.version), f"{pin} is outside of {line}"
    assert "://" not in text
    assert not [str(pin) for pin in pins.values() if "+" in str(pin.specifier) or pin.url]
    assert pins["opencv-python"].specifier == pins["opencv-python-headless"].specifier
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert medn_lab.__version__ == PROJECT["project"]["version"] == citation["version"] == version("medn-lab")


# --- ``make test-portable`` -------------------------------------------------------------------------------------------


PROGRAM = """
import numpy, torch
from numpy._core._multiarray_umath import __cpu_dispatch__ as built, __cpu_features__ as used
print(torch.backends.cpu.get_cpu_capability(), [name for name in built if used[name]])
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine().lower() not in {"x86_64", "amd64"}, reason="held back on x86-64 only")
def test_numpy_and_torch_use_plain_instructions_and_warn_of_nothing():
    command = [sys.executable, str(REPOSITORY / "tests/tools/other_processor.py"), sys.executable, "-W", "error"]
    done = subprocess.run([*command, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "DEFAULT []"
    assert done.stderr == ""
