"""What AUs alone can score, and which clips only something else can tell apart."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pair_tables import table_of

import medn_lab as medn
from medn_lab.data import Fold
from medn_lab.diagnose import confusable_pairs
from medn_lab.evaluate import au_only_floor, bootstrap_interval, pair_auc
from medn_lab.evaluate.resampling import draw_subjects
from medn_lab.records import Predictions


def drawn_table(**size):
    return medn.synthme.draw_table(**size, seed=0).assign(label=lambda table: table["emotion"])


def predictions_of(table, scores):
    classes = tuple(sorted(table["label"].unique()))
    return Predictions(np.asarray(scores, dtype=np.float32), table, classes)


class TestConfusablePairs:
    def test_clips_with_unknown_aus_or_without_a_label_are_in_no_pair(self):
        table = table_of(("1", "?", "happiness"), ("1", "?", "others"), ("2", None, "others"), ("2", "", "happiness"))
        pairs = confusable_pairs(table)
        assert len(pairs) == 0
        assert list(pairs.columns) == ["clip_a", "clip_b", "action_units", "label_a", "label_b"]
        for missing in (None, np.nan, pd.NA):
            rows = [("1", "12", "happiness"), ("1", "12", missing), ("2", "12", missing), ("2", "12", "repression")]
            for opposite in (False, True):
                pairs = confusable_pairs(table_of(*rows), opposite=opposite)
                assert pairs[["clip_a", "clip_b"]].to_numpy().tolist() == [["c0", "c3"]]
            assert len(confusable_pairs(table_of(*rows[1:3]))) == 0

    def test_opposite_pairs_are_a_positive_and_a_negative_emotion(self):
        labels = ("Happy", "Repression", "surprise", "others", "Anger", "contempt", "positive", "negative", "tense")
        table = table_of(*[(str(i), "12", label) for i, label in enumerate((*labels, "sadness"))])
        pairs = confusable_pairs(table, opposite=True)
        found = {frozenset(pair) for pair in pairs[["label_a", "label_b"]].to_numpy().tolist()}
        negative = ("Repression", "Anger", "contempt", "negative", "sadness")
        assert found == {frozenset((a, b)) for a in ("Happy", "positive") for b in negative}
        assert (len(pairs), len(confusable_pairs(table))) == (10, 45)


def test_a_model_of_the_aus_alone_has_pair_auc_one_half():
    table = drawn_table(n_subjects=6, clips_per_subject=20)
    by_au = np.random.default_rng(0).normal(size=(table["action_units"].nunique(), 5))
    scores = by_au[pd.factorize(table["action_units"])[0]]
    found = pair_auc(predictions_of(table, scores))
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_pair_auc_of_opposite_emotions_counts_its_own_pairs():
    table = table_of(
        ("1", "12", "happiness"), ("2", "12", "repression"), ("1", "12", "surprise"), ("2", "4", "disgust"),
    )  # fmt: skip
    # Happiness and repression are told apart, surprise is mistaken for both.
    classes = sorted(table["label"].unique())
    scores = np.array([[1.0 if c == label else 0.0 for c in classes] for label in table["label"]])
    scores[2] = [3.0 if c in ("happiness", "repression") else 0.0 for c in classes]
    told = predictions_of(table, scores)
    opposite, every = pair_auc(told, opposite=True), pair_auc(told)
    assert (opposite.value, opposite.n_pairs, opposite.n_clips, opposite.n_subjects) == (1.0, 1, 2, 2)
    assert (every.n_pairs, every.n_clips) == (3, 3)
    assert every.value < 1.0
    assert "1 pairs of opposite emotions, 2 clips" in repr(opposite)


@pytest.mark.parametrize(
    ("rows", "opposite", "reason"),
    [
        ([("1", "12", "happiness"), ("2", "4", "others")], False, "no two clips share an AU set and differ in emotion"),
        ([("1", "12", "surprise"), ("2", "12", "others")], True, "no clip has a positive emotion"),
        ([("1", "12", "happiness"), ("2", "4", "disgust")], True, "no two clips share an AU set and have opposite"),
        ([("1", "?", "happiness"), ("2", "?", "disgust")], False, "the AUs of all 2 clips are unknown"),
    ],
)
def test_why_there_are_no_pairs_is_said(rows, opposite, reason):
    found = pair_auc(predictions_of(table_of(*rows), np.eye(2)), opposite=opposite)
    assert np.isnan(found.value)
    assert reason in found.reason
    assert repr(found) == f"pair AUC: none, because {found.reason}"


def test_pairs_of_one_subject_have_a_figure_and_no_interval():
    table = table_of(("1", "12", "happiness"), ("1", "12", "others"), ("2", "4", "others"))
    found = pair_auc(predictions_of(table, [[1, 0], [0, 1], [0, 1]]))
    assert found.value == 1.0
    assert np.isnan(found.low)
    assert np.isnan(found.high)
    assert found.n_subjects == 1


def test_the_interval_of_the_pair_auc_is_that_of_pairs_counted_by_hand():
    table = drawn_table(n_subjects=4, clips_per_subject=8)
    told = predictions_of(table, np.random.default_rng(0).normal(size=(len(table), table["label"].nunique())))
    pairs, ids = confusable_pairs(table), table["clip_id"].to_numpy()
    place, classes = {name: i for i, name in enumerate(ids)}, list(told.classes)
    _, person = np.unique(table["subject"], return_inverse=True)
    draws = draw_subjects(table, n_resamples=200, level=0.95, seed=3)
    values = []
    for drawn in draws.counts:
        won = asked = 0.0
        for row in pairs.itertuples():
            a, b = place[row.clip_a], place[row.clip_b]
            weight = drawn[person[a]] * (drawn[person[b]] if person[a] != person[b] else 1)
            p = told.probabilities
            right = (p[a, classes.index(row.label_a)] > p[b, classes.index(row.label_a)]) / 2
            right += (p[b, classes.index(row.label_b)] > p[a, classes.index(row.label_b)]) / 2
            won, asked = won + weight * right, asked + weight
        values.append(won / asked)
    found = pair_auc(told, n_resamples=200, seed=3)
    assert found.value == pytest.approx(values[0])
    bounds = draws.bounds(np.array(values), n_clips=found.n_clips, share=True)
    assert (found.low, found.high) == pytest.approx(bounds)


def test_in_a_cross_validation_only_pairs_of_one_fold_count():
    table = table_of(
        ("1", "12", "happiness"), ("1", "12", "others"), ("2", "12", "happiness"), ("2", "12", "others"),
    )  # fmt: skip
    # Right within each subject, wrong between them: subject 2's network is sure of happiness whatever it sees.
    told = replace(predictions_of(table, [[1, 0], [0, 1], [9, 0], [8, 0]]), fold=np.array([0, 0, 1, 1]))
    within, across = pair_auc(told), pair_auc(told, across_folds=True)
    assert (within.value, within.n_pairs) == (1.0, 2)
    assert across.n_pairs == 4
    assert across.value < 1.0
    apart = told.select(["c0", "c3"])
    assert "different folds" in pair_auc(apart).reason
    assert pair_auc(apart, across_folds=True).n_pairs == 1


def test_aus_alone_stand_at_one_half_within_folds_and_below_it_across_them():
    table = drawn_table(n_subjects=12, clips_per_subject=20)
    classes = tuple(sorted(table["label"].unique()))
    onehot = (table["label"].to_numpy()[:, None] == np.array(classes, dtype=object)).astype(float)
    logits, fold = np.zeros((len(table), 5), dtype=np.float32), pd.factorize(table["subject"])[0]
    for number in range(12):
        # The best reader of AUs: how often the other subjects' clips of the same AU set have each emotion.
        training = pd.DataFrame(onehot[fold != number]).groupby(table["action_units"][fold != number].to_numpy()).sum()
        wanted = table["action_units"][fold == number]
        logits[fold == number] = np.log(training.reindex(wanted).fillna(0).to_numpy() + 0.5)
    told = Predictions(logits, table, classes, fold=fold)
    assert pair_auc(told).value == 0.5
    assert pair_auc(told, across_folds=True).high < 0.45


def test_pairs_whose_label_is_no_class_are_refused():
    table = table_of(("1", "12", "happiness"), ("2", "12", "fear"))
    told = Predictions(np.zeros((2, 2), np.float32), table, ("happiness", "others"))
    with pytest.raises(ValueError, match="the pairs are labelled fear; the classes are happiness, others"):
        pair_auc(told)


def test_the_floor_is_the_majority_of_the_other_subjects():
    table = table_of(
        ("1", "12", "happiness"), ("2", "12", "happiness"), ("3", "12", "others"),
        ("1", "4", "disgust"), ("2", "4", "disgust"), ("3", "4", "disgust"),
    )  # fmt: skip
    floor = au_only_floor(table)
    # Subjects 1 and 2 see one happiness and one others for AU 12: a tie, which goes to the emotion that is more
    # frequent among their training clips (one each again), then to the alphabet.
    assert floor.predicted.tolist() == ["happiness", "happiness", "happiness", "disgust", "disgust", "disgust"]
    assert floor.accuracy == pytest.approx(5 / 6)
    assert floor.n_unseen == 0


def test_an_unseen_au_set_is_decided_by_the_vote_of_its_aus():
    table = table_of(
        ("1", "4", "disgust"), ("1", "7", "disgust"), ("1", "12", "happiness"), ("1", "25", "happiness"),
        ("1", "6", "happiness"), ("2", "4+7", "disgust"), ("2", "?", "disgust"),
    )  # fmt: skip
    floor = au_only_floor(table)
    assert floor.predicted["c5"] == "disgust"
    assert floor.predicted["c6"] == "happiness"  # unknown AUs: the majority of all
    assert floor.n_unseen == 7


@pytest.mark.slow
def test_the_floor_comes_near_the_exact_ceiling_on_many_clips():
    table = drawn_table(n_subjects=60, clips_per_subject=40)
    assert au_only_floor(table).accuracy == pytest.approx(medn.synthme.ceilings(table).au_only, abs=0.03)


def test_the_floor_does_not_depend_on_the_order_of_rows():
    table = medn.synthme.draw_table(n_subjects=6, clips_per_subject=15, seed=2).assign(label=lambda t: t["emotion"])
    shuffled = table.sample(frac=1, random_state=0)
    first, second = au_only_floor(table), au_only_floor(shuffled)
    assert first.accuracy == second.accuracy
    pd.testing.assert_series_equal(first.predicted.sort_index(), second.predicted.sort_index())


def test_a_table_without_labels_or_with_one_subject_is_refused():
    with pytest.raises(ValueError, match="no column 'label'; choose a protocol"):
        au_only_floor(table_of(("1", "12", "happiness")).drop(columns="label"))
    with pytest.raises(ValueError, match="at least 2 subjects"):
        au_only_floor(table_of(("1", "12", "happiness")))


def test_the_floor_of_given_folds_scores_only_what_they_test():
    table = table_of(
        ("1", "12", "happiness"), ("2", "12", "happiness"), ("3", "12", "others"), ("3", "4", "disgust"),
    )  # fmt: skip
    fold = Fold("3", train=("c0", "c1"), test=("c2", "c3"))
    floor = au_only_floor(table, folds=[fold])
    assert floor.predicted.to_dict() == {"c2": "happiness", "c3": "happiness"}
    assert (floor.accuracy, floor.n_clips, floor.n_subjects, floor.n_unseen) == (0.0, 2, 1, 1)


def test_the_floor_is_also_a_record_of_predictions():
    table = drawn_table(n_subjects=5, clips_per_subject=12)
    floor = au_only_floor(table)
    assert floor.predictions.predicted.tolist() == floor.predicted.tolist()
    assert bootstrap_interval(floor.predictions).value == floor.accuracy
    assert np.isfinite(floor.predictions.probabilities).all()
    assert len(np.unique(floor.predictions.fold)) == 5


def test_labels_that_depend_on_the_subject_alone_do_not_raise_the_floor():
    table = medn.synthme.draw_table(n_subjects=20, clips_per_subject=20, seed=0)
    subjects = sorted(table["subject"].unique())
    label = table["subject"].map({name: ("happiness", "others")[i % 2] for i, name in enumerate(subjects)})
    assert au_only_floor(table.assign(label=label)).accuracy < 0.5
