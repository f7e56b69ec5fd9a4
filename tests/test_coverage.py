"""Intervals hold the true figure as often as they say, also where persons are few: simulations with person effects."""

import numpy as np
import pandas as pd
import pytest
from slow_cases import mostly_slow

from medn_lab.diagnose import leakage
from medn_lab.evaluate import accuracy, bootstrap_interval, compare_predictions, pair_auc, uar, uf1
from medn_lab.records import BranchFeatures, Predictions

CLASSES = ("negative", "positive", "surprise")


def check_coverage(hits, *, lowest=0.93):
    """Each cell of a simulation and all together cover at least `lowest`, less two standard errors."""
    for name, found in (hits | {"all": np.concatenate([*hits.values()])}).items():
        assert np.mean(found) >= lowest - 2 * np.sqrt(lowest * (1 - lowest) / len(found)), name


def logistic(values):
    return 1 / (1 + np.exp(-values))


def as_predictions(subjects, true, answered, *, scale=1.0):
    table = pd.DataFrame({"clip_id": [f"c{i}" for i in range(len(true))], "subject": subjects.astype(str)})
    logits = np.float32(scale) * np.eye(3, dtype=np.float32)[answered]
    return Predictions(logits, table.assign(label=np.array(CLASSES)[true]), CLASSES)


@pytest.mark.parametrize(("mean", "rounds"), mostly_slow([(1.4, 6), (0.5, 40), (3.5, 40)]))
def test_intervals_of_accuracy_uf1_and_uar_cover_from_five_persons_on(mean, rounds):
    rng = np.random.default_rng(0)

    def answers(n):
        """Subject, true and predicted class of ten clips a person; each person has an own share of right answers."""
        subjects = np.repeat(np.arange(n), 10)
        true = rng.choice(3, size=10 * n, p=(0.5, 0.3, 0.2))
        wrong = (true + rng.integers(1, 3, size=10 * n)) % 3
        right = rng.random(10 * n) < logistic(mean + rng.normal(size=n))[subjects]
        return subjects, true, np.where(right, true, wrong)

    truth = {measure: measure(*answers(20_000)[1:]) for measure in (accuracy, uf1, uar)}
    hits = {}
    for n in (5, 8, 12, 24):
        for seed in range(rounds):
            predictions = as_predictions(*answers(n))
            for measure, value in truth.items():
                found = bootstrap_interval(predictions, measure=measure, n_resamples=150, seed=seed)
                assert 0 <= found.low <= found.value <= found.high <= 1
                hits.setdefault((n, measure.__name__), []).append(found.low <= value <= found.high)
    check_coverage(hits)


@pytest.mark.parametrize("rounds", mostly_slow([8, 45]))
def test_the_intervals_of_a_difference_and_of_the_pair_auc_cover(rounds):
    hits, rng = {}, np.random.default_rng(5)
    for mean, gap in ((0.5, 0.6), (3.0, 0.8)):
        effects = rng.normal(size=200_000)
        truth = (logistic(mean + gap + effects) - logistic(mean + effects)).mean()
        for n in (5, 12):
            subjects = np.repeat(np.arange(n), 10)
            for seed in range(rounds):
                effects, luck = rng.normal(size=n)[subjects], rng.random(10 * n)
                # Two models never agree in every probability, even where they agree in every answer.
                models = [
                    as_predictions(subjects, 0 * subjects, 1 * (luck >= logistic(mean + shift + effects)), scale=scale)
                    for shift, scale in ((gap, 0.9), (0.0, 0.8))
                ]
                found = compare_predictions(*models, n_resamples=120, seed=seed).table.iloc[0]
                hits.setdefault((mean, n), []).append(found.low <= truth <= found.high)
    # Two emotions of one AU set; a clip's score is normal, one apart, with a shift of its person that both kinds share.
    apart, spread = 1.2, 0.5
    gap = rng.normal(size=(2, 400_000)) + spread * rng.normal(size=(2, 400_000))
    truth = np.mean(gap[0] + apart > gap[1])
    for n in (5, 12):
        subjects, label = np.repeat(np.arange(n), 8), np.tile([0, 1], 4 * n)
        table = pd.DataFrame({"clip_id": [f"c{i}" for i in range(8 * n)], "subject": subjects.astype(str)})
        table = table.assign(label=np.array(["others", "surprise"])[label], action_units="4")
        for seed in range(rounds):
            score = apart * label + spread * rng.normal(size=n)[subjects] + rng.normal(size=8 * n)
            logits = np.column_stack([-score, score]).astype(np.float32)
            found = pair_auc(Predictions(logits, table, ("others", "surprise")), n_resamples=120, seed=seed)
            hits.setdefault(("pair", n), []).append(found.low <= truth <= found.high)
    check_coverage(hits)


AUS = ("AU1", "AU4", "AU12")
GIVEN_AU12 = np.array([[0.25, 0.25, 0.5], [0.45, 0.25, 0.3]])
"""P(cue state | AU12); the other AUs have no part in the cue."""
AUC_OF_AU12 = 0.625
"""Over pairs with and without AU12: states in the order of their likelihood ratio (1.8, 1, .6), a tie counts half."""
EXACT = pd.DataFrame(
    {"branch": "emotion", "target": [*AUS, "AUs", "cue"], "allowed": [0.5, 0.5, AUC_OF_AU12, 1.625 / 3, 1.0]}
)


def cue_alone(rng, n, *, clips=16):
    """Features that hold the cue state and noise, so that they are independent of the AUs given the state."""
    aus = (rng.random((n * clips, 3)) < 0.4).astype(float)
    chances = GIVEN_AU12[aus[:, 2].astype(int)]
    state = (rng.random(n * clips)[:, None] > chances.cumsum(axis=1)).sum(axis=1).clip(max=2)
    table = pd.DataFrame({"clip_id": [f"c{i}" for i in range(n * clips)], "cue": np.array(list("abc"))[state]})
    table[["subject", *AUS]] = np.column_stack([np.repeat(np.arange(n), clips), aus])
    emotion = np.eye(3)[state] @ rng.normal(size=(3, 6)) + 0.2 * rng.normal(size=(n * clips, 6))
    return BranchFeatures(None, emotion, None, table)  # one branch is enough here


@pytest.mark.parametrize("rounds", mostly_slow([4, 16]))
def test_the_interval_of_an_excess_that_is_none_holds_0(rounds):
    hits = {}
    for n in (8, 12, 24):
        rng = np.random.default_rng(n)
        for seed in range(rounds):
            options = {"targets": ["aus"], "n_shuffles": 0, "n_resamples": 80, "seed": seed}
            rows = leakage(cue_alone(rng, n), allowed=EXACT, **options).set_index("target")
            assert rows.loc["AU12", "allowed"] == AUC_OF_AU12
            for target in ("AUs", "AU12", "AU4"):
                low, high = rows.loc[target, ["excess_low", "excess_high"]]
                hits.setdefault(target, []).append(low <= 0 <= high)
    check_coverage(hits)
