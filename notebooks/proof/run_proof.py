"""Train and measure what notebook 10 shows: ``python notebooks/proof/run_proof.py`` (or ``make proof``).

Trains each variant of the network on drawn persons and tests it on other drawn persons. Writes ``runs.csv`` (one row a
training and test), ``summary.csv`` (means over seeds), ``differences.csv`` (variant minus variant, paired by seed) and
``about.json`` to the folder of this file. Finished trainings are kept in the working folder, so that the script can be
stopped and started again. ``--dry-run`` prints the plan and its estimated cost.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from scipy.special import stdtrit
from torch import Tensor, nn
from tqdm.auto import tqdm

import medn_lab as medn
from medn_lab.model import MEDN, MEDNConfig, as_inputs
from medn_lab.records import Clips, Predictions, atomic_write
from medn_lab.train import TrainConfig

HERE = Path(__file__).resolve().parent
EPOCHS = 16
PERSONS = 24
FEWER_PERSONS = 16
HELD_OUT = 12
CLIPS_EACH = 30
CLIPS_OF_MOVED = 10
CLIPS_OF_SHIFT = 20
"""Clips of each held-out person in a test with another kind of cue than in training, and in a test of the shift."""

KINDS = ("colour", "timing", "brightness")
GREY = ", grey"
CONDITIONS: dict[str, dict] = {
    **{kind: {"cue": kind} for kind in (*KINDS, "mixed")},
    "no cue": {"cue": "colour", "cue_strength": 0.0},
    "shift": {"cue": "colour"},
}
"""Arguments of the corpus. A name that ends with ``, grey`` is the same corpus with grey frames."""

DENSE = {"keep_rates": (1.0,)}
BOTTLENECK = {"decoupling": "bottleneck"}
ABLATION = ("none", "token path closed", "and motion detached", "and 8 wide", "price 0", "bottleneck")
"""From no decoupling to the bottleneck, one change at a time. ``price 0`` adds batch norm, noise and rounding."""

LOSSES = ("orthogonal", "cross_covariance", "hsic", "adversarial")
VARIANTS: dict[str, dict] = {
    "difference picture": {},
    "motion only": {"branches": "motion"},
    "emotion only": {"branches": "emotion"},
    "none": {"decoupling": "none"},
    "token path closed": {"decoupling": "none"},
    "and motion detached": {"decoupling": "none"},
    "and 8 wide": BOTTLENECK,
    **{name: {"decoupling": name} for name in LOSSES},
    "price 0": BOTTLENECK,
    "bottleneck, dense": BOTTLENECK | DENSE,
    "bottleneck": BOTTLENECK,
}
"""What differs from the default network. ``difference picture`` is no network: see :func:`difference_picture`."""

PARTS: tuple[tuple[str, int, tuple[str, ...], tuple[int, ...], tuple[str, ...]], ...] = (
    ("cues", 5, (*KINDS, "mixed", "timing, grey", "brightness, grey"), (PERSONS,), ("bottleneck",)),
    ("shift", 10, ("shift",), (FEWER_PERSONS,), ("none", "orthogonal", "price 0", "bottleneck")),
    ("shift", 5, ("shift",), (FEWER_PERSONS,), ("motion only",)),
    ("cues", 2, ("no cue",), (FEWER_PERSONS,), ("bottleneck",)),
    ("cues", 2, (*KINDS, "mixed"), (PERSONS,), ("none", "difference picture")),
    ("cues", 1, (*KINDS, "mixed"), (PERSONS,), ("emotion only",)),
    ("cues", 2, ("colour",), (PERSONS,), ("motion only",)),
    ("ablation", 2, ("colour",), (FEWER_PERSONS,), ABLATION),
    ("sparse and dense", 5, ("colour",), (FEWER_PERSONS,), ("bottleneck", "bottleneck, dense")),
    ("persons", 2, ("colour",), (4, 8, 16), ("motion only", "emotion only", "none", "bottleneck")),
    ("losses", 2, ("colour",), (FEWER_PERSONS,), LOSSES),
)
"""Part, number of seeds, conditions, numbers of training persons, variants; the most important first.

