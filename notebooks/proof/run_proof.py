"""Put MEDN's claim to the proof on planted truth: ``python notebooks/proof/run_proof.py`` (or ``make proof``).

Trains every variant on drawn persons, scores it on others, and writes ``runs.csv`` (a training a row), ``summary.csv``
(a variant a row, seeds pooled) and ``about.json`` beside this file, which the notebook ``10_proof`` shows. Stop it when
you like: finished trainings are kept in the working folder and taken up. The same seeds give the same figures.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from tqdm.auto import tqdm

import medn_lab as medn
from medn_lab.model import MEDN, MEDNConfig, as_inputs
from medn_lab.records import Clips, Predictions, whole_folder
from medn_lab.train import TrainConfig

HERE = Path(__file__).resolve().parent
COMMAND = "python notebooks/proof/run_proof.py"
EPOCHS = 16
PERSONS = 24
HELD_OUT = 12
CLIPS_EACH = 30

DENSE = {"keep_rates": (1.0,)}
MAIN: dict[str, dict] = {
    "motion only": {"branches": "motion"},
    "emotion only": {"branches": "emotion"},
    "emotion only, dense": {"branches": "emotion"} | DENSE,
    "none": {"decoupling": "none"},
    "orthogonal": {"decoupling": "orthogonal"},
    "cross_covariance": {"decoupling": "cross_covariance"},
    "hsic": {"decoupling": "hsic"},
    "adversarial": {"decoupling": "adversarial"},
    "bottleneck": {"decoupling": "bottleneck"},
    "bottleneck, dense SEVit": {"decoupling": "bottleneck"} | DENSE,
    "bottleneck, keep .5 .25 .125": {"decoupling": "bottleneck", "keep_rates": (0.5, 0.25, 0.125)},
    "bottleneck, keep .125": {"decoupling": "bottleneck", "keep_rates": (0.125,)},
    "bottleneck, concatenation": {"decoupling": "bottleneck", "fusion": "concat"},
}
"""The main table: what is changed of the default network."""

WITHOUT_AUS = {"orthogonal, no AU task": "orthogonal"}
"""Variants whose AU task has weight 0. Under the bottleneck the motion branch learns from that task alone."""

FRONTIER: dict[str, Sequence[float]] = {
    "orthogonal": (10.0,),
    "cross_covariance": (3.0,),
    "hsic": (3.0,),
    "adversarial": (1.0,),
    "bottleneck": (0.05, 0.5),
}
"""Further decoupling weights; the default ones are in the main table."""

SIZES = (4, 8, 16, 32)
OPPONENTS = ("motion only", "emotion only", "bottleneck")
CONDITIONS = {
    "half cue": {"cue_strength": 0.5},
    "double noise": {"noise": 2.0},
    "no cue": {"cue_strength": 0.0},
}
CONTENDERS = ("motion only", "emotion only", "bottleneck")


@dataclass(frozen=True)
class Run:
    """One training and its measurement."""

    part: str
    variant: str
    seed: int
    condition: str = "standard"
    n_subjects: int = PERSONS
    model: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The run's folder: everything that it is."""
        words = [self.part, self.variant, self.condition, f"{self.n_subjects}-persons", f"seed-{self.seed}"]
        if "decoupling_weight" in self.training:
            words.insert(2, f"weight-{self.training['decoupling_weight']:g}")
        return "_".join(words).replace(",", "").replace(" ", "-")


