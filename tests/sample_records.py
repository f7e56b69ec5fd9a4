"""Small made-up records for tests: a drawn face whose brows or lips move, with known flow, and tables of pairs."""

from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.ndimage import map_coordinates

from medn_lab.records import BranchFeatures, Clips, Embedding, History, Predictions, frame_numbers

AUS = ("AU1", "AU4", "AU12", "AU15")
CLASSES = ("happiness", "disgust", "surprise", "others")

# Each AU is a bump of displacement: centre (x, y), width and direction (x, y), as shares of the face.
_BUMPS = {
    "AU1": ((0.5, 0.28), 0.14, (0.0, -1.0)),
    "AU4": ((0.5, 0.33), 0.12, (0.0, 0.9)),
    "AU12": ((0.34, 0.72), 0.10, (-0.6, -0.8)),
    "AU15": ((0.66, 0.74), 0.10, (0.3, 0.9)),
}
# The same AU set goes with two emotions: these are the confusable pairs.
_EMOTIONS = {
    ("AU4",): ("disgust", "others"),
    ("AU12",): ("happiness", "others"),
    ("AU1",): ("surprise", "happiness"),
    ("AU1", "AU4"): ("surprise", "others"),
    (): ("others",),
}
_FEATURES = (
    *((x, 0.32, 0.11, 0.025, (70, 50, 40)) for x in (0.33, 0.67)),
    *((x, 0.42, 0.07, 0.03, (40, 35, 40)) for x in (0.33, 0.67)),
    (0.50, 0.60, 0.04, 0.06, (180, 130, 110)),
    (0.50, 0.75, 0.16, 0.03, (150, 70, 70)),
)


def sample_clips(*, n: int = 60, size: int = 48, n_frames: int = 8, subjects: int = 4, seed: int = 0) -> Clips:
    """`n` clips of a drawn face at `size` px; the flow is the displacement that was drawn."""
    drawn = _drawn(n, size, n_frames, subjects, seed)  # once a process; each caller may change its own copy
    return Clips(drawn.frames.copy(), drawn.flow.copy(), drawn.table.copy(), recipe={"source": "sample", "size": size})


@lru_cache(maxsize=8)
def _drawn(n: int, size: int, n_frames: int, subjects: int, seed: int) -> Clips:
    rng = np.random.default_rng(seed)
    rows, frames, flows = [], [], []
    for place in range(n):
        there, emotions = list(_EMOTIONS.items())[place % len(_EMOTIONS)]
        onset, apex, offset = 10, 10 + int(rng.integers(12, 22)), 10 + int(rng.integers(36, 48))
        flow = sum((_bump(au, size) * rng.uniform(0.6, 1.4) for au in there), np.zeros((size, size, 2)))
        course = np.interp(frame_numbers(onset, apex, offset, n_frames), [onset, apex, offset], [0.0, 1.0, 0.0])
        face = _face(size, tone=place % subjects / subjects)
        shown = np.stack([_moved(face, flow * share) for share in course])
        frames.append(np.clip(shown + rng.normal(0, 1.0, shown.shape), 0, 255).astype(np.uint8))
        flows.append(flow.astype(np.float32))
        subject, emotion = f"s{place % subjects + 1:02d}", emotions[place // len(_EMOTIONS) % len(emotions)]
        rows.append({
            "clip_id": f"{subject}_{place:03d}", "dataset": "sample", "subject": subject, "onset": onset, "apex": apex,
            "offset": offset, "fps": 200.0, "emotion": emotion, "action_units": "+".join(au[2:] for au in there),
            **{au: float(au in there) for au in AUS}, "label": emotion,
        })  # fmt: skip
    return Clips(np.stack(frames), np.stack(flows), pd.DataFrame(rows))


def _bump(au: str, size: int) -> np.ndarray:
    (x, y), width, direction = _BUMPS[au]
    rows, columns = np.mgrid[0:size, 0:size] / size
    weight = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2))
    return weight[..., None] * np.asarray(direction) * size / 48


def _face(size: int, *, tone: float) -> np.ndarray:
    rows, columns = (np.mgrid[0:size, 0:size] + 0.5) / size
    shade = 1.05 - 0.5 * ((columns - 0.45) ** 2 + (rows - 0.45) ** 2)
    face = shade[..., None] * np.asarray([214, 172, 146]) * (1 - 0.35 * tone)
    for x, y, wide, high, colour in _FEATURES:
        inside = np.clip(1.6 - ((columns - x) / wide) ** 2 - ((rows - y) / high) ** 2, 0, 1)[..., None]
        face = face * (1 - inside) + np.asarray(colour) * inside
    return face