No kind of cue is in the flow from onset to apex, so that ``motion only`` is trained on one kind."""

SHARES = {
    "training": (0.80, 0.12, 0.08),
    "same": (0.80, 0.12, 0.08),
    "uniform": (1 / 3, 1 / 3, 1 / 3),
    "reversed": (0.08, 0.12, 0.80),
}
"""Tables of the shift: what replaces the published .42, .33 and .25 of each AU set."""

WITHHELD = {"1+2+5": "surprise", "4": "others", "4+9": "disgust", "10+25": "surprise"}
WITHHELD |= {"12": "repression", "17": "disgust"}
"""Cells (AU set, emotion) of the shift that have probability 0 in every table but ``withheld``, which has no others."""

PUBLISHED = (0.42, 0.33, 0.25)
LEAST_CLIPS = 10
"""A group with fewer clips in a test does not count for the worst group."""


@dataclass(frozen=True)
class Run:
    """One training."""

    condition: str
    variant: str
    n_subjects: int
    seed: int

    @property
    def name(self) -> str:
        """The run's folder."""
        words = (self.condition, self.variant, f"{self.n_subjects}-persons", f"seed-{self.seed}")
        return "_".join(words).replace(",", "").replace(" ", "-")

    @property
    def corpus(self) -> tuple[str, int]:
        """Condition and seed of the clips; grey clips are made of those in colour."""
        return self.condition.removesuffix(GREY), self.seed

    @property
    def epochs(self) -> int:
        """More epochs for fewer persons; the number of steps falls with the root of the number of persons."""
        return round(EPOCHS * max(1.0, FEWER_PERSONS / self.n_subjects) ** 0.5)

    @property
    def tests(self) -> tuple[str, ...]:
        """The test corpora of this run."""
        if self.condition == "shift":
            return ("same", "uniform", "reversed", "withheld")
        moved = self.variant == "bottleneck" and self.condition in KINDS and self.n_subjects == PERSONS
        return ("same", *(kind for kind in KINDS if kind != self.condition)) if moved else ("same",)


def plan(*, seeds: int = 10) -> dict[Run, str]:
    """Every run with the part that asks for it first; the seeds are the outermost loop."""
    runs: dict[Run, str] = {}
    for seed in range(seeds):
        for part, most, *sets in PARTS:
            for condition, n, variant in product(*sets) if seed < most else ():
                runs.setdefault(Run(condition, variant, n, seed), part)
    return runs


def estimated_seconds(runs: Iterable[Run]) -> pd.Series:
    """Core-seconds of each run, and of drawing and measuring, by estimates of a 2.5 GHz core."""
    by_run = {}
    drawn: set[tuple] = set()
    for run in runs:
        kind = {"motion only": 2.2, "emotion only": 4.6, "difference picture": 0.3, "bottleneck, dense": 10.0}
        training = kind.get(run.variant, 7.0) / 1000 * run.n_subjects * CLIPS_EACH * run.epochs
        seconds = training + (4.0 if run.n_subjects == PERSONS else 3.0) + 1.0 * (len(run.tests) - 1)
        for test in (None, *run.tests):
            if (run.corpus, test) not in drawn:
                drawn.add((run.corpus, test))
                settings = corpus_settings(*run.corpus, test=test)
                seconds += settings["n_subjects"] * settings["clips_per_subject"] * 0.028
        by_run[run] = seconds
    return pd.Series(by_run.values(), index=list(by_run), dtype=float)


def shift_table(name: str) -> pd.DataFrame:
    """P(emotion | AU set) of a corpus of the shift, as ``emotions_given_aus`` takes it."""
    table = medn.synthme.emotion_table().set_index("action_units")
    emotions = list(medn.synthme.EMOTIONS)
    if name == "withheld":
        table = table.loc[list(WITHHELD)]
        table[emotions] = 0.0
        table["share"] /= table["share"].sum()
    else:
        table[emotions] = table[emotions].replace(dict(zip(PUBLISHED, SHARES[name], strict=True)))
    for units, emotion in WITHHELD.items():
        table.loc[units, emotion] = float(name == "withheld")
    table[emotions] = table[emotions].div(table[emotions].sum(axis=1), axis=0)
    return table.reset_index()


