"""How long a move of a slider takes in FaceLab: drawing with flow, the model's answer, and all that the page is told.

Run as ``python tests/benchmarks/bench_facelab.py``, or as ``python -m pytest tests/benchmarks/bench_facelab.py
--benchmark-only``. Fifty moves of single AU sliders, drawn by a seed, at 64 px with the shipped tiny model; each is a
change of the widget's own slider, so that *whole move* is everything but the way to the page and back. The aim is
150 ms on two cores. Processor time tells what a busy machine hides. The loop that plays once the sliders
rest is timed apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch

import medn_lab as medn
from medn_lab.synthme import FaceStudio
from medn_lab.widgets import FaceLab

MOVES = 50


def moves(studio: FaceStudio, *, seed: int) -> list[tuple[str, str]]:
    """Which slider goes where."""
    rng = np.random.default_rng(seed)
    return [(str(rng.choice(studio.aus)), str(rng.choice(list("ABCDE")))) for _ in range(MOVES)]


def still_lab(studio: FaceStudio, model: medn.model.MEDN) -> FaceLab:
    """A FaceLab whose face does not begin to play; without an event loop it would at every move."""
    lab = FaceLab(studio, answer=medn.evaluate.answerer(model), state={"aus": {"AU12": "C"}, "cue": "flush"})
    lab._stage._play_soon._act = lambda: None
    return lab


@pytest.fixture(scope="module")
def lab() -> FaceLab:
    return still_lab(medn.synthme.face_studio(identity_seed=3), medn.load_pretrained())


def test_a_move_of_a_slider(benchmark, lab):
    places, made = iter(moves(medn.synthme.face_studio(identity_seed=3), seed=0)), []

    def move() -> None:
        made.append(next(places))
        au, letter = made[-1]
        lab._controls.amounts[au].value = letter

    benchmark.pedantic(move, rounds=20, warmup_rounds=5, iterations=1)
    au, letter = made[-1]
    assert lab.clip.table[au].tolist() == [1.0]
    assert lab._controls.amounts[au].value == letter


def times(studio: FaceStudio, model: medn.model.MEDN, *, seed: int) -> pd.DataFrame:
    """Milliseconds of each part over the moves: median and ninth decile on the clock, and the median of the process."""
    answer, lab = medn.evaluate.answerer(model), still_lab(studio, model)
    spent: dict[str, list[tuple[float, float]]] = {}

    def timed(name: str, act: Callable[[], object]) -> object:
        begun = time.perf_counter(), time.process_time()
        found = act()
        spent.setdefault(name, []).append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
        return found

    for au, letter in moves(studio, seed=seed):
        timed("whole move", lambda au=au, letter=letter: setattr(lab._controls.amounts[au], "value", letter))
        clip = timed("draw with flow", lambda: studio(lab.state))
        timed("answer", lambda clip=clip: answer(clip))
        timed("begin to play", lab._loop)
    rows = {}
    for name, pairs in spent.items():
        clock, process = 1000 * np.array(pairs).T
        rows[name] = (np.median(clock), np.quantile(clock, 0.9), np.median(process))
    return pd.DataFrame(rows, index=["median ms", "p90 ms", "median ms of processor time"]).T


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--model", default="medn_tiny.synthme_v1", help="a name or folder for load_pretrained")
    arguments.add_argument("--seed", type=int, default=0)
    chosen = arguments.parse_args()
    model = medn.load_pretrained(chosen.model)
    for name, studio in (
        ("drawn face", medn.synthme.face_studio(identity_seed=3, size=model.config.size)),
        ("photo", medn.synthme.photo_studio(size=model.config.size)),
    ):
        print(f"{name}, {model.name}, {MOVES} moves, {torch.get_num_threads()} threads")
        print(times(studio, model, seed=chosen.seed).round(1).to_string(), end="\n\n")


if __name__ == "__main__":
    main()
