"""Make a pretrained model of this folder again: ``python pretrained/make_pretrained.py medn_tiny.synthme_v1``.

Draws the training corpus, trains, measures on faces that the training never saw, and writes weights, configuration,
figures and card. The same command on the same versions gives the same weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

import medn_lab as medn
from medn_lab.records import Clips, Predictions

FOLDER = Path(__file__).resolve().parent
TRAINING = {"n_subjects": 24, "clips_per_subject": 30, "size": 64, "n_frames": 8, "seed": 0}
HELD_OUT = {"n_subjects": 8, "clips_per_subject": 30, "size": 64, "n_frames": 8, "seed": 1}
RECIPES = {
    "medn_tiny.synthme_v1": {"model": {}, "training": {"epochs": 30}},
}
"""What differs from the defaults of MEDNConfig and TrainConfig."""


def figures_of(predictions: Predictions) -> dict[str, object]:
    """The figures that a card states: scores with their intervals, ceilings, and AU reading.

    Parameters
    ----------
    predictions : Predictions
        Of synthetic clips.

    Returns
    -------
    dict
        Ready for JSON, rounded to 4 decimals.
    """
    measures = {name: getattr(medn.evaluate, name) for name in ("accuracy", "uf1", "uar")}
    intervals = {name: medn.evaluate.bootstrap_interval(predictions, measure=m) for name, m in measures.items()}
    limits = medn.synthme.ceilings(predictions.table)
    figures: dict[str, object] = {
        name: {"value": round(i.value, 4), "low": round(i.low, 4), "high": round(i.high, 4)}
        for name, i in intervals.items()
    }
    figures["n_clips"], figures["n_subjects"] = len(predictions), int(predictions.table["subject"].nunique())
    figures["ceilings"] = {n: round(getattr(limits, n), 4) for n in ("au_only", "cue_only", "joint")}
    if predictions.au_logits is not None:
        figures["au_auc"] = {}
        for column, au in enumerate(predictions.aus):
            coded = predictions.table[au].to_numpy()
            if 0 < coded.sum() < len(coded):
                auc = roc_auc_score(coded, predictions.au_logits[:, column])
                figures["au_auc"][au] = {"auc": round(float(auc), 4), "positives": int(coded.sum())}
    return figures


def train(model: medn.model.MEDN, clips: Clips, settings: dict[str, object]) -> float:
    """Train and return the minutes it took."""
    began = time.perf_counter()
    medn.fit(model, clips, config=medn.train.TrainConfig(**settings))
    return (time.perf_counter() - began) / 60


def make(name: str) -> None:
    """Train one model, measure it, and write its folder."""
    recipe = RECIPES[name]
    clips, held_out = (medn.synthetic_clips(**settings) for settings in (TRAINING, HELD_OUT))
    config = medn.model.MEDNConfig.for_clips(clips, **recipe["model"])
    model = medn.model.MEDN(config)
    minutes = train(model, clips, recipe["training"])
    motion_alone = medn.model.MEDN(medn.model.MEDNConfig.for_clips(clips, **recipe["model"] | {"branches": "motion"}))
    train(motion_alone, clips, recipe["training"])

    folder = FOLDER / name
    model.save_pretrained(folder)
    (folder / "config.json").write_text(config.to_json() + "\n")
    figures = figures_of(medn.predict(model, held_out)) | {
        "motion_alone": figures_of(medn.predict(motion_alone, held_out))["accuracy"],
        "training_corpus": TRAINING,
        "held_out_corpus": HELD_OUT,
        "training": recipe["training"],
        "minutes": round(minutes, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
        "medn_lab": medn.__version__,
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
    }
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    (folder / "README.md").write_text(card(name, config, figures))


def card(name: str, config: medn.model.MEDNConfig, figures: dict) -> str:
    """The model card as Markdown."""
    shown = "\n".join(
        f"| {title} | {figures[key]['value']:.3f} | {figures[key]['low']:.3f} to {figures[key]['high']:.3f} |"
        for key, title in (
            ("accuracy", "accuracy"),
            ("uf1", "UF1"),
            ("uar", "UAR"),
            ("motion_alone", "accuracy, motion branch trained alone"),
        )
    )
    aucs = [entry["auc"] for entry in figures["au_auc"].values()]
    limits, held_out = figures["ceilings"], figures["held_out_corpus"]
    return f"""---
library_name: medn_lab
license: mit
tags: [micro-expression, facial-action-units, synthetic]
---

# {name}

MEDN ({figures["parameters"]:,} parameters, decoupling `{config.decoupling}`, keep rates
{", ".join(f"{rate:g}" for rate in config.keep_rates)}) trained on SynthME, the synthetic corpus of medn_lab.
It is an independent implementation after the abstract of arXiv 2604.17899, not the authors' model.

**For** trying medn_lab, its notebooks and its diagnostics. **Not for** decisions about people: it has seen drawn faces
only, whether emotion can be inferred from faces at all is contested, and nothing here was tested on real persons.

## Input and output

- frames `(b, {config.n_frames}, 3, {config.size}, {config.size})` in [0, 1], RGB, registered to the onset, evenly
  spread from onset to offset with one on the apex;
- flow `(b, {config.flow_channels}, {config.size}, {config.size})`, onset to apex, in pixels at {config.size} px;
- {len(config.classes)} emotion logits ({", ".join(config.classes)}) and {len(config.aus)} AU logits.

## Figures

On {figures["n_clips"]} clips of {figures["n_subjects"]} drawn persons that the training never saw
(`synthetic_clips(n_subjects={held_out["n_subjects"]}, clips_per_subject={held_out["clips_per_subject"]},
seed={held_out["seed"]})`), last epoch, 95 % intervals from resampled subjects (2,000 resamples, seed 0):

| | value | interval |
|---|---|---|
{shown}

What can be reached on these clips: {limits["au_only"]:.3f} by AUs alone, {limits["cue_only"]:.3f} by the cue alone,
{limits["joint"]:.3f} by both. The motion branch reads the AUs at a mean AUC of {np.mean(aucs):.3f} (lowest
{min(aucs):.3f}, {len(aucs)} AUs, {min(e["positives"] for e in figures["au_auc"].values())} positives or more each).

## Made by

`python pretrained/make_pretrained.py {name}`: {figures["training_corpus"]["n_subjects"]} persons x
{figures["training_corpus"]["clips_per_subject"]} clips, seed {figures["training_corpus"]["seed"]};
{figures["training"]}; {figures["minutes"]:g} minutes on one CPU thread; medn_lab {figures["medn_lab"]}. sha256 of the
weights `{figures["sha256"]}`.
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(RECIPES))
    make(parser.parse_args().name)