def corpus_settings(condition: str, seed: int, *, test: str | None) -> dict:
    """Arguments of the training clips (`test` None) or of a test; no person is in both, nor in a pretrained model."""
    fewer = condition in ("shift", "no cue")
    settings = {
        "n_subjects": HELD_OUT if test else FEWER_PERSONS if fewer else PERSONS,
        "clips_per_subject": CLIPS_EACH,
        "seed": 10 + 2 * seed + (test is not None),
        **CONDITIONS[condition],
    }
    if condition == "shift":
        settings |= {"emotions_given_aus": shift_table(test or "training")}
        settings |= {"clips_per_subject": CLIPS_OF_SHIFT} if test else {}
    elif test in KINDS:
        settings |= {"cue": test, "clips_per_subject": CLIPS_OF_MOVED}
    return settings


@lru_cache(maxsize=5)
def draw(condition: str, seed: int, test: str | None) -> Clips:
    """The clips of a condition; the last few are kept, as several runs share them."""
    return medn.synthetic_clips(**corpus_settings(condition, seed, test=test), n_jobs=1)


def clips_of(run: Run, test: str | None) -> Clips:
    """The clips that a run is trained on (`test` None) or tested on."""
    clips = draw(*run.corpus, test)
    if run.condition.endswith(GREY):
        import cv2

        flat = clips.frames.reshape(-1, clips.frames.shape[-2], 3)
        grey = cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY).reshape(clips.frames.shape[:-1])
        clips = replace(clips, frames=np.repeat(grey[..., None], 3, axis=-1))
    if test is None:
        persons = clips.table["subject"].unique()[: run.n_subjects]
        clips = clips.select(clips.table.loc[clips.table["subject"].isin(persons), "clip_id"])
    return clips


class ClosedFusion(nn.Module):
    """A fusion that reads the emotion branch's feature alone, not its tokens, and optionally detaches motion."""

    def __init__(self, fusion: nn.Module, *, detached: bool) -> None:
        super().__init__()
        self.fusion, self.detached = fusion, detached

    def forward(self, motion: Tensor, motion_tokens: Tensor, emotion: Tensor, emotion_tokens: Tensor) -> tuple:
        """Fuse as the wrapped module does."""
        if self.detached:
            motion, motion_tokens = motion.detach(), motion_tokens.detach()
        return self.fusion(motion, motion_tokens, emotion, emotion.unsqueeze(1))


