"""How true the flow is by recipe and what registration leaves, against SynthME's truth.

Run as ``python tests/benchmarks/bench_data.py``. Relative endpoint error: the mean length of the flow's error over the
mean length of the true displacement, over the skin that the clip's AUs can move; 1 is what no flow at all would score.
The tables have the median over clips. Frames have sensor noise and JPEG. *still* means a head that does not move;
*moving* a head that has moved by 2 px and .3 degrees, and then registered. A recipe is measured on the field that it
codes, at its own size, a method at that of the frames; TV-L1 is scikit-image's, which every installation has.
"""

import argparse
import time

import numpy as np
import pandas as pd

from medn_lab.data import optical_flow, register, registration_error
from medn_lab.data.flow import RECIPES, resize_flow
from medn_lab.data.frames import cv2
from medn_lab.synthme import Identity, draw_face, move_face
from medn_lab.synthme.actions import sides_of, unit_field

ACTIONS = ({"AU12": 1.2}, {"AU4": 0.9}, {"AU1": 1.0, "AU2": 1.0}, {"AU6": 0.8, "AU12": 1.0})
ACTIONS += ({"AU15": 0.7}, {"AU9": 0.9}, {"AU14": 0.8}, {"AU17": 1.0})


def pairs(side: int, count: int) -> list[dict]:
    """Onset and apex of drawn faces with the true field, noise and a moved head."""
    made = []
    for number in range(count):
        face = draw_face(Identity(5, number), size=side)
        actions = ACTIONS[number % len(ACTIONS)]
        pixels = {(au, half): peak for au, peak in actions.items() for half in sides_of(au, "both")}
        rng = np.random.default_rng(number)
        head = cv2.getRotationMatrix2D((side / 2, side / 2), rng.normal(0, 0.3), 1.0)
        head[:, 2] += rng.normal(0, 1.5 * side / 128, 2)
        apex = move_face(face, actions)
        turned = cv2.warpAffine(apex, head, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        onset, still, turned = (_recorded(frame, rng) for frame in (move_face(face, {}), apex, turned))
        field = sum(np.float32(peak * side / 128) * unit_field(face, *au) for au, peak in pixels.items())
        true = (field * face.mask[..., None]).astype(np.float32)
        start = time.perf_counter()
        found = register(turned, onset=onset, mask=face.mask)
        spent = 1000 * (time.perf_counter() - start)
        left = registration_error(found, planted=head, mask=face.mask) * 128 / side
        images = {"onset": onset, "apex": still, "back": found.warp(turned)}
        made.append({**images, "true": true, "mask": face.mask, "left": left, "ms": spent})
    return made


def _recorded(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noisy = np.clip(frame + rng.normal(0, 1.6, frame.shape), 0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 94])[1], cv2.IMREAD_COLOR)


def error(flow: np.ndarray, true: np.ndarray) -> float:
    """Relative endpoint error where the truth moves by a tenth of its peak or more."""
    length = np.linalg.norm(true, axis=-1)
    moved = length > 0.1 * length.max()
    return float(np.linalg.norm(flow - true, axis=-1)[moved].mean() / length[moved].mean())


def measure(count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Flow by recipe and method, and registration by size."""
    flows, heads = [], []
    for side in (128, 256):
        made = pairs(side, count)
        left = np.array([pair["left"] for pair in made])
        heads.append((side, np.median(left), np.quantile(left, 0.9), np.median([pair["ms"] for pair in made])))
        ways = {name: (one.method, min(one.size, side), one.outside, one.blur) for name, one in RECIPES.items()}
        ways |= {name: (name, side, 0.0, None) for name in ("dis", "farneback", "tvl1")}
        for name, (method, size, outside, blur) in ways.items():
            start, errors = time.perf_counter(), []
            for pair in made:
                options = {"method": method.replace("tvl1", "tvl1_skimage"), "size": size, "blur": blur}
                options["mask"] = outside + (1 - outside) * pair["mask"]
                true = resize_flow(pair["true"], size=size)
                flow = (optical_flow(pair["onset"], pair[apex], **options) for apex in ("apex", "back"))
                errors.append([error(one, true) for one in flow])
            spent = 1000 * (time.perf_counter() - start) / (2 * count)
            flows.append((name, method, side, size, *np.median(errors, axis=0), spent))
    columns = ["name", "method", "computed at", "size", "still", "moving, registered", "ms"]
    of_heads = ["computed at", "median px at 128", "90 % px at 128", "ms"]
    return pd.DataFrame(flows, columns=columns), pd.DataFrame(heads, columns=of_heads)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=24, help="faces to draw")
    for table in measure(arguments.parse_args().count):
        print(table.round(3).to_string(index=False), end="\n\n")
