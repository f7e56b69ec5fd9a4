"""Scores: closed forms, agreement with scikit-learn, intervals over subjects, joins by clip id."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score
from tiny_clips import tiny_clips

from medn_lab.evaluate import accuracy, bootstrap_interval, confusion_matrix, extract_features, uar, uf1
from medn_lab.evaluate.metrics import FROM_COUNTS
from medn_lab.evaluate.resampling import draw_subjects
from medn_lab.model import MEDN, MEDNConfig, as_inputs
from medn_lab.records import BranchFeatures, Predictions

CLASSES = ("negative", "positive", "surprise")


def predictions_of(true, predicted, subjects=None, **columns):
    logits = np.stack([np.where(np.array(predicted) == name, 1.0, 0.0) for name in CLASSES], axis=1)
    subjects = [f"s{i % 4}" for i in range(len(true))] if subjects is None else subjects
    table = pd.DataFrame({"clip_id": [f"c{i}" for i in range(len(true))], "subject": subjects, "label": true})
    return Predictions(logits.astype(np.float32), table.assign(**columns), CLASSES)


answers = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=40)


@given(answers)
def test_scores_agree_with_scikit_learn(pairs):
    true, predicted = (list(side) for side in zip(*pairs, strict=True))
    present = sorted(set(true))
    # zero_division=0 is scikit-learn's name for: a class that nobody meant or said counts as 0.
    expected = f1_score(true, predicted, labels=CLASSES, average="macro", zero_division=0)
    assert uf1(true, predicted, classes=CLASSES) == pytest.approx(expected)
    assert uf1(true, predicted) == pytest.approx(
        f1_score(true, predicted, labels=present, average="macro", zero_division=0)
    )
    assert accuracy(true, predicted) == pytest.approx(np.mean([t == p for t, p in pairs]))
    if set(predicted) <= set(true) and len(set(true)) > 1:  # scikit-learn warns of others
        assert uar(true, predicted) == pytest.approx(balanced_accuracy_score(true, predicted))


@given(answers, st.randoms())
def test_scores_do_not_depend_on_the_order_of_clips(pairs, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    for measure in (accuracy, uf1, uar):
        assert measure(*zip(*pairs, strict=True)) == pytest.approx(measure(*zip(*shuffled, strict=True)))


def test_the_majority_answer_scores_chance_in_uar_and_less_in_uf1():
    true = ["negative"] * 8 + ["positive"] + ["surprise"]
    said = ["negative"] * 10
    assert accuracy(true, said) == pytest.approx(0.8)
    assert uar(true, said) == pytest.approx(1 / 3)
    assert uf1(true, said) == pytest.approx(2 * 8 / 18 / 3)


def test_a_confusion_matrix_counts_each_clip_once():
    matrix = confusion_matrix(
        predictions_of(["negative", "negative", "surprise"], ["negative", "positive", "surprise"])
    )
    assert matrix.loc["negative"].tolist() == [1, 1, 0]
    assert matrix.loc["surprise"].tolist() == [0, 0, 1]
    assert matrix.to_numpy().sum() == 3
    assert list(matrix.columns) == list(CLASSES)


def test_an_interval_holds_the_score_and_narrows_with_more_subjects():
    generator = np.random.default_rng(0)

    def interval(n_subjects):
        subjects = np.repeat([f"s{i}" for i in range(n_subjects)], 10)
        right = generator.random(10 * n_subjects) < 0.7
        return bootstrap_interval(
            predictions_of(["negative"] * len(right), np.where(right, "negative", "positive"), subjects), seed=1
        )

    few, many = interval(8), interval(128)
    assert few.low <= few.value <= few.high
    assert (many.high - many.low) < 0.5 * (few.high - few.low)
    assert (few.n_clips, few.n_subjects) == (80, 8)


def test_an_interval_over_persons_is_wider_than_over_clips_when_persons_differ():
    subjects = np.repeat([f"s{i}" for i in range(10)], 20)
    right = np.repeat([True, False] * 5, 20)  # five persons always right, five always wrong
    told = predictions_of(["negative"] * 200, np.where(right, "negative", "positive"), subjects)
    by_person = bootstrap_interval(told)
    binomial = 2 * 1.96 * np.sqrt(0.25 / 200)
    assert by_person.high - by_person.low > 3 * binomial


def test_the_same_number_in_two_data_sets_is_two_persons():
    told = predictions_of(
        ["negative"] * 4, ["negative"] * 4, ["01"] * 4, dataset=["CASME II", "CASME II", "SAMM", "SAMM"]
    )
    assert bootstrap_interval(told).n_subjects == 2


def test_an_interval_of_one_subject_is_refused():
    with pytest.raises(ValueError, match="at least 2 subjects to resample, there is 1"):
        bootstrap_interval(predictions_of(["negative"], ["negative"]))


def test_scores_of_unequal_or_no_clips_are_refused():
    with pytest.raises(ValueError, match=r"true has shape \(2,\) but predicted \(1,\)"):
        uf1(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="no clips to score"):
        accuracy([], [])
    with pytest.raises(ValueError, match="different indices; join them by clip_id"):
        uar(pd.Series(["a", "b"], index=["c1", "c2"]), pd.Series(["a", "b"], index=["c2", "c1"]))


def test_labels_that_the_predictions_do_not_know_are_named():
    with pytest.raises(ValueError, match="holds fear; the classes are negative, positive, surprise"):
        confusion_matrix(predictions_of(["fear"], ["negative"]))
    told = predictions_of(["negative"], ["negative"])
    with pytest.raises(ValueError, match="no column 'emotion'"):
        confusion_matrix(told, label="emotion")


def noisy_predictions(*, n_subjects=16, clips_per_subject=30, right=0.7, seed=0):
    """Predictions that are right by chance, each person with a rate of her own."""
    generator = np.random.default_rng(seed)
    subjects = np.repeat([f"s{i:02d}" for i in range(n_subjects)], clips_per_subject)
    true = generator.choice(CLASSES, size=len(subjects), p=[0.6, 0.3, 0.1])
    rates = np.clip(generator.normal(right, 0.15, n_subjects), 0.02, 0.98).repeat(clips_per_subject)
    said = np.where(generator.random(len(true)) < rates, true, generator.choice(CLASSES, size=len(true)))
    return predictions_of(true.tolist(), said.tolist(), subjects)


@pytest.mark.parametrize("measure", [accuracy, uf1, uar])
def test_an_interval_from_counts_is_the_one_from_repeated_clips(measure):
    told = noisy_predictions(n_subjects=5, clips_per_subject=6)
    fast = bootstrap_interval(told, measure=measure, n_resamples=300)
    slow = bootstrap_interval(told, measure=lambda true, said: measure(true, said), n_resamples=300)
    assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high), abs=1e-12)


@given(answers)
def test_scores_from_a_confusion_matrix_are_those_of_the_clips(pairs):
    true, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    counts = np.zeros((1, 3, 3))
    for t, p in pairs:
        counts[0, CLASSES.index(t), CLASSES.index(p)] += 1
    for measure, of in FROM_COUNTS.items():
        assert of(counts)[0] == pytest.approx(measure(true, predicted))


@pytest.mark.parametrize("measure", [accuracy, uf1, uar])
def test_perfect_predictions_score_one_with_the_interval_of_so_many_clips(measure):
    true = ["negative", "positive", "surprise"] * 40
    found = bootstrap_interval(predictions_of(true, true, np.repeat(list("abcde"), 24)), measure=measure)
    assert (found.value, found.high) == (1.0, 1.0)
    # Wilson's bound n / (n + t^2) of 120 clips, with Student's t of 4 degrees of freedom.
    assert found.low == pytest.approx(120 / (120 + 2.776445**2))


def test_each_resample_draws_as_many_people_as_there_are():
    table = pd.DataFrame({"dataset": ["A", "A", "B"], "subject": ["1", "2", "1"]})
    draws = draw_subjects(table, n_resamples=4000, level=0.95, seed=0)
    assert draws.names == ("A/1", "A/2", "B/1")
    assert (draws.counts.sum(axis=1) == 3).all()
    # How often one person is drawn is binomial: mean 1, variance 3 * 1/3 * 2/3.
    assert draws.counts.mean(axis=0) == pytest.approx([1, 1, 1], abs=0.06)
    assert draws.counts.var(axis=0) == pytest.approx([2 / 3] * 3, abs=0.06)


def test_the_interval_of_a_score_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        found = bootstrap_interval(noisy_predictions(n_subjects=24, clips_per_subject=10, seed=seed), n_resamples=400)
        # A wrong guess hits by chance as often as the class is drawn, one in three.
        covered += found.low <= 0.7 + 0.3 / 3 <= found.high
    assert 0.87 <= covered / 200 <= 0.99


def test_a_level_or_a_number_of_resamples_out_of_range_is_refused():
    told = noisy_predictions(n_subjects=2)
    for wrong in ({"level": 95}, {"level": 0}, {"n_resamples": 0}):
        with pytest.raises(ValueError, match=r"level must be in \(0, 1\) and n_resamples at least 1"):
            bootstrap_interval(told, **wrong)


def test_features_carry_what_the_code_spent_and_the_switch(tmp_path):
    clips = tiny_clips()
    model = MEDN(MEDNConfig.for_clips(clips, dim=32, decoupling="bottleneck")).eval()
    features = extract_features(model, clips)
    with torch.inference_mode():
        out = model(*as_inputs(model.config, clips, rows=np.arange(len(clips))))
    np.testing.assert_allclose(features.nats, out.nats.numpy(), rtol=1e-4)
    assert features.source["decoupling"] == "bottleneck"
    features.save(tmp_path / "features")
    np.testing.assert_array_equal(BranchFeatures.load(tmp_path / "features").nats, features.nats)
    assert extract_features(MEDN(MEDNConfig.for_clips(clips, dim=32)), clips).nats is None
