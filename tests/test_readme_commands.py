"""Every command that README.md and docs/ name runs, with options for a short run; else the test fails."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
import yaml
from browser.chromium_here import find_chromium

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "docs/install.md", "docs/data.md", "docs/speed.md", "docs/reliability.md"]
README = "\n\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)

PROGRAM = re.compile(
    r"(make|python3?|pip|jupyter|voila|conda|torchrun|py|pytest|bench_\w+\.py|\.venv[/\\](bin|Scripts)[/\\]\w+)(?=\s|$)"
)
NOTEBOOK = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'

SHORT = {
    "bench_browser.py": "--clips 40 --faces 12 --gestures 40 --rounds 1",
    "bench_data.py": "--count 1",
    "bench_diagnose.py": "--runs 1",
    "bench_facelab.py": "",
    "bench_import.py": "",
    "bench_model.py": "--batch 1 --rounds 1 --subjects 2 --clips 6 --epochs 1 --seeds 1",
    "bench_scale.py": "--counts 16 20 --subjects 2 --clips 4 --epochs 1 --rounds 1",
    "kill_rounds.py": "--rounds 1 --jobs prepare",
    "soak.py": "--steps 3",
}
"""Added to a script's command; the last of an option given twice counts."""


def commands(text: str) -> list[str]:
    """The commands in a text: each line of a shell's code block, and inline code that begins with a program's name.

    ``...`` at the beginning of inline code stands for the script of the command before.
    """
    found = []
    for block in re.finditer(r"^```(sh|powershell|bash)\n(.*?)^```", text, flags=re.M | re.S):
        found += [line.partition(" #")[0].strip() for line in block[2].splitlines()]
    before = ""
    for code in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
        code = code.replace("...", " ".join(before.split()[:2]), 1) if code.startswith("... ") else code
        if PROGRAM.match(code):
            found.append(code)
            before = code
    return list(dict.fromkeys(filter(None, found)))


def run(*words: object, cwd: Path = ROOT, seconds: int = 300) -> str:
    """What a command prints; its failure is the test's."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    how = {"capture_output": True, "text": True, "cwd": cwd, "env": environment, "timeout": seconds}
    done = subprocess.run(list(map(str, words)), check=False, **how)
    assert done.returncode == 0, f"{shlex.join(map(str, words))}\n{done.stdout[-1500:]}{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def run_make(words: list[str], folder: Path) -> None:
    """What a target would do, without doing it; each script and notebook that it would start is there."""
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    printed = run("make", "-n", *words)
    started = re.findall(r"[\w./-]+/\w+\.(?:py|ipynb)", printed)
    assert all((ROOT / path).is_file() for path in started if not path.startswith((".venv", "/")))
    assert all(option.partition("=")[2] in printed for option in words[1:])


@cache
def run_here(script: Path, words: tuple[str, ...]) -> str:
    """What a script prints in this process; commands that differ in a shortened option are one run."""
    printed, status = StringIO(), None
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few clips are warned about
        patch.setattr(sys, "argv", [str(script), *words])
        patch.syspath_prepend(script.parent)
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:
            status = end.code
    assert not status, printed.getvalue()
    return printed.getvalue()


def run_script(script: Path, options: list[str]) -> None:
    """A script of the repository, shortened."""
    if script.name == "bench_browser.py" and find_chromium() is None:
        pytest.skip("there is no Chromium")
    assert script.name in SHORT, f"say in SHORT how {script.name} is run in a few seconds"
    short = SHORT[script.name].split()
    given = {word for word in short if word.startswith("--")}
    words = [word for word, before in zip(options, ["", *options], strict=False) if not {word, before} & given]
    assert run_here(script, (*words, *short)).strip()


def run_python(words: list[str], folder: Path) -> None:
    """``python ...``: a module, a statement or a script; alone it is the interpreter."""
    first, *rest = words or ["--version"]
    if first.endswith(".py"):
        run_script(ROOT / first, rest)
    elif words[:2] == ["-m", "venv"]:
        run(sys.executable, "-m", "venv", "--without-pip", folder / rest[1])
    elif words[:2] == ["-m", "pip"]:
        run_pip(words[2:], folder)
    elif words[:2] == ["-m", "pytest"]:
        places = [word for word in rest if (ROOT / word).exists()]
        assert places
        options = [word for word in rest[1:] if word not in places]
        run(sys.executable, "-m", "pytest", *options, "-q", "tests/test_view_theme.py")
    else:
        run(sys.executable, first, *rest)


def run_pip(words: list[str], folder: Path) -> None:
    """What is installed is the checkout, with extras and constraints that it has; nothing is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (place,) = [word for word in words if word.startswith(".")] or pytest.fail(f"{words} installs other things")
    assert set(re.findall(r"[\w-]+", place)) <= set(project["optional-dependencies"])
    assert all((ROOT / word).is_file() for word in words if word.endswith(".txt"))


