"""``make lint`` belongs to the tests: style, docstrings, ruff's security rules and the one formatting."""

import subprocess
import sys
import tomllib

import pytest

pytest.importorskip("ruff", reason="pip install 'medn-lab[test]'")


def ruff(*arguments, cwd) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "ruff", *arguments], cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("what", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff_finds_nothing(repository, what):
    done = ruff(*what, "--no-cache", cwd=repository)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_hole_in_the_library_would_be_found(repository, tmp_path):
    settings = (repository / "pyproject.toml").read_text()
    assert "S" in tomllib.loads(settings)["tool"]["ruff"]["lint"]["select"]
    (tmp_path / "pyproject.toml").write_text(settings)
    (tmp_path / "hole.py").write_text('"""A hole."""\n\nimport pickle\n\npickle.loads(b"")\neval("1")\n')
    done = ruff("check", "--no-cache", "--output-format", "concise", "hole.py", cwd=tmp_path)
    assert {"S301", "S307"} <= set(done.stdout.replace(":", " ").split()), done.stdout