def plan(*, seeds: int, fewer: int, epochs: int = EPOCHS) -> list[Run]:
    """Every run, the seeds outermost, so that what is finished early is a whole table of fewer seeds."""
    runs = []
    for seed in range(seeds):
        standard = {"epochs": epochs}
        runs += [Run("main", name, seed, model=changes, training=standard) for name, changes in MAIN.items()]
        runs += [
            Run("main", name, seed, model={"decoupling": switch}, training=standard | {"au_weight": 0.0})
            for name, switch in WITHOUT_AUS.items()
        ]
        if seed >= fewer:
            continue
        for condition in CONDITIONS:
            runs += [
                Run("conditions", name, seed, condition, model=MAIN[name], training=standard) for name in CONTENDERS
            ]
        for switch, weights in FRONTIER.items():
            runs += [
                Run("frontier", switch, seed, model=MAIN[switch], training=standard | {"decoupling_weight": weight})
                for weight in weights
            ]
        for n in SIZES:
            # As many steps however few the persons.
            longer = {"epochs": round(epochs * PERSONS / n)}
            runs += [Run("persons", name, seed, n_subjects=n, model=MAIN[name], training=longer) for name in OPPONENTS]
    return runs


def corpus_settings(run: Run, *, held_out: bool) -> dict:
    """What a run's clips are drawn with; no person is on both sides, nor in a pretrained model."""
    persons = HELD_OUT if held_out else max(run.n_subjects, PERSONS)
    return {
        "n_subjects": persons,
        "clips_per_subject": CLIPS_EACH,
        "seed": 10 + 2 * run.seed + held_out,
        **CONDITIONS.get(run.condition, {}),
    }


def corpus(settings: dict, work: Path) -> Clips:
    """The clips of some settings, drawn once and read from the disk afterwards."""
    name = "_".join(f"{key}-{value:g}" for key, value in sorted(settings.items()))
    folder = work / "corpora" / name
    if not folder.is_dir():
        medn.synthetic_clips(**settings).save(folder)
    return Clips.load(folder)


def measure(run: Run, model: MEDN, test: Clips, predictions: Predictions) -> dict[str, float]:
    """All figures of a trained model on persons that it never saw."""
    features = medn.extract_features(model, test)
    row: dict[str, float] = {}
    for name in ("accuracy", "uf1", "uar"):
        row[name] = getattr(medn.evaluate, name)(test.table["label"], predictions.predicted)
    limits = medn.synthme.ceilings(test.table)
    row |= {f"ceiling_{name}": getattr(limits, name) for name in ("au_only", "cue_only", "joint")}
    row["au_only_floor"] = medn.evaluate.au_only_floor(test.table).accuracy
    pairs = medn.evaluate.pair_auc(predictions, n_resamples=200)
    row |= {"pair_auc": pairs.value, "n_pairs": pairs.n_pairs}
    targets = ("aus", "cue") if run.condition != "no cue" else ("aus",)
    told = medn.diagnose.leakage(features, targets=targets, n_shuffles=0, n_resamples=0)
    told = told.set_index(["branch", "target"])
    curved = medn.diagnose.leakage(features, targets=targets, n_shuffles=0, n_resamples=0, kind="rbf")
    curved = curved.set_index(["branch", "target"])
    for branch, target in (("emotion", "AUs"), ("emotion", "cue"), ("motion", "AUs"), ("motion", "cue")):
        if (branch, target) in told.index:
            key = f"{branch}_{target.lower()}"
            row |= {key: told.loc[(branch, target), "auc"], f"{key}_excess": told.loc[(branch, target), "excess"]}
            row[f"{key}_excess_rbf"] = curved.loc[(branch, target), "excess"]
    if features.motion is not None and features.emotion is not None:
        row["linear_cka"] = medn.diagnose.linear_cka(features.motion, features.emotion)
    row["nats"] = float("nan") if features.nats is None else float(features.nats.mean())
    return row


