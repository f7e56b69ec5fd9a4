"""Two models on the same clips: paired, joined by clip id, and refused where they are not the same clips."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import medn_lab as medn
from medn_lab.evaluate import accuracy, au_only_floor, bootstrap_interval, compare_predictions, pair_auc, uar, uf1
from medn_lab.records import Predictions

CLASSES = ("happiness", "others")


def predictions_of(right, *, subjects, name="model", **columns):
    """Predictions of two classes, given for each clip whether it is right."""
    right, n = np.asarray(right), len(right)
    true = np.array(CLASSES, dtype=object)[np.arange(n) % 2]
    said = np.where(right, true, np.array(CLASSES, dtype=object)[1 - np.arange(n) % 2])
    logits = (said[:, None] == np.array(CLASSES, dtype=object)).astype(np.float32)
    table = pd.DataFrame({"clip_id": [f"c{i:03d}" for i in range(n)], "subject": subjects, "label": true})
    return Predictions(logits, table.assign(**columns), CLASSES, source={"name": name})


def two_models(*, n_subjects=20, clips=12, gap=0.1, seed=0):
    """Two models that find the same persons hard; the first is right `gap` more often."""
    generator = np.random.default_rng(seed)
    subjects = np.repeat([f"s{i:02d}" for i in range(n_subjects)], clips)
    hard = generator.uniform(0.2, 0.85, n_subjects).repeat(clips)
    luck = generator.random(len(subjects))
    return (
        predictions_of(luck < hard + gap, subjects=subjects, name="first"),
        predictions_of(luck < hard, subjects=subjects, name="second"),
    )


@pytest.mark.parametrize("measure", [accuracy, uf1, uar])
def test_a_model_compared_with_its_equal_differs_by_nothing(measure):
    first, _ = two_models()
    found = compare_predictions(first, first, measure=measure)
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert "not clear of 0" in repr(found)


def test_a_paired_interval_is_narrower_than_two_intervals_suggest():
    first, second = two_models()
    found = compare_predictions(first, second)
    apart = [bootstrap_interval(p, seed=seed) for seed, p in enumerate((first, second))]
    unpaired = np.hypot(*(i.high - i.low for i in apart))
    assert found.high - found.low < 0.5 * unpaired
    assert apart[0].low < apart[1].high  # the two overlap
    assert found.low > 0  # and yet the difference is clear
    assert found.p == 0


def test_the_difference_of_the_scores_is_the_difference_stated():
    first, second = two_models(seed=3)
    for measure in (accuracy, uf1, uar):
        found = compare_predictions(first, second, measure=measure)
        values = [bootstrap_interval(p, measure=measure).value for p in (first, second)]
        assert (found.a, found.b) == pytest.approx(values)
        assert found.difference == pytest.approx(values[0] - values[1])
        assert found.low <= found.difference <= found.high


def test_exchanging_the_models_turns_the_interval_round():
    first, second = two_models(gap=0.02, seed=1)
    there, back = compare_predictions(first, second), compare_predictions(second, first)
    assert (back.difference, back.low, back.high) == pytest.approx((-there.difference, -there.high, -there.low))
    assert back.p == there.p


def test_the_share_of_resamples_on_the_other_side_has_a_closed_form_for_two_persons():
    # The first model wins 3 of 4 clips of one person and loses 1 of 4 of the other. Only a resample of the second
    # person twice turns the difference round: one in four.
    subjects = ["s1"] * 4 + ["s2"] * 4
    first = predictions_of([True, True, True, False, True, True, True, False], subjects=subjects)
    second = predictions_of([False, False, False, False, True, True, True, True], subjects=subjects)
    found = compare_predictions(first, second, n_resamples=20_000)
    assert found.difference == pytest.approx(0.25)
    assert found.p == pytest.approx(0.25, abs=0.01)
    # The standard error is .5 and t with one degree of freedom 12.7: two persons are too few. A difference of shares
    # is within [-1, 1].
    assert (found.low, found.high) == (-1.0, 1.0)


def test_clips_are_joined_by_id_and_not_by_row():
    first, second = two_models()
    shuffled = second.select(np.random.default_rng(0).permutation(second.table["clip_id"]))
    one, other = compare_predictions(first, second), compare_predictions(first, shuffled)
    assert one.table.equals(other.table)
    assert one.subjects.equals(other.subjects)


def test_the_persons_parts_add_up_to_the_difference():
    found = compare_predictions(*two_models(seed=2))
    weighted = np.average(found.subjects["difference"], weights=found.subjects["n_clips"])
    assert weighted == pytest.approx(found.difference)
    assert len(found.subjects) == found.n_subjects == 20


def test_any_function_of_true_and_predicted_can_be_compared():
    def share_of_others(true, predicted):
        return float((predicted == "others").mean())

    first, second = two_models()
    found = compare_predictions(first, second, measure=share_of_others, n_resamples=50)
    assert found.measure == "share_of_others"
    assert found.a == pytest.approx((first.predicted == "others").mean())


def test_pair_auc_can_be_compared():
    table = medn.synthme.draw_table(n_subjects=6, clips_per_subject=15, seed=0).assign(label=lambda t: t["emotion"])
    classes = tuple(sorted(table["label"].unique()))
    true = (table["label"].to_numpy()[:, None] == np.array(classes, dtype=object)).astype(np.float32)
    by_au = np.random.default_rng(0).normal(size=(table["action_units"].nunique(), 5))
    knows = Predictions(true, table, classes)
    guesses = Predictions(by_au[pd.factorize(table["action_units"])[0]].astype(np.float32), table, classes)
    found = compare_predictions(knows, guesses, measure=pair_auc)
    assert (found.a, found.b, found.difference) == (1.0, 0.5, 0.5)
    # No resample changes it; what is left is one clip in 90, times t with 5 degrees of freedom.
    assert (found.low, found.high) == pytest.approx((0.5 - 2.5706 / 90, 0.5 + 2.5706 / 90), abs=1e-4)
    assert found.measure == "pair AUC"
    alone = table.drop_duplicates("action_units")
    with pytest.raises(ValueError, match="pair AUC: none, because no two clips share an AU set"):
        compare_predictions(knows.select(alone["clip_id"]), guesses.select(alone["clip_id"]), measure=pair_auc)


def test_pairs_are_compared_within_the_folds_of_both():
    table = pd.DataFrame({"clip_id": list("abcd"), "subject": ["1", "1", "2", "2"], "action_units": "12"})
    table["label"] = ["happiness", "others", "happiness", "others"]
    told = Predictions(np.eye(2, dtype=np.float32)[[0, 1, 0, 0]], table, CLASSES, fold=np.array([0, 0, 1, 1]))
    found = compare_predictions(told, told, measure=pair_auc)
    assert found.a == pytest.approx(0.75)  # one pair right, one tied
    crosswise = replace(told, fold=np.array([0, 1, 0, 1]))
    with pytest.raises(ValueError, match="none of 4 pairs was held out together in both"):
        compare_predictions(told, crosswise, measure=pair_auc)


def test_a_model_can_be_compared_with_the_floor_and_says_that_the_folds_differ():
    table = medn.synthme.draw_table(n_subjects=5, clips_per_subject=12, seed=0).assign(label=lambda t: t["emotion"])
    floor = au_only_floor(table)
    true = (table["label"].to_numpy()[:, None] == np.array(floor.predictions.classes, dtype=object)).astype(np.float32)
    perfect = Predictions(true, table, floor.predictions.classes, source={"name": "oracle"})
    found = compare_predictions(perfect, floor.predictions)
    assert found.names == ("oracle", "AU-only floor")
    assert found.difference == pytest.approx(1 - floor.accuracy)
    assert not found.same_folds
    assert "not trained on the same folds" in repr(found)
    renumbered = replace(floor.predictions, fold=7 - floor.predictions.fold)
    assert compare_predictions(floor.predictions, renumbered).same_folds


def test_other_clips_are_refused_with_their_numbers():
    first, second = two_models(n_subjects=4)
    part = second.select(second.table["clip_id"][:40])
    with pytest.raises(ValueError, match="a holds 48 clips and b 40, of which 40 are in both"):
        compare_predictions(first, part)


def test_other_labels_are_refused_with_an_example():
    first, second = two_models(n_subjects=3)
    labels = second.table["label"].replace({"others": "happiness"})
    with pytest.raises(ValueError, match=r"18 of 36 clips are labelled otherwise .* 'c001' \(others, happiness\)"):
        compare_predictions(first, replace(second, table=second.table.assign(label=labels)))


def test_one_subject_cannot_be_compared():
    first, second = two_models(n_subjects=1)
    with pytest.raises(ValueError, match="at least 2 subjects to resample, there is 1"):
        compare_predictions(first, second)