def _moved(face: np.ndarray, flow: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[0 : len(face), 0 : len(face)]
    places = [rows - flow[..., 1], columns - flow[..., 0]]
    return np.stack([map_coordinates(one, places, order=1, mode="nearest") for one in np.moveaxis(face, -1, 0)], -1)


def _one_hot(clips: Clips) -> np.ndarray:
    return (clips.table["label"].to_numpy()[:, None] == np.array(CLASSES)).astype(float)


def sample_predictions(clips: Clips, *, seed: int = 0) -> Predictions:
    """Scores that are right for about three clips in four."""
    rng = np.random.default_rng(seed)
    au_truth = clips.table[list(AUS)].to_numpy(dtype=float)
    logits = (2.2 * _one_hot(clips) + rng.normal(0, 1, (len(clips), len(CLASSES)))).astype(np.float32)
    au_logits = (4 * au_truth - 2 + rng.normal(0, 1, au_truth.shape)).astype(np.float32)
    return Predictions(logits, clips.table, CLASSES, au_logits=au_logits, aus=AUS, protocol="sample_4class")


def sample_features(clips: Clips, *, seed: int = 0) -> BranchFeatures:
    """Motion features that know the AUs alone, emotion features that know the emotion alone."""
    rng = np.random.default_rng(seed)
    motion = np.hstack([clips.table[list(AUS)].to_numpy(dtype=float), np.zeros((len(clips), 4))])
    motion += rng.normal(0, 0.15, motion.shape)
    emotion = np.hstack([_one_hot(clips), np.zeros((len(clips), 2))])
    emotion += rng.normal(0, 0.15, emotion.shape)
    fused = np.hstack([motion, emotion])
    parts = motion, emotion, fused, rng.uniform(0, 1, fused.shape)
    motion, emotion, fused, gate = (one.astype(np.float32) for one in parts)
    return BranchFeatures(motion, emotion, fused, gate=gate, table=clips.table, source={"name": "sample"})


def sample_embedding(features: BranchFeatures, *, seed: int = 0) -> Embedding:
    """Maps by a fixed random projection of the features; nothing about them is optimal."""
    rng = np.random.default_rng(seed)
    branches = (features.motion, features.emotion, features.fused)
    maps = ((one @ rng.normal(0, 1, (one.shape[1], 2))).astype(np.float32) for one in branches)
    params = {"method": "umap", "n_neighbors": 15, "min_dist": 0.1, "metric": "euclidean", "seed": seed}
    trust = {"motion": 0.962, "emotion": 0.951, "fused": 0.934}
    return Embedding(*maps, table=features.table, params=params, trustworthiness=trust)


def sample_of_each(**size: int) -> dict[str, object]:
    """Clips, features, predictions and maps, by the names that an explorer takes."""
    clips = sample_clips(**size)
    features, predictions = sample_features(clips), sample_predictions(clips)
    return {"embedding": sample_embedding(features), "clips": clips, "predictions": predictions, "features": features}


def sample_history(*, epochs: int = 12, status: str = "finished") -> History:
    """Falling losses and rising accuracy."""
    epoch = np.arange(1, epochs + 1)
    table = pd.DataFrame({"epoch": epoch, "seconds": 1.5, "learning_rate": 1e-3, "loss": 0.0})
    courses = {"emotion": (1.6, 0.8, 0.1), "au": (0.7, 0.85, 0.05), "orthogonal": (0.3, 0.7, 0.0)}
    for name, (start, falls, rest) in courses.items():
        table[name] = start * falls**epoch + rest
    table["loss"] = table[["emotion", "au", "orthogonal"]].sum(axis=1)
    table["accuracy"] = 1 - 0.8 * 0.8**epoch
    table["validation_loss"] = table["loss"] * 1.2
    table["validation_accuracy"] = table["accuracy"] - 0.05
    return History(table, config={"seed": 0}, status=status)


def table_of(*rows: tuple[str, object, str]) -> pd.DataFrame:
    """Clips ``c0, c1, ...`` from (subject, action_units, label)."""
    table = pd.DataFrame(rows, columns=["subject", "action_units", "label"])
    return table.assign(clip_id=[f"c{i}" for i in range(len(table))])


def swaps_of(margins: tuple[float, ...] = (5.0, 4.0, -4.0, -5.0)) -> pd.DataFrame:
    """What the four mixtures of two clips' frames and flow score, as ``swap_branches`` tells it."""
    said = ["happiness" if margin > 0 else "others" for margin in margins]
    return pd.DataFrame({"frames_of": list("aabb"), "flow_of": list("abab"), "margin": margins, "predicted": said})
