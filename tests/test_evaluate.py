"""Scores: closed forms, agreement with scikit-learn, intervals over subjects, joins by clip id."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score

from medn_lab.evaluate import accuracy, bootstrap_interval, confusion_matrix, uar, uf1
from medn_lab.records import Predictions

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
    with pytest.raises(ValueError, match="no column 'emotion' to compare with"):
        confusion_matrix(told, label="emotion")
