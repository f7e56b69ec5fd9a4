"""How long a move of a slider takes in FaceLab: drawing with flow, the model's answer, and all that the page receives.

Run as ``python tests/benchmarks/bench_facelab.py``: moves of single AU sliders at 64 px with the shipped tiny model,
everything but the way to the page and back. The aim is 150 ms on two cores. Processor time also holds on a busy
machine.
"""

import asyncio
import time

import numpy as np

import medn_lab as medn

START = {"aus": {"AU12": "C"}}


async def moves(count: int) -> list[tuple[float, float]]:
    """Seconds of each move, on the clock and of the processor; what waits for a pause of the page is not drawn."""
    studio = medn.synthme.face_studio(identity_seed=3)
    lab = medn.widgets.FaceLab(studio, answer=medn.evaluate.live_predictor(medn.load_pretrained()), state=START)
    rng, aus, spent = np.random.default_rng(0), dict(START["aus"]), []
    for _ in range(count):
        au = str(rng.choice(studio.aus))
        aus = aus | {au: str(rng.choice([letter for letter in "ABCDE" if letter != aus.get(au)]))}
        began = time.perf_counter(), time.process_time()
        lab.state = START | {"aus": aus}
        assert lab.clip is not None  # drawn now
        spent.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        assert lab.state["aus"] == aus
    return spent


if __name__ == "__main__":
    spent = 1000 * np.transpose(asyncio.run(moves(50)))
    for name, values in zip(("clock", "processor"), spent, strict=True):
        print(f"{name}: median {np.median(values):.1f} ms, ninth decile {np.quantile(values, 0.9):.1f} ms")