def carry_out(run: Run, work: Path) -> dict:
    """Train and measure one run, or read what it gave before."""
    folder = work / "runs" / run.name
    if folder.is_dir():
        return json.loads((folder / "row.json").read_text())
    torch.set_num_threads(1)
    clips = corpus(corpus_settings(run, held_out=False), work)
    test = corpus(corpus_settings(run, held_out=True), work)
    persons = clips.table["subject"].unique()[: run.n_subjects]
    train = clips.select(clips.table.loc[clips.table["subject"].isin(persons), "clip_id"])
    model = MEDN(MEDNConfig.for_clips(train, **run.model), seed=run.seed)
    history = medn.fit(model, train, config=TrainConfig(seed=run.seed, **run.training), progress=False)
    predictions = medn.predict(model, test)
    said = {name: getattr(run, name) for name in ("part", "variant", "condition", "n_subjects", "seed")}
    row = said | {"weight": run.training.get("decoupling_weight", float("nan")), "epochs": len(history)}
    row |= {"seconds": float(history.table["seconds"].sum())} | measure(run, model, test, predictions)
    with whole_folder(folder) as beside:
        predictions.save(beside / "predictions")
        (beside / "row.json").write_text(json.dumps(row, default=float))
    return row


def pooled(parts: Sequence[Predictions]) -> Predictions:
    """The predictions of several seeds as one record; every seed has persons of its own."""
    first = parts[0]
    return Predictions(
        logits=np.concatenate([part.logits for part in parts]),
        table=pd.concat([part.table for part in parts], ignore_index=True),
        classes=first.classes,
        source={"name": first.source["name"]},
    )


def summarise(runs: Sequence[Run], rows: pd.DataFrame, work: Path) -> pd.DataFrame:
    """One row a variant: seeds pooled, intervals over persons, differences of the same clips."""
    keys = ["part", "condition", "n_subjects", "variant", "weight"]
    said = {(r.part, r.condition, r.n_subjects, r.variant, r.training.get("decoupling_weight", -1.0)): [] for r in runs}
    for run in runs:
        key = (run.part, run.condition, run.n_subjects, run.variant, run.training.get("decoupling_weight", -1.0))
        said[key].append(Predictions.load(work / "runs" / run.name / "predictions"))
    together = {key: pooled(parts) for key, parts in said.items()}
    grouped = rows.assign(weight=rows["weight"].fillna(-1.0)).groupby(keys, sort=False)
    table = []
    for key, group in grouped:
        predictions = together[key]
        interval = medn.evaluate.bootstrap_interval(predictions)
        row = dict(zip(keys, key, strict=True)) | {
            "n_seeds": len(group),
            "n_persons": interval.n_subjects,
            "n_clips": interval.n_clips,
            "accuracy": interval.value,
            "accuracy_low": interval.low,
            "accuracy_high": interval.high,
        }
        for rival in ("motion only", "emotion only", "none"):
            against = together.get((*key[:3], rival, -1.0))
            # The frontier's runs have their rivals in the main table, on the seeds that both have.
            if against is None and key[0] == "frontier":
                against = _cut(together.get(("main", *key[1:3], rival, -1.0)), predictions)
            if against is None or rival == key[3]:
                continue
            found = medn.evaluate.compare_predictions(predictions, against)
            name = f"over_{rival.replace(' ', '_')}"
            row |= {name: found.difference, f"{name}_low": found.low, f"{name}_high": found.high}
        for name in group.columns.difference([*keys, "seed", "accuracy"]):
            values = group[name].to_numpy(dtype=float)
            row[name] = float(np.mean(values))
            if name.startswith(("pair_auc", "emotion_", "motion_", "uf1", "uar")) and len(values) > 2:
                row[f"{name}_low"], row[f"{name}_high"] = _over_seeds(values)
        table.append(row)
    return pd.DataFrame(table).replace({"weight": {-1.0: np.nan}})


def _cut(wider: Predictions | None, narrower: Predictions) -> Predictions | None:
    return None if wider is None else wider.select(narrower.table["clip_id"])


