"""What a map costs, whether it falls on what was planted, and whether random weights give it too.

``python -m pytest tests/benchmarks/bench_attribution.py --benchmark-only`` measures the time; ``python
tests/benchmarks/bench_attribution.py`` prints ``kept_tokens`` and ``compare_attributions`` of an emotion and an AU, on
persons that the model was not trained on.
"""

from __future__ import annotations

import argparse

import numpy as np
import pytest

import medn_lab as medn
from medn_lab import diagnose
from medn_lab.model import MEDN
from medn_lab.records import Clips

METHODS = ("bare_change", "saliency", "integrated_gradients", "grad_cam", "occlusion")
QUICK = {"integrated_gradients": {"n_steps": 16}}


@pytest.fixture(scope="module")
def eight_clips() -> Clips:
    return medn.synthetic_clips(n_subjects=2, clips_per_subject=4, seed=1, n_jobs=1)


@pytest.fixture(scope="module")
def model() -> MEDN:
    return medn.load_pretrained()


@pytest.mark.parametrize("method", [*METHODS, "frame_ablation"])
def test_a_map_of_eight_clips(benchmark, model, eight_clips, method):
    explain = getattr(diagnose, method)
    found = benchmark.pedantic(explain, (model, eight_clips), {"target": "disgust"}, rounds=3, warmup_rounds=1)
    maps = [values for values in (found.frames, found.flow) if values is not None]
    assert all(np.isfinite(values).all() and values.any() for values in maps)


def test_the_checks_of_eight_maps(benchmark, model, eight_clips):
    found = diagnose.integrated_gradients(model, eight_clips, target="disgust", n_steps=8)
    given = {"model": model, "clips": eight_clips, "n_draws": 1}
    checked = benchmark.pedantic(diagnose.check_attribution, (found,), given, rounds=2)
    assert 0 <= checked.sanity["infidelity"] <= 1


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--model", default="medn_tiny.synthme_v2", help="a name or folder for load_pretrained")
    arguments.add_argument("--subjects", type=int, default=16)
    arguments.add_argument("--seed", type=int, default=1, help="of the corpus, whose persons the model must not know")
    chosen = arguments.parse_args()
    model = medn.load_pretrained(chosen.model)
    clips = medn.synthetic_clips(n_subjects=chosen.subjects, clips_per_subject=30, seed=chosen.seed, n_jobs=1)
    print(diagnose.kept_tokens(model, clips, truth=clips.truth).to_frame().round(3).to_string(index=False), end="\n\n")
    how = {"methods": METHODS, "params": QUICK, "truth": clips.truth, "n_draws": 1}
    for target, rule in (("disgust", {"label": "disgust"}), ("AU4", {"AU4": 1.0})):
        few = clips.select(clips.where(**rule).table.groupby("subject").head(2)["clip_id"])
        print(diagnose.compare_attributions(model, few, target=target, **how).round(3).to_string(), end="\n\n")


if __name__ == "__main__":
    main()
