"""What a map costs, whether it falls on what was planted, and whether random weights would have drawn it too.

Run as ``python tests/benchmarks/bench_attribution.py``, or for the speeds alone as ``python -m pytest
tests/benchmarks/bench_attribution.py --benchmark-only``. The model is the shipped one, the clips are persons that it
has not met. *planted* is the share of the absolute map on the planted region, the mean over clips with its interval
from resampling subjects; *area* is what no place at all would give; *random* is the same method on the same network
with random weights. ``bare_change`` looks at no weight. Each clip is asked for its own emotion (frames: the cue of
clips that have one) or for an AU that it shows (flow), eight clips an AU.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
import pytest

import medn_lab as medn
from medn_lab import diagnose
from medn_lab.diagnose.attribution import random_model
from medn_lab.model import MEDN
from medn_lab.records import Clips

METHODS = (
    ("bare_change", {}),
    ("saliency", {}),
    ("integrated_gradients", {}),
    ("gradient_shap", {}),
    ("grad_cam", {}),
    ("grad_cam", {"weights": "mean"}),
    ("occlusion", {}),
    ("frame_ablation", {}),
)


def name_of(method: str, options: dict) -> str:
    """The method with what is not its default."""
    return method + "".join(f", {key}={value}" for key, value in options.items())


@pytest.fixture(scope="module")
def eight_clips() -> Clips:
    return medn.synthetic_clips(n_subjects=2, clips_per_subject=4, seed=1, n_jobs=1)


@pytest.fixture(scope="module")
def model() -> MEDN:
    return medn.load_pretrained()


@pytest.mark.parametrize(("method", "options"), METHODS, ids=[name_of(*one) for one in METHODS])
def test_a_map_of_eight_clips(benchmark, model, eight_clips, method, options):
    explain = getattr(diagnose, method)
    found = benchmark.pedantic(
        explain, (model, eight_clips), {"target": "disgust", **options}, rounds=3, warmup_rounds=1, iterations=1
    )
    maps = [values for values in (found.frames, found.flow) if values is not None]
    assert maps
    assert all(np.isfinite(values).all() and values.any() for values in maps)


@pytest.mark.parametrize("measure", ["infidelity", "sensitivity"])
def test_a_figure_beside_eight_maps(benchmark, model, eight_clips, measure):
    found = diagnose.integrated_gradients(model, eight_clips, target="disgust", n_steps=8)
    figures = benchmark.pedantic(
        getattr(diagnose, measure), (found,), {"model": model, "clips": eight_clips}, rounds=2, iterations=1
    )
    assert len(figures) == len(eight_clips)
    assert (figures >= 0).all()


def speeds(model: MEDN, clips: Clips) -> pd.DataFrame:
    """Seconds for eight clips, the median of three runs after one that warms up."""
    rows = []
    few = clips.select(clips.table["clip_id"][:8])
    for method, options in METHODS:
        spent = []
        for _ in range(4):
            start = time.perf_counter()
            found = getattr(diagnose, method)(model, few, target="disgust", **options)
            spent.append(time.perf_counter() - start)
        rows.append((name_of(method, options), np.median(spent[1:]), found.sanity.get("completeness_error", np.nan)))
    return pd.DataFrame(rows, columns=["method", "s for 8 clips", "completeness error"])


def planted(
    model: MEDN, clips: Clips, asked: pd.DataFrame, *, of: str, region: str | None, fixed: dict
) -> pd.DataFrame:
    """The planted mass of one method over clips that are asked for different targets.

    `asked` has ``clip_id`` and ``target``; `region` None means the AU that is the target.
    """
    parts = []
    for target, group in asked.groupby("target"):
        method, options = fixed["method"], fixed["options"]
        found = getattr(diagnose, method)(model, clips.select(group["clip_id"]), target=target, **options)
        mass = diagnose.planted_mass(found, truth=clips.truth, region=region or target, of=of)
        mass.attrs = {}
        parts.append(mass)
    return pd.concat(parts, ignore_index=True)


def planted_table(model: MEDN, clips: Clips) -> pd.DataFrame:
    """Frames against the cue and flow against the AU, beside area and random weights."""
    random = random_model(model, seed=0)
    table = clips.table
    cued = table[table["cue"] != "still"].groupby("subject").sample(3, random_state=0)
    cued = cued.assign(target=cued["label"])
    shown = [table[table[au] == 1].assign(target=au) for au in model.config.aus]
    shown = pd.concat([group.sample(min(8, len(group)), random_state=0) for group in shown])
    rows = []
    for of, region, asked in (("frames", "cue", cued), ("flow", None, shown)):
        for method, options in METHODS[:-1]:
            fixed = {"method": method, "options": options}
            found = planted(model, clips, asked, of=of, region=region, fixed=fixed)
            chance = planted(random, clips, asked, of=of, region=region, fixed=fixed)
            share = diagnose.planted_interval(found, of="share")
            own, drawn = (one[one["planted"]][["share", "chance", "hits"]].mean() for one in (found, chance))
            rows.append(
                (
                    of, region or "AU", name_of(method, options), share.value, share.low, share.high, own["chance"],
                    drawn["share"], own["hits"], drawn["hits"], share.n_clips,
                )
            )  # fmt: skip
    columns = ["in", "region", "method", "planted", "low", "high", "area", "random", "pointing", "its random", "clips"]
    return pd.DataFrame(rows, columns=columns)


def randomised(model: MEDN, clips: Clips) -> pd.DataFrame:
    """Rank correlation and structural similarity with maps of random weights; 16 clips of one emotion, two draws."""
    group = clips.table[(clips.table["label"] == "disgust") & (clips.table["cue"] != "still")]
    few = clips.select(group["clip_id"].sample(min(16, len(group)), random_state=0))
    rows = []
    for method, options in METHODS:
        check = diagnose.randomisation_check(model, few, target="disgust", method=method, params=options)
        for row in check.table.to_dict("records"):
            figures = [row[key] for key in ("spearman", "spearman_absolute", "ssim")]
            rows.append((name_of(method, options), row["input"], *figures, row["input"] in check.surviving))
    return pd.DataFrame(rows, columns=["method", "in", "signed", "absolute", "SSIM", "survives"])


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--model", default="medn_tiny.synthme_v2", help="a name or folder for load_pretrained")
    arguments.add_argument("--subjects", type=int, default=16)
    arguments.add_argument("--seed", type=int, default=1, help="of the corpus, whose persons the model must not know")
    chosen = arguments.parse_args()
    model = medn.load_pretrained(chosen.model)
    clips = medn.synthetic_clips(n_subjects=chosen.subjects, clips_per_subject=30, seed=chosen.seed, n_jobs=1)
    print(f"{model.name}; {len(clips)} clips of {chosen.subjects} unseen subjects, seed {chosen.seed}")
    print(diagnose.kept_tokens(model, clips, truth=clips.truth).to_frame().round(3).to_string(index=False), end="\n\n")
    for made in (speeds, planted_table, randomised):
        print(made(model, clips).round(3).to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
