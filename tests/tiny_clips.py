"""Clips small enough to train on in a second, with planted motion and colour; what watches a training (tests only)."""

import numpy as np
import pandas as pd

from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import Clips

PLACES = {"AU1": (4, 4), "AU12": (20, 8), "AU14": (20, 20)}


def tiny_clips(*, n_subjects: int = 4, clips_per_subject: int = 6, size: int = 32, seed: int = 0) -> Clips:
    """Two classes that need both inputs: the label is whether the AU is 12 exactly when the clip reddens."""
    generator = np.random.default_rng(seed)
    rows, frames, flows = [], [], []
    for subject in range(n_subjects):
        face = generator.integers(90, 160, size=(size, size, 3))
        for clip in range(clips_per_subject):
            au = ("AU12", "AU14")[clip % 2]
            red = (clip // 2) % 2 == 0
            flow = generator.normal(0, 0.02, size=(size, size, 2))
            y, x = PLACES[au]
            flow[y : y + 8, x : x + 8, 1] -= 0.5
            course = np.sin(np.linspace(0, np.pi, 8))[:, None, None, None]
            clip_frames = face[None] + np.zeros((8, 1, 1, 1))
            clip_frames[:, 8:16, 12:20] += (12 if red else -12) * course * np.array([1.0, -0.3, -0.3])
            frames.append(np.clip(clip_frames + generator.normal(0, 1, clip_frames.shape), 0, 255).astype(np.uint8))
            flows.append(flow.astype(np.float32))
            rows.append({
                "clip_id": f"tiny{seed}_s{subject:02d}_c{clip:02d}", "dataset": "tiny", "subject": f"{subject:02d}",
                "onset": 0, "apex": 20, "offset": 40, "fps": 200.0, "action_units": au[2:],
                "label": "happiness" if (au == "AU12") == red else "others",
                "AU1": 0.0, "AU12": float(au == "AU12"), "AU14": float(au == "AU14"),
            })  # fmt: skip
    table = pd.DataFrame(rows).assign(emotion=lambda t: t["label"])
    return Clips(np.stack(frames), np.stack(flows), table, recipe={"corpus": "tiny", "seed": seed})


def tiny_model(clips: Clips) -> MEDN:
    """An untrained network for these clips, small but whole: both branches and two keep rates."""
    return MEDN(MEDNConfig.for_clips(clips, dim=32, keep_rates=(0.5, 0.25)), seed=3).eval()


class Watch:
    """Keeps the run and its events; stops, interrupts or measures as it was made to."""

    def __init__(self, *, stop=None, interrupt=None, figures=lambda epoch: {}):
        self.stop, self.interrupt, self.figures, self.events = stop, interrupt, figures, []

    def on_fit_start(self, run):
        self.run = run
        self.events.append("start")

    def measure(self, run):
        if run.epoch == self.interrupt:
            self.interrupt = None
            raise KeyboardInterrupt
        return self.figures(run.epoch)

    def on_epoch_end(self, run):
        self.events.append(run.epoch)
        if run.epoch == self.stop:
            run.stop()

    def on_fit_end(self, run):
        self.events.append(run.history.status)