class PlainCode(nn.Module):
    """The bottleneck's width without its batch norm, noise, rounding and price."""

    def __init__(self, config: MEDNConfig) -> None:
        super().__init__()
        self.encode = nn.Linear(config.dim, config.code_dim)
        self.expand = nn.Linear(config.code_dim, config.dim)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (b, d) to the code (b, code_dim), the code at full width (b, d), and 0 nats (b,)."""
        code = self.encode(feature)
        return code, self.expand(code), torch.zeros(len(feature))


def build(run: Run, clips: Clips) -> MEDN:
    """The untrained network of a run."""
    model = MEDN(MEDNConfig.for_clips(clips, **VARIANTS[run.variant]), seed=run.seed)
    if run.variant in ("token path closed", "and motion detached"):
        model.fusion = ClosedFusion(model.fusion, detached=run.variant == "and motion detached")
    elif run.variant == "and 8 wide":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            model.code = PlainCode(model.config)
    return model


def difference_picture(train: Clips, test: Clips) -> Predictions:
    """Predictions by logistic regression of the last frame minus the first, averaged to 16 px."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def pictures(clips: Clips) -> np.ndarray:
        changed = clips.frames[:, -1].astype(np.float32) - clips.frames[:, 0]
        n, size = changed.shape[:2]
        return changed.reshape(n, 16, size // 16, 16, size // 16, 3).mean(axis=(2, 4)).reshape(n, -1)

    reader = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    reader.fit(pictures(train), train.table["label"])
    logits = reader.predict_log_proba(pictures(test)).astype(np.float32)
    return Predictions(logits, test.table, tuple(reader.classes_), source={"name": "difference picture"})


def groups_of(table: pd.DataFrame) -> pd.Series:
    """The group of each clip of the shift: how frequent its emotion is in training among clips with its AU set."""
    published = medn.synthme.emotion_table().set_index("action_units")
    names = dict(zip(PUBLISHED, ("first", "second", "third"), strict=True))
    rows = zip(table["action_units"], table["label"], strict=True)
    groups = ["withheld" if WITHHELD.get(aus) == label else names[published.loc[aus, label]] for aus, label in rows]
    return pd.Series(groups, index=table.index)


def worst_group(predictions: Predictions) -> float:
    """The lowest accuracy of a group with at least ``LEAST_CLIPS`` clips."""
    right = pd.Series(predictions.predicted == predictions.table["label"].to_numpy(), index=predictions.table.index)
    found = right.groupby(groups_of(predictions.table)).agg(["mean", "size"])
    return float(found.loc[found["size"] >= LEAST_CLIPS, "mean"].min())


def measure(run: Run, test: str, clips: Clips, predictions: Predictions, model: MEDN | None) -> dict[str, object]:
    """All figures of one test."""
    table = shift_table(test) if run.condition == "shift" else None
    limits = medn.synthme.ceilings(clips.table, emotions_given_aus=table)
    accuracy = medn.evaluate.accuracy(clips.table["label"], predictions.predicted)
    row: dict[str, object] = {"accuracy": accuracy, "share_of_joint": accuracy / limits.joint}
    row |= {f"ceiling_{name}": getattr(limits, name) for name in ("au_only", "cue_only", "joint")}
    row["uf1"] = medn.evaluate.uf1(clips.table["label"], predictions.predicted)
    row["pair_auc"] = medn.evaluate.pair_auc(predictions, n_resamples=10).value
    if run.condition == "shift":
        row["worst_group"] = worst_group(predictions)
    if model is None or test != ("uniform" if run.condition == "shift" else "same"):
        return row
    features = medn.extract_features(model, clips)
    # What the emotion depends on: the first, second or third state, whichever the kind of cue.
    states = {name: str(place) for kind in medn.synthme.CUES.values() for place, name in enumerate(kind)}
    features = replace(features, table=features.table.assign(cue=features.table["cue"].map(states)))
    has_cue = run.condition != "no cue"
    allowed = medn.synthme.allowed_auc(emotions_given_aus=table)
    for kind in ("ridge", "rbf"):
        found = medn.diagnose.leakage(
            features, targets=("aus", "cue") if has_cue else ("aus",), allowed=allowed, kind=kind, n_shuffles=0,
            n_resamples=0,
        ).set_index(["branch", "target"])  # fmt: skip
        ending = "" if kind == "ridge" else "_rbf"
        for branch, target in found.index.intersection([(b, t) for b in ("motion", "emotion") for t in ("AUs", "cue")]):
            row[f"{branch}_{target.lower()}{ending}"] = found.loc[(branch, target), "value"]
            row[f"{branch}_{target.lower()}_leak{ending}"] = found.loc[(branch, target), "excess"]
        if kind == "ridge" and "emotion" in found.index:
            aus = found.loc["emotion"].filter(regex=r"^AU\d+$", axis=0)
            row |= {f"leak_{au}": excess for au, excess in aus.query("n_positive >= 8")["excess"].items()}
    if features.nats is not None:
        row["nats"] = float(features.nats.mean())
    if model.emotion_branch is not None and has_cue and run.n_subjects == PERSONS:
        kept = medn.diagnose.kept_tokens(model, clips, truth=clips.truth).to_frame()
        kept = kept[kept["keep_rate"] == kept["keep_rate"].max()]
        kept = kept.loc[kept["cover"].idxmin()]  # of several kinds of cue the one that is covered least
        row |= {"kept_chance": kept["chance"], "kept_cover": kept["cover"], "kept_above": kept["covers_more_often"]}
    return row


def carry_out(runs: Sequence[Run], work: Path) -> list[dict]:
    """Train and test the runs of one corpus, or read what was stored; one row a test."""
    torch.set_num_threads(1)
    rows = []
    for run in runs:
        folder = work / "runs" / run.name
        if not folder.is_dir():
            found = train_and_test(run)
            with atomic_write(folder) as made:
                (made / "rows.json").write_text(json.dumps(found, default=float))
        rows += json.loads((folder / "rows.json").read_text())
    return rows


def train_and_test(run: Run) -> list[dict]:
    """The rows of one run."""
    train = clips_of(run, None)
    model, began = None, time.perf_counter()
    if run.variant != "difference picture":
        model = build(run, train)
        price = {"decoupling_weight": 0.0} if run.variant == "price 0" else {}
        training = TrainConfig(seed=run.seed, epochs=run.epochs, **price)
        medn.fit(model, train, training=training, progress=False)
    seconds = time.perf_counter() - began
    rows = []
    for test in run.tests:
        clips = clips_of(run, test)
        predictions = difference_picture(train, clips) if model is None else medn.predict(model, clips)
        row = asdict(run) | {"test": test, "epochs": run.epochs, "seconds": seconds}
        rows.append(row | measure(run, test, clips, predictions, model))
    return rows


KEYS = ["condition", "n_subjects", "variant", "test"]


def over_seeds(values: Sequence[float], *, share: bool = False) -> tuple[float, float, float]:
    """Mean and Student's 95 % interval over seeds, from three seeds on; of a share it is cut to [0, 1].

    Each seed has its own test persons, so that the interval holds the spread of trainings and of persons. Two seeds
    may agree by chance, and their interval then has no width.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if len(known) < 3:
        return (float(known.mean()) if len(known) else np.nan), np.nan, np.nan
    mean, half = known.mean(), stdtrit(len(known) - 1, 0.975) * known.std(ddof=1) / np.sqrt(len(known))
    low, high = np.clip([mean - half, mean + half], *((0.0, 1.0) if share else (-np.inf, np.inf))).tolist()
    return float(mean), low, high


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a variant and test: the mean over seeds of each measure with its interval, and the AU that leaks most."""
    leaks = [name for name in rows if name.startswith("leak_")]
    measures = [name for name in rows if name not in {*KEYS, *leaks, "seed", "epochs", "seconds"}]
    table = []
    for key, group in rows.groupby(KEYS, sort=False):
        row: dict[str, object] = dict(zip(KEYS, key, strict=True)) | {"n_seeds": len(group)}
        for name in measures:
            amount = "leak" in name or name in ("nats", "share_of_joint")
            row[name], row[f"{name}_low"], row[f"{name}_high"] = over_seeds(group[name], share=not amount)
        of_aus = group[leaks].mean().dropna()
        worst = str(of_aus.idxmax()) if len(of_aus) else ""
        found = over_seeds(group[worst]) if worst else (np.nan,) * 3
        row["worst_au"] = worst.removeprefix("leak_")
        row |= dict(zip(("worst_au_leak", "worst_au_leak_low", "worst_au_leak_high"), found, strict=True))
        table.append(row)
    return pd.DataFrame(table)


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Each variant minus each that comes before it in ``VARIANTS``, on the seeds that both have."""
    order = list(VARIANTS)
    keys = ["condition", "n_subjects", "test"]
    table = []
    for key, group in rows.groupby(keys, sort=False):
        for name in ("accuracy", "worst_group", "emotion_aus_leak"):
            by_seed = group.pivot_table(index="seed", columns="variant", values=name).dropna(axis=1, how="all")
            there = sorted(by_seed, key=order.index)
            for place, variant in enumerate(there):
                for rival in there[:place]:
                    paired = (by_seed[variant] - by_seed[rival]).dropna()
                    value, low, high = over_seeds(paired)
                    outcome = "established" if low > 0 or high < 0 else "not established"
                    table.append([*key, name, variant, rival, len(paired), value, low, high, outcome])
    ending = ["measure", "variant", "rival", "n_seeds", "difference", "low", "high", "outcome"]
    return pd.DataFrame(table, columns=[*keys, *ending])


def step_times(*, repeats: int = 15) -> dict[str, float]:
    """Median seconds of a training step of 32 clips, one thread, the variants in turn in one process."""
    from medn_lab.train import medn_loss, read_targets

    torch.set_num_threads(1)
    clips = medn.synthetic_clips(n_subjects=4, clips_per_subject=8, seed=11)
    rows = np.arange(32)
    names = ("motion only", "emotion only", "none", "bottleneck", "bottleneck, dense")
    models = {name: build(Run("colour", name, 4, 0), clips).train() for name in names}
    taken: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(repeats + 2):
        for name, model in models.items():
            inputs = as_inputs(model.config, clips, rows=rows)
            targets = read_targets(model.config, clips.table, label="label", training=True)
            began = time.perf_counter()
            terms = medn_loss(model(*inputs), targets, config=model.config, training=TrainConfig())
            terms["loss"].backward()
            model.zero_grad(set_to_none=True)
            if turn > 1:
                taken[name].append(time.perf_counter() - began)
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def plan_table(runs: dict[Run, str], *, n_jobs: int) -> pd.DataFrame:
    """Trainings and estimated core-minutes of each part, and the minutes of the whole."""
    seconds = estimated_seconds(runs)
    table = seconds.groupby(list(runs.values()), sort=False).agg(trainings="size", core_minutes="sum")
    table.loc["all"] = table.sum()
    table["minutes"] = table["core_minutes"] / 60 / n_jobs
    return table.assign(core_minutes=table["core_minutes"] / 60).round(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="at most; each part has its own number")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("runs/proof"), help="finished trainings are kept here")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the tables")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and its estimated cost only")
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    runs = plan(seeds=options.seeds)
    tqdm.write(plan_table(runs, n_jobs=options.n_jobs).to_string())
    if options.dry_run:
        return
    together: dict[tuple, list[Run]] = {}
    for run in runs:
        together.setdefault(run.corpus, []).append(run)
    jobs = Parallel(n_jobs=options.n_jobs, return_as="generator_unordered")(
        delayed(carry_out)(group, options.work) for group in together.values()
    )
    found = list(tqdm(jobs, total=len(together), desc="training", unit="corpus"))
    rows = pd.DataFrame([row for group in found for row in group])
    orders = {"condition": [run.condition for run in runs], "variant": list(VARIANTS)}
    orders["test"] = [test for run in runs for test in run.tests]
    rows = rows.sort_values(
        [*KEYS, "seed"],
        key=lambda one: one.map(orders[one.name].index) if one.name in orders else one,
        ignore_index=True,
    )
    about = {
        "command": f"python notebooks/proof/run_proof.py --seeds {options.seeds}",
        "trainings": len(runs),
        "training_hours": round(float(rows.drop_duplicates([*KEYS[:3], "seed"])["seconds"].sum()) / 3600, 2),
        "minutes_of_this_call": round((time.perf_counter() - began) / 60, 1),
        "network": asdict(MEDNConfig()),
        "training": asdict(TrainConfig(epochs=EPOCHS)),
        "decoupling_weights": {name: weight for name, (_, weight, _) in medn.model.DECOUPLING_METHODS.items()},
        "kinds": KINDS,
        "ablation": ABLATION,
        "shares": SHARES,
        "withheld": WITHHELD,
        "least_clips_of_a_group": LEAST_CLIPS,
        "step_seconds": step_times(),
        "versions": {"medn_lab": medn.__version__, "torch": torch.__version__, "python": platform.python_version()},
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for name, table in (("runs", rows), ("summary", summarise(rows)), ("differences", differences(rows))):
        table.round(5).to_csv(options.out / f"{name}.csv", index=False)
    (options.out / "about.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    # Under its own name: the workers import what they are given, and __main__ cannot be imported.
    import run_proof

    run_proof.main()