def _over_seeds(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of the mean over seeds; of two seeds it would be as wide as the picture."""
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def step_times(work: Path, *, repeats: int = 15) -> dict[str, float]:
    """Median seconds of a training step of 32 clips, one thread, the variants in turn in one process."""
    from medn_lab.train import medn_loss, read_targets

    torch.set_num_threads(1)
    clips = corpus(corpus_settings(Run("main", "none", 0), held_out=True), work)
    rows = np.arange(32)
    models = {name: MEDN(MEDNConfig.for_clips(clips, **changes)).train() for name, changes in MAIN.items()}
    taken: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(repeats + 2):
        for name, model in models.items():
            inputs = as_inputs(model.config, clips, rows=rows)
            targets = read_targets(model.config, clips.table, label="label", training=True).take(torch.from_numpy(rows))
            began = time.perf_counter()
            medn_loss(model(*inputs), targets, config=model.config)["loss"].backward()
            model.zero_grad(set_to_none=True)
            if turn > 1:
                taken[name].append(time.perf_counter() - began)
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def subject_canary(*, seeds: int, n_jobs: int) -> list[dict]:
    """Labels that depend on the person alone, left out one person at a time: nothing can be known of them."""
    found = []
    for seed in range(seeds):
        clips = medn.synthetic_clips(n_subjects=12, clips_per_subject=10, seed=50 + seed)
        draw = np.random.default_rng(seed).permutation(np.arange(12) % 2)
        of = dict(zip(clips.table["subject"].unique(), np.array(["happiness", "disgust"])[draw], strict=True))
        clips = clips.with_table(clips.table.assign(label=clips.table["subject"].map(of)))
        config = MEDNConfig.for_clips(clips)
        result = medn.evaluate.evaluate_loso(
            config, clips, training=TrainConfig(epochs=4, seed=seed), n_jobs=n_jobs, progress=False
        )
        interval = medn.evaluate.bootstrap_interval(result.predictions)
        found.append({"seed": seed, "accuracy": interval.value, "low": interval.low, "high": interval.high})
    return found


def main() -> None:
    """Run what is missing and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="of the main table")
    parser.add_argument("--fewer", type=int, default=2, help="seeds of the frontier, the conditions and the persons")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("runs/proof"), help="finished trainings are kept here")
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables go")
    asked = parser.parse_args()
    began = time.perf_counter()
    runs = plan(seeds=asked.seeds, fewer=asked.fewer, epochs=asked.epochs)
    settings = [corpus_settings(run, held_out=side) for run in runs for side in (False, True)]
    for one in tqdm({json.dumps(s, sort_keys=True): s for s in settings}.values(), desc="drawing", unit="corpus"):
        corpus(one, asked.work)
    jobs = Parallel(n_jobs=asked.n_jobs, return_as="generator_unordered")(
        delayed(carry_out)(run, asked.work) for run in runs
    )
    rows = pd.DataFrame(list(tqdm(jobs, total=len(runs), desc="training", unit="run")))
    order = {run.name: place for place, run in enumerate(runs)}
    keys = ["part", "condition", "n_subjects", "variant", "weight", "seed"]
    rows = rows.sort_values(keys).reset_index(drop=True)
    about = {
        "command": f"{COMMAND} --seeds {asked.seeds} --fewer {asked.fewer} --epochs {asked.epochs}",
        "runs": len(order),
        "training_hours": round(float(rows["seconds"].sum()) / 3600, 2),
        "minutes_of_this_call": round((time.perf_counter() - began) / 60, 1),
        "network": asdict(MEDNConfig()),
        "training": asdict(TrainConfig(epochs=asked.epochs)),
        "decoupling_weights": medn.model.DECOUPLING_WEIGHTS,
        "step_seconds": step_times(asked.work),
        "subject_canary": subject_canary(seeds=asked.fewer, n_jobs=asked.n_jobs),
        "versions": {"medn_lab": medn.__version__, "torch": torch.__version__, "python": platform.python_version()},
    }
    rows.round(5).to_csv(asked.out / "runs.csv", index=False)
    summarise(runs, rows, asked.work).round(5).to_csv(asked.out / "summary.csv", index=False)
    (asked.out / "about.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    # Under its own name: the workers import what they are given, and __main__ cannot be imported.
    import run_proof

    run_proof.main()
