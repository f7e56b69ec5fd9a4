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


def lab_of(model: medn.model.MEDN) -> FaceLab:
    studio = medn.synthme.face_studio(identity_seed=3, size=model.config.size)
    return FaceLab(studio, answer=medn.evaluate.live_predictor(model), state=START)


def test_a_move_of_a_slider(benchmark):
    lab, made = lab_of(medn.load_pretrained()), []
    states = moves(medn.synthme.face_studio(identity_seed=3))

    def move() -> None:
        made.append(next(states))
        lab.state = made[-1]
        assert lab.clip is not None  # drawn now

    asyncio.run(unsettled(lambda: benchmark.pedantic(move, rounds=20, warmup_rounds=5)))
    assert lab.state["aus"] == made[-1]["aus"]
    assert all(lab.clip.table[au].tolist() == [1.0] for au in made[-1]["aus"])
    assert len(lab.answers.predictions) == 1


def main() -> None:
    """Print median and ninth decile of the milliseconds of a move, on the clock and of the processor."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--model", default="medn_tiny.synthme_v2", help="a name or folder for load_pretrained")
    arguments.add_argument("--moves", type=int, default=50)
    chosen = arguments.parse_args()
    lab, spent = lab_of(medn.load_pretrained(chosen.model)), []
    states = moves(medn.synthme.face_studio(identity_seed=3))
    for _ in range(chosen.moves):
        begun = time.perf_counter(), time.process_time()
        asyncio.run(unsettled(lambda: (setattr(lab, "state", next(states)), lab.clip)))
        spent.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    for name, values in zip(("clock", "processor"), 1000 * np.transpose(spent), strict=True):
        print(f"{name}: median {np.median(values):.1f} ms, ninth decile {np.quantile(values, 0.9):.1f} ms")


if __name__ == "__main__":
    main()
