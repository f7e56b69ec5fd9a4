"""How true the flow is by recipe, what registration leaves, where an apex is spotted: against SynthME's truth.

Run as ``python tests/benchmarks/bench_data.py``. Relative endpoint error: the mean length of the flow's error over the
mean length of the true displacement, over the skin that the clip's AUs can move; 1 is what no flow at all would score.
The median over clips is told. Frames have sensor noise and JPEG. *still* means a head that does not move; *moving* a
head that has moved by 2 px and .3 degrees, and then registered. A recipe is measured on the field that it codes, at its
own size; ``hsv_tvl1`` with scikit-image's TV-L1, which every installation has.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import pandas as pd

from medn_lab.data import (
    FaceBox,
    NoFaceError,
    crop_face,
    find_face,
    optical_flow,
    register,
    registration_error,
    spot_apex,
)
from medn_lab.data.flow import RECIPES, resize_flow
from medn_lab.data.frames import cv2
from medn_lab.synthme import draw_face, draw_identity, move_face, render_frames, synthetic_clips

HAS_TVL1 = hasattr(getattr(cv2, "optflow", None), "DualTVL1OpticalFlow_create")
METHODS = ("dis", "farneback", "tvl1_skimage", *(["tvl1"] if HAS_TVL1 else []))
"""OpenCV's own TV-L1 too where its contrib modules are installed."""
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


def recipe_errors(made: list[dict], side: int) -> list[tuple]:
    """Each recipe's error, still and registered, on faces of this size."""
    rows = []
    for name, recipe in RECIPES.items():
        usable = replace(recipe, method="tvl1_skimage") if recipe.method == "tvl1" else recipe
        size = min(usable.size, side)
        start, still, moving = time.perf_counter(), [], []
        for pair in made:
            mask = usable.outside + (1 - usable.outside) * pair["mask"]
            options = {"method": usable.method, "size": size, "mask": mask, "blur": usable.blur}
            true = resize_flow(pair["true"].astype(np.float32), size=size)
            back = register(pair["turned"], onset=pair["onset"], mask=pair["mask"]).warp(pair["turned"])
            still.append(error(optical_flow(pair["onset"], pair["apex"], **options), true))
            moving.append(error(optical_flow(pair["onset"], back, **options), true))
        spent = (time.perf_counter() - start) / (2 * len(made))
        rows.append((name, usable.method, side, size, np.median(still), np.median(moving), 1000 * spent))
    return rows


def spotted(count: int, seed: int) -> tuple[int, int, int]:
    """Of `count` clips of one corpus: within 15 % of the length, told with a confidence above .7, and both."""
    clips = synthetic_clips(n_subjects=3, clips_per_subject=max(1, count // 3), n_frames=2, seed=seed, n_jobs=1)
    near, sure = [], []
    for row in clips.table.to_dict("records"):
        numbers = list(range(row["onset"], row["offset"] + 1, 2))
        pictures = render_frames(clips, row["clip_id"], numbers, size=128)
        try:
            box = find_face(pictures[0])
        except NoFaceError:
            box = FaceBox.around(pictures[0])
        found = spot_apex([crop_face(picture, box=box, size=128) for picture in pictures])
        near.append(abs(numbers[found.position] - row["apex"]) <= 0.15 * (row["offset"] - row["onset"]))
        sure.append(found.confidence > 0.7)
    return sum(near), sum(sure), sum(np.logical_and(near, sure))


def measure(count: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The three tables: flow by recipe, flow by method and size, registration by size."""
    recipes, flows, heads = [], [], []
    for side in (128, 256):
        made = pairs(side, count)
        for refine in (False, True):
            start = time.perf_counter()
            found = [register(p["turned"], onset=p["onset"], mask=p["mask"], refine=refine) for p in made]
            spent = (time.perf_counter() - start) / count
            known = [
                registration_error(one, planted=pair["head"], mask=pair["mask"])
                for pair, one in zip(made, found, strict=True)
            ]
            left = np.array(known) * 128 / side
            name = "corners + flow" if refine else "corners"
            heads.append((side, name, np.median(left), np.quantile(left, 0.9), 1000 * spent))
        recipes += recipe_errors(made, side)
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
    seen = ["computed at", "told at", "still", "moving, registered", "ms"]
    head_columns = ["computed at", "method", "median px at 128", "90 % px at 128", "ms"]
    return (
        pd.DataFrame(recipes, columns=["recipe", "method", *seen]),
        pd.DataFrame(flows, columns=["method", *seen]),
        pd.DataFrame(heads, columns=head_columns),
    )


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=24, help="faces to draw")
    arguments.add_argument("--seeds", type=int, nargs="*", default=[21, 22], help="corpora in which apexes are spotted")
    chosen = arguments.parse_args()
    print(f"{chosen.count} faces")
    for table in measure(chosen.count):
        print(table.round(3).to_string(index=False), end="\n\n")
    for seed in chosen.seeds:
        near, sure, both = spotted(24, seed)
        print(f"seed {seed}: apex within 15 % of the length on {near} of 24; on {both} of {sure} with confidence > .7")


if __name__ == "__main__":
    main()