def run_jupyter(words: list[str], folder: Path) -> None:
    """Lab without serving (the browser tests do), nbconvert with an empty notebook."""
    if words[:1] == ["nbconvert"]:
        (folder / words[-1]).write_text(NOTEBOOK)
        run(sys.executable, "-m", "jupyter", *words, cwd=folder)
        assert list(folder.glob("*.html"))
        return
    assert all((ROOT / word).is_file() for word in words[1:])
    assert run(sys.executable, "-m", "jupyter", *(words[:1] or []), "--version").strip()


def run_voila(words: list[str], folder: Path) -> None:
    """Its options; ``tests/browser/test_voila.py`` serves pages."""
    assert (ROOT / words[-1]).is_dir()
    pytest.importorskip("voila")
    run(sys.executable, "-m", "voila", *words[:-1], "--version")


def run_conda(words: list[str], folder: Path) -> None:
    """The file and the name of the environment; making it needs a server."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert words in (["env", "create", "-f", "environment.yml"], ["activate", environment["name"]])


def run_torchrun(words: list[str], folder: Path) -> None:
    """Its options, with an empty script; ``test_processes.py`` trains."""
    (folder / words[-1]).write_text("")
    options = [re.sub(r"(--nproc_per_node)=\d+", r"\1=1", word) for word in words[:-1]]
    run(sys.executable, "-m", "torch.distributed.run", "--standalone", *options, words[-1], cwd=folder)


PROGRAMS: dict[str, Callable[[list[str], Path], None]] = {
    "make": run_make, "python": run_python, "python3": run_python, "pip": run_pip, "jupyter": run_jupyter,
    "voila": run_voila, "conda": run_conda, "torchrun": run_torchrun,
}  # fmt: skip


def carry_out(command: str, folder: Path) -> None:
    """Run a command in its short form; a failure where this file has none."""
    program, *words = shlex.split(command.replace("\\", "/"))
    program = Path(program).name if program.startswith(".venv/") else program
    if program == "py":  # the launcher on Windows, whose first option chooses the version
        program, words = "python", words[1:]
    if program.endswith(".py"):
        run_script(ROOT / "tests" / "benchmarks" / program, words)
    elif program in PROGRAMS:
        PROGRAMS[program](words, folder)
    else:
        pytest.fail(f"nothing here runs {command!r}")


def as_case(command: str) -> object:
    slow = re.search(r"\w+\.py\b|jupyter|pytest|pip", command)
    return pytest.param(command, marks=pytest.mark.slow if slow else (), id=command)


COMMANDS = commands(README)


@pytest.mark.parametrize("command", list(map(as_case, COMMANDS)))
def test_a_command_of_the_readme_runs(command, tmp_path):
    carry_out(command, tmp_path)


def test_the_commands_are_found_where_they_stand():
    text = "Say `make lab` and `umap`, `.venv/bin/python`.\n```sh\nmake test    # all\n```\n"
    text += "| `python a/b.py --n 3` | `... --m` |\n"
    assert commands(text) == ["make test", "make lab", ".venv/bin/python", "python a/b.py --n 3", "python a/b.py --m"]
    assert len(COMMANDS) > 25
    assert {"make test", "make proof", "bench_facelab.py"} <= set(COMMANDS)


@pytest.mark.parametrize("command", ["bench_none.py", "pytest --all", "pip install others"])
def test_a_command_that_nothing_runs_is_a_failure(command, tmp_path):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        carry_out(command, tmp_path)
