"""What AUs alone can score, and which clips only something else can tell apart."""

import numpy as np
import pandas as pd
import pytest

import medn_lab as medn
from medn_lab.diagnose import confusable_pairs
from medn_lab.evaluate import au_only_floor, pair_auc
from medn_lab.records import Predictions


def table_of(*rows):
    table = pd.DataFrame(rows, columns=["subject", "action_units", "label"])
    return table.assign(clip_id=[f"c{i}" for i in range(len(table))])


def predictions_of(table, scores):
    classes = tuple(sorted(table["label"].unique()))
    return Predictions(np.asarray(scores, dtype=np.float32), table, classes)


def test_pairs_share_the_aus_in_any_order_and_differ_in_emotion():
    table = table_of(("1", "1+2", "surprise"), ("2", "2+1", "others"), ("1", "1+2", "surprise"), ("2", "4", "others"))
    pairs = confusable_pairs(table)
    assert pairs[["clip_a", "clip_b"]].to_numpy().tolist() == [["c0", "c1"], ["c1", "c2"]]
    assert pairs["action_units"].tolist() == ["1+2", "1+2"]
    assert (pairs["label_a"] != pairs["label_b"]).all()


def test_the_number_of_pairs_is_that_of_a_closed_form():
    clips = medn.synthme.draw_table(n_subjects=5, clips_per_subject=20, seed=0)
    expected = 0
    for _, group in clips.groupby("action_units"):
        counts = group["label"].value_counts().to_numpy()
        expected += (counts.sum() ** 2 - (counts**2).sum()) // 2
    assert len(confusable_pairs(clips)) == expected > 0


def test_keeping_the_side_leaves_fewer_pairs():
    table = table_of(("1", "L12", "happiness"), ("1", "12", "others"), ("2", "L12", "others"))
    assert len(confusable_pairs(table)) == 2
    kept = confusable_pairs(table, keep_side=True)
    assert kept[["clip_a", "clip_b", "action_units"]].to_numpy().tolist() == [["c0", "c2", "L12"]]
    by_column = table_of(("1", "12", "happiness"), ("1", "12", "others")).assign(side=["left", "both"])
    assert len(confusable_pairs(by_column)) == 1
    assert len(confusable_pairs(by_column, keep_side=True)) == 0


def test_clips_with_unknown_aus_are_in_no_pair():
    table = table_of(("1", "?", "happiness"), ("1", "?", "others"), ("2", None, "others"), ("2", "", "happiness"))
    pairs = confusable_pairs(table)
    assert len(pairs) == 0
    assert list(pairs.columns) == ["clip_a", "clip_b", "action_units", "label_a", "label_b"]


def test_a_perfect_model_has_pair_auc_one_and_a_contrary_one_zero():
    table = table_of(*[(str(i % 3), "12", ("happiness", "others")[i % 2]) for i in range(12)])
    right = (table["label"].to_numpy()[:, None] == np.array(["happiness", "others"])).astype(float)
    assert pair_auc(predictions_of(table, right)).value == 1.0
    assert pair_auc(predictions_of(table, -right)).value == 0.0


def test_a_model_of_the_aus_alone_has_pair_auc_one_half():
    table = medn.synthme.draw_table(n_subjects=6, clips_per_subject=20, seed=0)
    table = table.assign(label=table["emotion"])
    by_au = np.random.default_rng(0).normal(size=(table["action_units"].nunique(), 5))
    scores = by_au[pd.factorize(table["action_units"])[0]]
    found = pair_auc(predictions_of(table, scores))
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_the_shipped_model_tells_pairs_apart():
    clips = medn.synthetic_clips(n_subjects=3, clips_per_subject=20, seed=1)
    found = pair_auc(medn.predict(medn.load_pretrained(), clips))
    assert found.low > 0.9
    assert found.n_subjects == 3


def test_no_pairs_are_said_to_be_none():
    table = table_of(("1", "12", "happiness"), ("2", "4", "others"))
    found = pair_auc(predictions_of(table, np.eye(2)))
    assert np.isnan(found.value)
    assert repr(found) == "pair AUC: none, because no two clips share an AU set and differ in emotion"


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


def test_the_floor_comes_near_the_exact_ceiling_on_many_clips():
    table = medn.synthme.draw_table(n_subjects=60, clips_per_subject=40, seed=0)
    table = table.assign(label=table["emotion"])
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
