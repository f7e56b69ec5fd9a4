"""What mypy is told: the settings of pyproject.toml hold for the package, and their exceptions only ever get fewer."""

import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["mypy"]

MOST_LEFT_OUT = 6


def test_the_package_says_that_it_is_typed():
    assert (REPOSITORY / "medn_lab" / "py.typed").is_file()


def test_few_widgets_are_left_out_and_nothing_else():
    assert not [one for one in SETTINGS["overrides"] if one.get("strict_optional") is False]
    left_out = [name for one in SETTINGS["overrides"] if one.get("ignore_errors") for name in one["module"]]
    assert all(name.startswith("medn_lab.widgets.") and "*" not in name for name in left_out)
    assert len(left_out) <= MOST_LEFT_OUT


@pytest.mark.slow
def test_mypy_finds_nothing(repository, tmp_path):
    mypy = pytest.importorskip("mypy.api", reason="pip install 'medn-lab[test]'")
    config = str(repository / "pyproject.toml")
    found, faults, status = mypy.run(
        ["--config-file", config, "--cache-dir", str(tmp_path), str(repository / "medn_lab")]
    )
    assert status == 0, found + faults
