"""What mypy is told: the settings of pyproject.toml hold for the whole package, without an exception."""

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["mypy"]


def test_no_part_of_the_package_is_let_off():
    for one in SETTINGS["overrides"]:
        assert set(one) == {"module", "ignore_missing_imports"}
        assert not [name for name in one["module"] if name.split(".")[0] in ("medn_lab", "*")]
    assert not set(SETTINGS) & {"ignore_errors", "strict_optional", "disable_error_code", "exclude", "follow_imports"}
    files = [*(REPOSITORY / "medn_lab").rglob("*.py"), *(REPOSITORY / "medn_lab").rglob("*.pyi")]
    told = {
        file.name
        for file in files
        if re.search(r"#\s*mypy:|@no_type_check|type:\s*ignore(?!\[)", file.read_text("utf-8"))
    }
    assert not told, "settings of mypy inside of a module, or an ignored error that is not named"


@pytest.mark.slow
def test_mypy_finds_nothing(repository, tmp_path):
    mypy = pytest.importorskip("mypy.api", reason="pip install 'medn-lab[test]'")
    config = str(repository / "pyproject.toml")
    found, faults, status = mypy.run(
        ["--config-file", config, "--cache-dir", str(tmp_path), str(repository / "medn_lab")]
    )
    assert status == 0, found + faults
