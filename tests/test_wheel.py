"""The wheel, built from the checkout's files alone and installed elsewhere, does what the checkout does."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import medn_lab

pytestmark = pytest.mark.slow

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


def pip(*arguments: object, cwd: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory) -> Path:
    """Built offline, with the setuptools that is here."""
    if int(pytest.importorskip("setuptools").__version__.partition(".")[0]) < 77:
        pytest.skip("a wheel needs setuptools 77 or newer")
    source = tmp_path_factory.mktemp("checkout")
    shutil.copytree(repository / "medn_lab", source / "medn_lab", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, source)
    pip("wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", "out", cwd=source)
    (built,) = source.glob("out/*.whl")
    return built


def test_the_wheel_holds_every_file_of_the_package_and_needs_nothing_of_the_tests(wheel, repository):
    files = (repository / "medn_lab").rglob("*")
    wanted = {path.relative_to(repository).as_posix() for path in files if path.suffix in NEEDED}
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        lines = opened.read(metadata).decode().splitlines()
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert {"medn_lab/py.typed", "medn_lab/__init__.pyi"} <= wanted
    assert "License-Expression: MIT" in lines
    plain = [line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert not [line for line in plain if "pytest" in line or "playwright" in line]


def test_the_installed_wheel_predicts_with_a_pretrained_model_what_the_checkout_predicts(wheel, repository, tmp_path):
    place = tmp_path / "installed"
    pip("install", "--no-deps", "--no-index", "--target", place, wheel, cwd=tmp_path)
    command = [sys.executable, "-I", "-c", ELSEWHERE, place]  # -I: the checkout's own package is not seen
    plain = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=repository, env=plain, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    file, version, name, names, logits = json.loads(done.stdout.splitlines()[-1])
    assert Path(file).is_relative_to(place)
    assert (version, name, names) == (medn_lab.__version__, MODEL, [])
    here = medn_lab.predict(medn_lab.load_pretrained(MODEL), medn_lab.synthetic_clips(**CLIPS))
    np.testing.assert_allclose(logits, here.logits, rtol=0, atol=1e-5)
