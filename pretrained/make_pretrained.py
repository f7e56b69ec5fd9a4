"""Make a pretrained model of this folder again: ``python pretrained/make_pretrained.py medn_tiny.synthme_v2``.

Draws the training corpus, trains, measures on faces that the training never saw, and writes weights, configuration,
figures and card. The same command on the same versions gives the same weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

import medn_lab as medn
from medn_lab.diagnose.probing import READERS
from medn_lab.records import BranchFeatures, Clips, Predictions

FOLDER = Path(__file__).resolve().parent
KINDS = "colour+timing+brightness"
TRAINING = {"n_subjects": 24, "clips_per_subject": 30, "size": 64, "n_frames": 8, "seed": 0, "cue": KINDS}
HELD_OUT = {"n_subjects": 8, "clips_per_subject": 30, "size": 64, "n_frames": 8, "seed": 1, "cue": KINDS}
READ = {"n_subjects": 60, "clips_per_subject": 30, "size": 64, "n_frames": 8, "seed": 2, "cue": KINDS}
"""The persons that the model learns from, those that it is scored on, and those that the probes read."""

TINY = {"epochs": 24}
RECIPES: dict[str, dict[str, dict]] = {
    "medn_tiny.synthme_v2": {"model": {"decoupling": "bottleneck"}, "training": TINY},
    "medn_tiny_orthogonal.synthme_v2": {"model": {"decoupling": "orthogonal"}, "training": TINY},
    "medn_tiny_coupled.synthme_v2": {"model": {"decoupling": "none"}, "training": TINY},
    "medn_small.synthme_v2": {
        "model": {"network": "medn_small", "decoupling": "bottleneck"},
        "training": {"epochs": 20, "learning_rate": 1e-3},
    },
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
    figures: dict[str, object] = {name: _rounded(i) for name, i in intervals.items()}
    figures["n_clips"], figures["n_subjects"] = len(predictions), int(predictions.table["subject"].nunique())
    figures["ceilings"] = {n: round(getattr(limits, n), 4) for n in ("au_only", "cue_only", "joint")}
    if predictions.au_logits is not None:
        figures["au_auc"] = {}
        for column, au in enumerate(predictions.aus):
            coded = predictions.table[au].to_numpy()
            if 0 < coded.sum() < len(coded):
                auc = roc_auc_score(coded, predictions.au_logits[:, column])
                figures["au_auc"][au] = {"auc": round(float(auc), 4), "positives": int(coded.sum())}
    pairs = medn.evaluate.pair_auc(predictions)
    figures["pair_auc"] = _rounded(pairs) | {"n_pairs": pairs.n_pairs}
    return figures


def read_features(model: medn.model.MEDN, clips: Clips) -> BranchFeatures:
    """Features with the cue as what it stands for: each kind has three states, and an emotion need not name the kind.

    Parameters
    ----------
    model : MEDN
    clips : Clips
        Synthetic, of any kinds of cue.

    Returns
    -------
    BranchFeatures
        The column ``cue`` of its table is ``state 0``, ``state 1`` or ``state 2``.
    """
    state = {name: f"state {place}" for states in medn.synthme.CUES.values() for place, name in enumerate(states)}
    features = medn.extract_features(model, clips)
    return replace(features, table=features.table.assign(cue=features.table["cue"].map(state)))


def decoupling_of(features: BranchFeatures) -> dict[str, dict]:
    """What a card states of the branches: leaks with the exact allowed AUC, and dependence with its null.

    Parameters
    ----------
    features : BranchFeatures
        From :func:`read_features`.

    Returns
    -------
    dict
        Ready for JSON, rounded to 4 decimals.
    """
    exact = medn.synthme.allowed_auc()
    leaks = medn.diagnose.leakage(features, targets=("aus", "cue"), allowed=exact).set_index(["branch", "target"])
    leaks = leaks.rename(columns={"value": "auc"})
    stated: dict[str, dict] = {}
    for branch, target in (("motion", "AUs"), ("motion", "cue"), ("emotion", "AUs"), ("emotion", "cue")):
        row = leaks.loc[(branch, target)]
        kept = ("auc", "low", "high", "allowed", "excess", "excess_low", "excess_high")
        stated[f"{target} from the {branch} branch"] = {name: round(float(row[name]), 4) for name in kept}
    who = features.table["subject"]
    for measure in (medn.diagnose.linear_cka, medn.diagnose.distance_correlation):
        found = medn.diagnose.permutation_test(
            measure, features.motion, features.emotion, seed=0, n_permutations=499, groups=who
        )
        named = measure.__name__.replace("_", " ")
        stated[named] = {name: round(found.figures[name], 4) for name in ("value", "null_mean", "null_95", "p")}
    return stated


def readers_of(features: BranchFeatures) -> dict[str, dict]:
    """What each kind of probe reads of the AUs from the emotion branch: the mean AUC, and the worst AU."""
    found = {}
    for kind in READERS:
        leaks = medn.diagnose.leakage(
            features, branches=("emotion",), targets=("aus",), allowed=medn.synthme.allowed_auc(), kind=kind,
            n_shuffles=0, n_resamples=0,
        )  # fmt: skip
        row = leaks.rename(columns={"value": "auc"}).set_index("target").loc["AUs"]
        found[kind] = {name: round(float(row[name]), 4) for name in ("auc", "excess", "worst_auc", "worst_excess")}
        found[kind]["worst_au"] = row["worst_target"]
    return found


def kinds_of(predictions: Predictions, features: BranchFeatures, kinds: np.ndarray) -> dict[str, dict[str, float]]:
    """Accuracy and the AUC of the cue from the emotion branch, for each kind of cue."""
    found = {}
    for kind in dict.fromkeys(kinds):
        ids = predictions.table["clip_id"][kinds == kind]
        cue = medn.diagnose.leakage(features.select(ids), targets=("cue",), n_shuffles=0, n_resamples=0)
        chosen = predictions.select(ids)
        found[kind] = {
            "accuracy": round(float(medn.evaluate.accuracy(chosen.table["label"], chosen.predicted)), 4),
            "cue_auc": round(float(cue.set_index("branch").loc["emotion", "value"]), 4),
            "n_clips": len(ids),
        }
    return found


def _rounded(interval: object) -> dict[str, float]:
    return {name: round(float(getattr(interval, name)), 4) for name in ("value", "low", "high")}


def make(name: str) -> None:
    """Train one model, write its folder, and measure it."""
    recipe, folder = RECIPES[name], FOLDER / name
    clips = medn.synthetic_clips(**TRAINING)
    model = medn.model.MEDN(medn.model.MEDNConfig.for_clips(clips, **recipe["model"]))
    medn.fit(model, clips, training=medn.train.TrainConfig(**recipe["training"]))
    model.save_pretrained(folder)
    (folder / "config.json").write_text(model.config.to_json() + "\n")
    (folder / "figures.json").unlink(missing_ok=True)
    write_figures(name)


def write_figures(name: str) -> None:
    """Measure the stored weights on persons that the training never saw, and write figures and card."""
    recipe, folder = RECIPES[name], FOLDER / name
    clips, held_out, others = (medn.synthetic_clips(**settings) for settings in (TRAINING, HELD_OUT, READ))
    motion_settings = recipe["model"] | {"branches": "motion"}
    motion_alone = medn.model.MEDN(medn.model.MEDNConfig.for_clips(clips, **motion_settings))
    medn.fit(motion_alone, clips, training=medn.train.TrainConfig(**recipe["training"]))

    model = medn.load_pretrained(folder)
    features, predictions = read_features(model, held_out), medn.predict(model, held_out)
    figures = figures_of(predictions) | {
        "kinds": kinds_of(predictions, features, held_out.truth.table["cue_kind"].to_numpy()),
        "decoupling": decoupling_of(features),
        "readers": readers_of(read_features(model, others)),
        "nats": None if features.nats is None else round(float(features.nats.mean()), 3),
        "motion_alone": figures_of(medn.predict(motion_alone, held_out))["accuracy"],
        "training_corpus": TRAINING,
        "held_out_corpus": HELD_OUT,
        "read_corpus": READ,
        "network": recipe["model"].get("network", "medn_tiny"),
        "training": recipe["training"],
        "minutes": round(float(model.history.table["seconds"].sum()) / 60, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
        "medn_lab": medn.__version__,
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
    }
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    write_card(name)


def write_card(name: str) -> None:
    """Write the card from the stored configuration and figures."""
    folder = FOLDER / name
    config = medn.model.MEDNConfig.from_json((folder / "config.json").read_text())
    (folder / "README.md").write_text(card(name, config, json.loads((folder / "figures.json").read_text())))


KIND = {
    "bottleneck": "The bottleneck is ours. Of the decouplings that were tried it leaks least.",
    "orthogonal": "The orthogonal loss is the one that the paper's abstract names; its form is our reading.",
    "none": "Nothing keeps its branches apart; it serves as a control.",
}


def card(name: str, config: medn.model.MEDNConfig, figures: dict) -> str:
    """The model card as Markdown."""
    shown = "\n".join(
        f"| {title} | {figures[key]['value']:.3f} | {figures[key]['low']:.3f} to {figures[key]['high']:.3f} |"
        for key, title in (
            ("accuracy", "accuracy"),
            ("uf1", "UF1"),
            ("uar", "UAR"),
            ("pair_auc", "pair AUC (same AUs, another emotion; motion alone can do 0.5)"),
            ("motion_alone", "accuracy, motion branch trained alone"),
        )
    )
    apart, keep = figures["decoupling"], ", ".join(f"{rate:g}" for rate in config.keep_rates)
    leaks = "\n".join(
        f"| {said} | {row['auc']:.3f} [{row['low']:.3f}, {row['high']:.3f}] | {row['allowed']:.3f} |"
        f" {row['excess']:+.3f} [{row['excess_low']:+.3f}, {row['excess_high']:+.3f}] |"
        for said, row in apart.items()
        if "auc" in row
    )
    kinds = "\n".join(
        f"| {kind} | {row['n_clips']} | {row['accuracy']:.3f} | {row['cue_auc']:.3f} |"
        for kind, row in figures["kinds"].items()
    )
    readers = "\n".join(
        f"| {kind} | {row['auc']:.3f} ({row['excess']:+.3f}) | {row['worst_au']} | {row['worst_auc']:.3f} |"
        f" {row['worst_excess']:+.3f} |"
        for kind, row in figures["readers"].items()
    )
    dependence = "\n".join(
        f"| {said} | {row['value']:.3f} | {row['null_mean']:.3f} | {row['null_95']:.3f} | {row['p']:.3f} |"
        for said, row in apart.items()
        if "null_95" in row
    )
    information = (
        ""
        if figures["nats"] is None
        else (f"\nThe emotion code carries {figures['nats']:.2f} nats a clip, where the cue holds ln 3 = 1.10.\n")
    )
    settings = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in figures["training"].items())
    aucs = [entry["auc"] for entry in figures["au_auc"].values()]
    limits, held_out, others = figures["ceilings"], figures["held_out_corpus"], figures["read_corpus"]
    return f"""---
