"""``environment.yml``, ``constraints.txt`` and ``pyproject.toml`` say the same, and what is installed obeys them."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
REQUIREMENTS = {canonicalize_name(line.name): line for line in map(Requirement, PROJECT["dependencies"])}

CONDA_NAMES = {"pytorch": "torch", "opencv": "opencv-python"}
"""Packages that conda-forge calls otherwise than the Python index."""


def conda_environment() -> dict:
    return yaml.safe_load((REPOSITORY / "environment.yml").read_text())


def conda_requirements() -> dict[str, Requirement]:
    listed = conda_environment()["dependencies"]
    lines = [line for line in listed if isinstance(line, str)]
    lines += [line for part in listed if isinstance(part, dict) for line in part["pip"] if not line.startswith("-")]
    read = [Requirement(re.sub(r"(?<![=<>~!])=(?!=)", "==", line)) for line in lines]
    return {canonicalize_name(CONDA_NAMES.get(one.name, one.name)): one for one in read}


def constraints() -> dict[str, Requirement]:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(one.name): one for one in map(Requirement, filter(lambda s: s and s[0] != "#", lines))}


def test_conda_asks_for_the_same_packages_and_versions_as_pyproject():
    asked = conda_requirements()
    assert set(asked) - {"python", "pip"} == set(REQUIREMENTS)
    assert {name: asked[name].specifier for name in REQUIREMENTS} == {
        name: one.specifier for name, one in REQUIREMENTS.items()
    }


def test_conda_takes_a_python_that_the_project_supports_and_installs_the_project_itself():
    listed = conda_environment()["dependencies"]
    (python,) = [line for line in listed if str(line).startswith("python=")]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python.removeprefix("python="))
    (pip,) = [part["pip"] for part in listed if isinstance(part, dict)]
    assert "-e ." in pip


def test_every_dependency_is_pinned_within_its_range():
    pins = constraints()
    extras = PROJECT["optional-dependencies"]
    named = [*PROJECT["dependencies"], *extras["test"], *extras["voila"], *extras["docs"]]
    named += [line for line in extras["dev"] if "medn-lab" not in line]
    for line in map(Requirement, named):
        pin = pins[canonicalize_name(line.name)]
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert line.specifier.contains(exact.version), f"{pin} is outside of {line}"


def test_pins_name_no_build_and_no_host_and_both_opencv_wheels_have_one_version():
    assert "://" not in (REPOSITORY / "constraints.txt").read_text()
    pins = constraints()
    assert not [str(pin) for pin in pins.values() if "+" in str(pin.specifier) or pin.url]
    assert pins["opencv-python"].specifier == pins["opencv-python-headless"].specifier


def test_the_version_is_said_once():
    import medn_lab

    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert medn_lab.__version__ == PROJECT["version"] == citation["version"] == version("medn-lab")
