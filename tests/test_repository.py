"""What belongs to the repository: style, types, the API reference, pinned packages, plain instructions, the wheel.

The wheel is built from the checkout's files alone, and installed elsewhere it does what the checkout does.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import yaml
from cases import printed
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
    printed("-m", "ruff", *what, "--no-cache", cwd=REPOSITORY)
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
    assert next(iter(python)).version in Requirement(f"python{PROJECT['project']['requires-python']}").specifier


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
    assert (done.stdout.splitlines()[-1], done.stderr) == ("DEFAULT []", "")


# --- the wheel --------------------------------------------------------------------------------------------------------


NEEDED = {".py", ".pyi", ".typed", ".csv", ".json", ".js", ".css", ".html", ".lark"}
MODEL = "medn_tiny.synthme_v2"

CLIPS = {"n_subjects": 1, "clips_per_subject": 2, "seed": 7}

ELSEWHERE = f"""
import json, sys
sys.path.insert(0, sys.argv[1])
import medn_lab as medn
model = medn.load_pretrained("pretrained/{MODEL}")
found = medn.predict(model, medn.synthetic_clips(**{CLIPS}))
names = medn.model.pretrained_names()
print(json.dumps([medn.__file__, medn.__version__, model.name, names, found.logits.tolist()]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built offline, with the setuptools that is here."""
    if int(pytest.importorskip("setuptools").__version__.partition(".")[0]) < 77:
        pytest.skip("a wheel needs setuptools 77 or newer")
    source = tmp_path_factory.mktemp("checkout")
    shutil.copytree(REPOSITORY / "medn_lab", source / "medn_lab", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", "out")
    printed("-m", "pip", "wheel", ".", *options, cwd=source)
    (built,) = source.glob("out/*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package_and_needs_nothing_of_the_tests(wheel):
    files = (REPOSITORY / "medn_lab").rglob("*")
    wanted = {path.relative_to(REPOSITORY).as_posix() for path in files if path.suffix in NEEDED}
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        lines = opened.read(metadata).decode().splitlines()
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert {"medn_lab/py.typed", "medn_lab/__init__.pyi"} <= wanted
    assert "License-Expression: MIT" in lines
    plain = [line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert not [line for line in plain if "pytest" in line or "playwright" in line]


@pytest.mark.slow
def test_the_installed_wheel_predicts_with_a_pretrained_model_what_the_checkout_predicts(wheel, tmp_path):
    place = tmp_path / "installed"
    printed("-m", "pip", "install", "--no-deps", "--no-index", "--target", place, wheel, cwd=tmp_path)
    plain = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    lines = printed("-I", "-c", ELSEWHERE, place, cwd=REPOSITORY, env=plain)  # -I hides the checkout's own package
    file, version, name, names, logits = json.loads(lines[-1])
    assert Path(file).is_relative_to(place)
    assert (version, name, names) == (medn_lab.__version__, MODEL, [])
    here = medn_lab.predict(medn_lab.load_pretrained(MODEL), medn_lab.synthetic_clips(**CLIPS))
    np.testing.assert_allclose(logits, here.logits, rtol=0, atol=1e-5)
