"""How true the flow is, recipe by recipe, and what registration leaves: against SynthME's known displacement.

Run as ``python tests/benchmarks/bench_data.py``. Relative endpoint error: the mean length of the flow's error over the
mean length of the true displacement, over the skin that the clip's AUs can move; 1 is what no flow at all would score.
The median over clips is told. Frames have sensor noise and JPEG. *still* means a head that does not move; *moving* a
head that drifts as SynthME's do, and then registered.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from medn_lab.data import FlowRecipe, optical_flow, register
from medn_lab.data.flow import resize_flow
from medn_lab.data.opencv import cv2
from medn_lab.synthme import draw_face, draw_identity, move_face

METHODS = ("dis", "farneback", "tvl1_skimage")
ACTIONS = (
    {"AU12": 1.2},
    {"AU4": 0.9},
    {"AU1": 1.0, "AU2": 1.0},
    {"AU6": 0.8, "AU12": 1.0},
    {"AU15": 0.7},
    {"AU9": 0.9},
    {"AU14": 0.8},
    {"AU17": 1.0},
)


def pairs(side: int, count: int) -> list[dict]:
    """Onset and apex of drawn faces with the true field, noise and a moved head."""
    from medn_lab.synthme.actions import expression_field, sides_of

    made = []
    for number in range(count):
        face = draw_face(draw_identity(5, number), size=side)
        actions = ACTIONS[number % len(ACTIONS)]
        pixels = {(au, half): peak for au, peak in actions.items() for half in sides_of(au, "both")}
        rng = np.random.default_rng(number)
        head = cv2.getRotationMatrix2D((side / 2, side / 2), rng.normal(0, 0.3), 1.0)
        head[:, 2] += rng.normal(0, 1.5 * side / 128, 2)
        apex = move_face(face, actions)
        turned = cv2.warpAffine(apex, head, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        onset, still, turned = (_recorded(frame, rng) for frame in (move_face(face, {}), apex, turned))
        true = expression_field(face, pixels) * face.mask[..., None]
        made.append({"onset": onset, "apex": still, "turned": turned, "head": head, "true": true, "mask": face.mask})
    return made


def _recorded(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noisy = np.clip(frame + rng.normal(0, 1.6, frame.shape), 0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 94])[1], cv2.IMREAD_COLOR)


def error(flow: np.ndarray, true: np.ndarray) -> float:
    """Relative endpoint error where the truth moves by a tenth of its peak or more."""
    length = np.linalg.norm(true, axis=-1)
    moved = length > 0.1 * length.max()
    return float(np.linalg.norm(flow - true, axis=-1)[moved].mean() / length[moved].mean())


def residual(pair: dict, matrix: np.ndarray) -> float:
    """How far the face's points are from where they should be after registration, in pixels of the picture."""
    points = np.argwhere(pair["mask"] > 0.5)[::97, ::-1].astype(float)
    moved = points @ pair["head"][:, :2].T + pair["head"][:, 2]
    return float(np.linalg.norm(moved @ matrix[:, :2].T + matrix[:, 2] - points, axis=1).mean())


def measure(count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two tables: flow by method and size, registration by size."""
    flows, heads = [], []
    for side in (128, 256):
        made = pairs(side, count)
        for refine in (False, True):
            start = time.perf_counter()
            found = [register(p["turned"], onset=p["onset"], mask=p["mask"], refine=refine) for p in made]
            spent = (time.perf_counter() - start) / count
            left = np.array([residual(pair, one.matrix) for pair, one in zip(made, found, strict=True)]) * 128 / side
            name = "corners + flow" if refine else "corners"
            heads.append((side, name, np.median(left), np.quantile(left, 0.9), 1000 * spent))
        for method in METHODS:
            for size in (side, side // 2):
                start = time.perf_counter()
                still, moving = [], []
                for pair, one in zip(made, found, strict=True):
                    options = {"method": method, "size": size, "mask": pair["mask"]}
                    true = resize_flow(pair["true"].astype(np.float32), size=size)
                    still.append(error(optical_flow(pair["onset"], pair["apex"], **options), true))
                    moving.append(error(optical_flow(pair["onset"], one.warp(pair["turned"]), **options), true))
                spent = (time.perf_counter() - start) / (2 * count)
                flows.append((method, side, size, np.median(still), np.median(moving), 1000 * spent))
    flow_columns = ["method", "computed at", "told at", "still", "moving, registered", "ms"]
    head_columns = ["computed at", "method", "median px at 128", "90 % px at 128", "ms"]
    return pd.DataFrame(flows, columns=flow_columns), pd.DataFrame(heads, columns=head_columns)


def main() -> None:
    """Print both tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=24, help="faces to draw")
    count = arguments.parse_args().count
    flows, heads = measure(count)
    recipes = ", ".join(f"{name}: {FlowRecipe.named(name).method}" for name in ("default", "hsv_tvl1", "uv_strain_28"))
    print(f"{count} faces; recipes and their methods: {recipes}")
    print(flows.round(3).to_string(index=False))
    print(heads.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
