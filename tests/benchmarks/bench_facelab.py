"""How long a move of a slider takes in FaceLab: drawing with flow, the model's answer, and all that the page receives.

Run as ``python tests/benchmarks/bench_facelab.py``, or as ``python -m pytest tests/benchmarks/bench_facelab.py
--benchmark-only``: moves of single AU sliders at 64 px with the shipped tiny model, everything but the way to the page
and back. The aim is 150 ms on two cores. Processor time also holds on a busy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

import medn_lab as medn
from medn_lab.synthme import FaceStudio
from medn_lab.widgets import FaceLab

START = {"aus": {"AU12": "C"}}


def moves(studio: FaceStudio) -> Iterator[dict]:
    """States, each of which differs from the one before in one slider."""
    rng, aus = np.random.default_rng(0), dict(START["aus"])
    while True:
        au = str(rng.choice(studio.aus))
        aus = aus | {au: str(rng.choice([letter for letter in "ABCDE" if letter != aus.get(au)]))}
        yield START | {"aus": aus}


async def unsettled(act: Callable[[], object]) -> object:
    """The result of `act`, called while an event loop runs: what waits for a pause is never drawn here."""
    return act()


def test_a_move_of_a_slider(benchmark):
    studio = medn.synthme.face_studio(identity_seed=3)
    lab = FaceLab(studio, answer=medn.evaluate.live_predictor(medn.load_pretrained()), state=START)
    states, made = moves(studio), []

    def move() -> None:
        made.append(next(states))
        lab.show(made[-1])

    def measure() -> None:
        benchmark.pedantic(move, rounds=20, warmup_rounds=5, iterations=1)

    asyncio.run(unsettled(measure))
    assert lab.state["aus"] == made[-1]["aus"]
    assert all(lab.clip.table[au].tolist() == [1.0] for au in made[-1]["aus"])
    assert lab.answers is not None


def main() -> None:
    """Print median and ninth decile of the milliseconds of each part, for a drawn face and a photo."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--model", default="medn_tiny.synthme_v2", help="a name or folder for load_pretrained")
    arguments.add_argument("--moves", type=int, default=50)
    chosen = arguments.parse_args()
    model = medn.load_pretrained(chosen.model)
    answer, size, rows = medn.evaluate.live_predictor(model), model.config.size, []
    studios = {
        "drawn": medn.synthme.face_studio(identity_seed=3, size=size),
        "photo": medn.synthme.photo_studio(size=size),
    }
    for name, studio in studios.items():
        lab, states = FaceLab(studio, answer=answer, state=START), moves(studio)
        parts: dict[str, Callable[[], object]] = {
            "whole move": lambda lab=lab, states=states: asyncio.run(unsettled(lambda: lab.show(next(states)))),
            "draw with flow": lambda lab=lab, studio=studio: studio(lab.state),
            "answer": lambda lab=lab: answer(lab.clip),
        }
        for part, act in [*parts.items()] * chosen.moves:
            begun = time.perf_counter(), time.process_time()
            act()
            rows.append((name, part, time.perf_counter() - begun[0], time.process_time() - begun[1]))
    found = pd.DataFrame(rows, columns=["face", "part", "ms", "ms of processor time"])
    print((1000 * found.groupby(["face", "part"], sort=False).quantile([0.5, 0.9])).round(1).to_string())


if __name__ == "__main__":
    main()
