"""What AUs alone can score, and which clips only something else can tell apart."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pair_tables import table_of

import medn_lab as medn
from medn_lab.data import Fold
from medn_lab.diagnose import confusable_pairs
from medn_lab.evaluate import accuracy, au_only_floor, bootstrap_interval, pair_auc
from medn_lab.evaluate.resampling import Draws
from medn_lab.records import Predictions


def drawn_table(**size):
    return medn.synthme.draw_table(**size, seed=0).assign(label=lambda table: table["emotion"])


def predictions_of(table, scores):
    return Predictions(np.asarray(scores, dtype=np.float32), table, tuple(sorted(table["label"].unique())))


def test_pairs_have_known_aus_and_two_labels_and_opposite_ones_a_positive_and_a_negative_emotion():
    rows = [("1", aus, label) for aus in ("?", None, "") for label in ("happiness", "others")]
    rows += [("1", "12", "happiness"), ("1", "12", np.nan), ("2", "12", None), ("2", "12", "repression")]
    for opposite in (False, True):
        pairs = confusable_pairs(table_of(*rows), opposite=opposite)
        assert pairs[["clip_a", "clip_b"]].to_numpy().tolist() == [["c6", "c9"]]
    labels = ("Happy", "Repression", "surprise", "others", "Anger", "contempt", "positive", "negative", "tense")
    table = table_of(*[(str(i), "12", label) for i, label in enumerate((*labels, "sadness"))])
    pairs = confusable_pairs(table, opposite=True)
    found = {frozenset(pair) for pair in pairs[["label_a", "label_b"]].to_numpy().tolist()}
    negative = ("Repression", "Anger", "contempt", "negative", "sadness")
    assert found == {frozenset((a, b)) for a in ("Happy", "positive") for b in negative}
    assert (len(pairs), len(confusable_pairs(table))) == (10, 45)


class TestPairAUC:
    def test_without_pairs_there_is_a_reason(self):
        for opposite, reason, *rows in (
            (False, "no two clips share an AU set and differ", ("1", "12", "happiness"), ("2", "4", "others")),
            (True, "no two clips share an AU set and have opp", ("1", "12", "surprise"), ("2", "12", "others")),
            (False, "the AUs of all 2 clips are unknown", ("1", "?", "happiness"), ("2", "?", "disgust")),
        ):
            found = pair_auc(predictions_of(table_of(*rows), np.eye(2)), opposite=opposite)
            assert np.isnan(found.value)
            assert reason in found.reason
            assert found.reason in repr(found)

    def test_the_interval_is_that_of_pairs_counted_by_hand(self):
        table = drawn_table(n_subjects=4, clips_per_subject=8)
        scores = np.random.default_rng(0).normal(size=(len(table), table["label"].nunique()))
        predictions = predictions_of(table, scores)
        pairs, p = confusable_pairs(table), predictions.probabilities
        place, column = (pd.Series(range(len(names)), index=names) for names in (table["clip_id"], predictions.classes))
        draws = Draws(table, n_resamples=50, seed=3)
        values = []
        for counts in draws.counts:
            right = whole = 0.0
            for row in pairs.itertuples():
                a, b, of_a, of_b = place[row.clip_a], place[row.clip_b], column[row.label_a], column[row.label_b]
                first, second = draws.person[a], draws.person[b]
                weight = counts[first] * (counts[second] if first != second else 1)
                right += weight * ((p[a, of_a] > p[b, of_a]) / 2 + (p[b, of_b] > p[a, of_b]) / 2)
                whole += weight
            values.append(right / whole)
        found = pair_auc(predictions, n_resamples=50, seed=3)
        assert found.value == pytest.approx(values[0])
        bounds = draws.bounds(np.array(values), n_clips=found.n_clips, share=True)
        assert (found.low, found.high) == pytest.approx(bounds)
        one = pair_auc(predictions_of(table_of(("1", "12", "x"), ("1", "12", "y"), ("2", "4", "y")), np.eye(3, 2)))
        assert (one.n_subjects, np.isnan(one.low), one.value > 0) == (1, True, True)

    def test_in_a_cross_validation_only_pairs_of_one_fold_count(self):
        table = table_of(*[(subject, "12", label) for subject in "12" for label in ("happiness", "others")])
        # Right within each subject, wrong between them: subject 2's network is sure of happiness whatever it sees.
        predictions = predictions_of(table, [[1, 0], [0, 1], [9, 0], [8, 0]])
        predictions = replace(predictions, fold=np.array([0, 0, 1, 1]))
        within, across = pair_auc(predictions), pair_auc(predictions, across_folds=True)
        assert (within.value, within.n_pairs, across.n_pairs) == (1.0, 2, 4)
        assert across.value < 1.0
        assert "different folds" in pair_auc(predictions.select(["c0", "c3"])).reason
        with pytest.raises(ValueError, match="the pairs are labelled others; the classes are happiness, x"):
            pair_auc(replace(predictions, classes=("happiness", "x")))

    def test_aus_alone_stand_at_one_half_within_folds_and_below_it_across_them(self):
        table = drawn_table(n_subjects=12, clips_per_subject=20)
        classes = tuple(sorted(table["label"].unique()))
        onehot = (table["label"].to_numpy()[:, None] == np.array(classes, dtype=object)).astype(float)
        logits, fold = np.zeros((len(table), 5), dtype=np.float32), pd.factorize(table["subject"])[0]
        for number in range(12):
            # The best reader of AUs: how often the other subjects' clips of the same AU set have each emotion.
            own = fold == number
            training = pd.DataFrame(onehot[~own]).groupby(table["action_units"][~own].to_numpy()).sum()
            logits[own] = np.log(training.reindex(table["action_units"][own]).fillna(0).to_numpy() + 0.5)
        predictions = Predictions(logits, table, classes, fold=fold)
        within = pair_auc(predictions)
        assert (within.value, within.low, within.high) == (0.5, 0.5, 0.5)
        assert pair_auc(predictions, across_folds=True).high < 0.45


class TestFloor:
    def test_it_is_the_majority_of_the_other_subjects_and_of_single_aus_where_the_set_is_new(self):
        labels = {"12": ("happiness", "happiness", "others"), "4": ("disgust",) * 3}
        table = table_of(*[(str(k + 1), aus, label) for aus, three in labels.items() for k, label in enumerate(three)])
        floor = au_only_floor(table)
        # Subjects 1 and 2 see one happiness and one others for AU 12: a tie, which goes to the emotion that is more
        # frequent among their training clips (one each again), then to the alphabet.
        assert floor.predicted.tolist() == ["happiness", "happiness", "happiness", "disgust", "disgust", "disgust"]
        assert (accuracy(table["label"], floor.predicted), floor.source["n_unseen"]) == (pytest.approx(5 / 6), 0)
        floor = au_only_floor(table, folds=[Fold("3", train=("c0", "c1"), test=("c2", "c5"))])
        assert dict(zip(floor.table["clip_id"], floor.predicted, strict=True)) == {"c2": "happiness", "c5": "happiness"}
        assert floor.source["n_unseen"] == 1
        table = table_of(
            ("1", "4", "disgust"), ("1", "7", "disgust"), ("1", "12", "happiness"), ("1", "25", "happiness"),
            ("1", "6", "happiness"), ("2", "4+7", "disgust"), ("2", "?", "disgust")
        )  # fmt: skip
        floor = au_only_floor(table)
        assert floor.predicted[5:].tolist() == ["disgust", "happiness"]  # unknown AUs: the majority of all
        assert (floor.source["n_unseen"], floor.source["n_unknown"]) == (7, 1)

    def test_the_order_of_rows_does_not_matter_and_labels_of_the_subject_alone_do_not_raise_it(self):
        table = drawn_table(n_subjects=20, clips_per_subject=40)
        floor, other = au_only_floor(table), au_only_floor(table.sample(frac=1, random_state=0))
        found = accuracy(table["label"], floor.predicted)
        assert found == pytest.approx(medn.synthme.ceilings(table).au_only, abs=0.05)
        assert other.select(table["clip_id"]).predicted.tolist() == floor.predicted.tolist()
        assert (bootstrap_interval(floor).value, len(np.unique(floor.fold))) == (found, 20)
        label = np.where(pd.factorize(table["subject"])[0] % 2, "happiness", "others")
        assert accuracy(label, au_only_floor(table.assign(label=label)).predicted) < 0.5
        for wrong, fact in ((table.drop(columns="label"), "no column 'label'"), (table[:1], "at least 2 subjects")):
            with pytest.raises(ValueError, match=fact):
                au_only_floor(wrong)