library_name: medn_lab
license: mit
tags: [micro-expression, facial-action-units, synthetic]
---

# {name}

MEDN (`{figures["network"]}`, {figures["parameters"]:,} parameters, decoupling `{config.decoupling}`, keep rates {keep})
trained on SynthME, the synthetic corpus of medn_lab. {KIND[config.decoupling]}
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
cue="{held_out["cue"]}", seed={held_out["seed"]})`), last epoch, 95 % intervals over persons:

| | value | interval |
|---|---|---|
{shown}

What can be reached on these clips: {limits["au_only"]:.3f} by AUs alone, {limits["cue_only"]:.3f} by the cue alone,
{limits["joint"]:.3f} by both. The motion branch reads the AUs at a mean AUC of {np.mean(aucs):.3f} (lowest
{min(aucs):.3f}, {len(aucs)} AUs, {min(e["positives"] for e in figures["au_auc"].values())} positives or more each).

Each clip has one kind of cue. The AUC of the cue's state is that of a linear probe of the emotion branch:

| cue | clips | accuracy | AUC of the cue |
|---|---|---|---|
{kinds}

## Are the branches decoupled?

A linear probe reads each branch and is scored on persons that it has not met (AUC, interval over persons). *Allowed* is
the exact AUC of a perfect reader of the branch's own factor; only the excess over it is a leak.

| | AUC | allowed | excess |
|---|---|---|---|
{leaks}

Five kinds of probe read the AUs from the emotion branch of {others["n_subjects"]} other persons,
{others["clips_per_subject"]} clips each (mean over the AUs, with its excess, and the AU with the largest excess):

| probe | mean AUC | worst AU | its AUC | its excess |
|---|---|---|---|---|
{readers}

Dependence between the branches, with its null (499 permutations inside subjects):

| | value | null mean | null 95 % | p |
|---|---|---|---|---|
{dependence}
{information}
## Made by

`python pretrained/make_pretrained.py {name}`: {figures["training_corpus"]["n_subjects"]} persons x
{figures["training_corpus"]["clips_per_subject"]} clips drawn with cue `{figures["training_corpus"]["cue"]}` and seed
{figures["training_corpus"]["seed"]}, protocol `synthme_5class`, weights and training from seed 0, {settings};
{figures["minutes"]:g} minutes on one CPU thread; medn_lab {figures["medn_lab"]}. sha256 of the weights
`{figures["sha256"]}`.
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--figures", action="store_true", help="measure the stored weights again; no training")
    parser.add_argument("--small", action="store_true", help="few clips and one epoch, to see that the command runs")
    asked = parser.parse_args()
    if asked.small:
        for corpus in (TRAINING, HELD_OUT, READ):
            corpus.update(n_subjects=4, clips_per_subject=12)
        RECIPES[asked.name]["training"]["epochs"] = 1
    write_figures(asked.name) if asked.figures else make(asked.name)
