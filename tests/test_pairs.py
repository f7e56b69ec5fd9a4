"""Confusable pairs as a diagnostic: counted by hand, placed by brute force, compared with planted branches."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses
from sample_records import table_of
from scipy.spatial.distance import pdist, squareform

import medn_lab as medn
from medn_lab.diagnose import confusable_pairs, confusable_sets, pair_separation, rank_pairs
from medn_lab.diagnose.neighbours import nearer_controls
from medn_lab.records import BranchFeatures, Predictions


def drawn(n_subjects=8, clips_per_subject=20, seed=0):
    table = medn.synthme.draw_table(n_subjects=n_subjects, clips_per_subject=clips_per_subject, seed=seed)
    return table.assign(label=table["emotion"])


def features_of(table, *, motion_knows=0.0, emotion_knows=3.0, seed=0):
    """Motion features that know the AU set, emotion features that know the emotion, each as far as given."""
    rng = np.random.default_rng(seed)
    aus, emotions = (np.eye(table[name].nunique())[pd.factorize(table[name])[0]] for name in ("action_units", "label"))
    motion = np.hstack([4 * aus, motion_knows * emotions])
    motion, emotion = (given + rng.normal(size=given.shape) for given in (motion, emotion_knows * emotions))
    return BranchFeatures(*(np.float32(part) for part in (motion, emotion, np.hstack([motion, emotion]))), table)


def separation(table, features, **options):
    return pair_separation(table, features=features, **{"n_resamples": 10, **options}).set_index("branch")


def share_nearer(others, distance):
    """The share of distances that are shorter; a tie counts half."""
    return (others < distance - 1e-6).mean() + 0.5 * (np.abs(others - distance) <= 1e-6).mean()


def shares_of(table, distance):
    """By brute force: the share of controls that lie nearer, of each confusable pair that has one."""
    shares = []
    for rows in table.groupby("action_units").indices.values():
        label = table["label"].to_numpy()[rows]
        i, j = np.triu_indices(len(rows), k=1)
        d, differ = distance[rows[i], rows[j]], label[i] != label[j]
        shares.extend(share_nearer(d[~differ], one) for one in d[differ] if not differ.all())
    return np.array(shares)


@pytest.fixture(scope="module")
def table():
    return drawn()


@pytest.fixture(scope="module")
def few():
    return drawn(n_subjects=4)


def test_sets_are_counted_as_by_hand(table):
    small = table_of(
        ("1", "12", "happiness"), ("1", "12", "repression"), ("2", "12", "happiness"), ("2", "L12", "surprise"),
        ("1", "4", "disgust"), ("2", "4", "disgust"), ("3", "?", "disgust"), ("3", "12", None),
        ("3", "1+2", "surprise"),
    )  # fmt: skip
    found = confusable_sets(small)
    # happiness-repression twice (opposite; one of them within subject 1), three with surprise (one within 2).
    expected = {"action_units": "12", "n_clips": 4, "n_subjects": 2, "n_emotions": 3, "n_pairs": 5, "n_opposite": 2}
    expected |= {"n_same_subject": 2, "happiness": 2, "repression": 1, "surprise": 1}
    assert found.to_dict("records") == [expected]
    for fact in ("1 of 3 AU sets", "4 of 7 clips", "2 of 5 pairs", "left out in all: 2"):
        assert fact in found.attrs["summary"]
    kept = confusable_sets(small, keep_side=True)
    assert kept["n_pairs"].tolist() == [2]
    assert "with side, without intensity" in kept.attrs["rule"]
    two = table_of(("01", "12", "happiness"), ("01", "12", "repression")).assign(dataset=["casme2", "samm"])
    assert confusable_sets(two)[["n_subjects", "n_same_subject"]].to_numpy().tolist() == [[2, 0]]
    found = confusable_sets(table)
    pairs, opposite = (len(confusable_pairs(table, opposite=one)) for one in (False, True))
    assert found[["n_pairs", "n_opposite"]].sum().tolist() == [pairs, opposite]
    assert (found[found.columns[7:]].sum(axis=1) == found["n_clips"]).all()


def test_without_a_pair_each_function_gives_the_reason():
    for rows, reason in (
        ([("1", "?", "others"), ("2", None, "disgust")], "the AUs of all 2 clips are unknown"),
        ([("1", "4", None), ("2", "4", None)], "no clip has both known AUs and a label"),
        ([("1", "4", "anger"), ("2", "12", "anger")], "labelled 'anger'"),
        ([("1", "4", "anger"), ("2", "12", "happiness")], "no two clips share an AU set and differ in emotion"),
    ):
        table = table_of(*rows)
        features = BranchFeatures(*[np.zeros((len(table), 3), np.float32)] * 3, table)
        makers = (rank_pairs, pair_separation)
        for found in (confusable_sets(table), *(maker(table, features=features) for maker in makers)):
            assert (len(found), reason in found.attrs["none"]) == (0, True)
    table = table_of(("1", "L12", "happiness"), ("2", "12", "others"))
    own = features_of(table)
    assert "pairs (1) are of two subjects" in rank_pairs(table, features=own, subjects="same").attrs["none"]
    found = pair_separation(table, features=own)
    assert "no AU set of the confusable pairs (1) has a pair of one emotion" in found.attrs["none"]
    assert_refuses(rank_pairs, confusable_pairs(table), features=own, match="table of clips lacks clip_id")


def test_figures_of_pairs_are_those_of_brute_force_whatever_the_block_and_with_clips_that_coincide(few, monkeypatch):
    monkeypatch.setattr("medn_lab.diagnose.neighbours._BLOCK", len(few) * 7)  # seven rows at a time
    features, heap = features_of(few), pd.factorize(few["action_units"])[0]
    heaps = (np.random.default_rng(0).normal(size=(heap.max() + 1, 7)) + 1000).astype(np.float32)[heap]
    heaps = np.hstack([heaps, np.full((len(few), 1), 0.1, np.float32)])  # a dimension that does not vary does not count
    for own in (features, replace(features, motion=heaps)):
        found, pairs = separation(few, own), rank_pairs(few, features=own)
        a, b = (pd.Index(few["clip_id"]).get_indexer(pairs[name]) for name in ("clip_a", "clip_b"))
        for branch, place, sign in (("motion", "motion_similarity", -1), ("emotion", "emotion_separation", 1)):
            values = getattr(own, branch).astype(float)
            values = values[:, values.std(axis=0) > 1e-3]
            of_all = pdist(values / values.std(axis=0))
            of_all /= np.sqrt((of_all**2).mean())
            whole = squareform(of_all)
            np.testing.assert_allclose(pairs[f"{branch}_distance"], whole[a, b], atol=1e-6)
            nearer = np.array([share_nearer(of_all, one) for one in whole[a, b]])
            np.testing.assert_allclose(pairs[place], nearer if sign > 0 else 1 - nearer, atol=1e-9)
            expected = shares_of(few, whole)
            assert found.loc[branch, "value"] == pytest.approx(expected.mean(), abs=1e-9)
            np.testing.assert_allclose(np.sort(pairs[f"{branch}_beyond"].dropna()), np.sort(expected), atol=1e-9)
        assert (pairs["n_controls"] > 0).sum() == len(expected)


def test_weights_of_controls_count_as_repeated_pairs():
    rng = np.random.default_rng(0)
    distance, sets = rng.integers(0, 12, 200).astype(float), rng.integers(0, 4, 200)  # with ties
    differ, weight = rng.random(200) < 0.6, rng.integers(0, 4, 200)
    shares = []
    for one in range(4):
        far = np.repeat(distance, np.where(differ | (sets != one), 0, weight))
        for d in np.repeat(distance, np.where(differ & (sets == one), weight, 0)):
            shares.append(share_nearer(far, d))
    weights = [np.ones(200), weight.astype(float)]
    _, (_, mean) = nearer_controls(distance, weights, sets=pd.Series(sets), differ=differ, who=np.arange(200))
    assert mean == pytest.approx(np.mean(shares), abs=1e-12)


def test_opposite_valence_comes_first_and_each_part_is_in_order(few):
    every, opposite = (confusable_pairs(few, opposite=one) for one in (False, True))
    for by, sign in (("separated", 1), ("missed", -1), ("motion", 0)):
        pairs = rank_pairs(few, features=features_of(few), by=by)
        assert pairs["opposite"].tolist() == [rank < len(opposite) for rank in range(len(every))]
        score = pairs["motion_similarity"] + sign * pairs["emotion_separation"]
        for part in (score[pairs["opposite"]], score[~pairs["opposite"]]):
            assert (part.diff().dropna() <= 0).all()
        fixed = ["clip_a", "clip_b", "action_units", "label_a", "label_b"]
        same, expected = (one[fixed].sort_values(fixed[:2], ignore_index=True) for one in (pairs, every))
        pd.testing.assert_frame_equal(same, expected, check_dtype=False)


def test_features_and_predictions_are_joined_by_clip_id_and_subjects_divide_the_pairs(few):
    features, ids = features_of(few), few["clip_id"].sample(frac=1, random_state=0)
    logits = np.random.default_rng(1).normal(size=(len(few), 5)).astype(np.float32)
    predictions = Predictions(logits, few, tuple(sorted(few["label"].unique())))
    one = rank_pairs(few, features=features, predictions=predictions)
    other = rank_pairs(few, features=features.select(ids), predictions=predictions.select(ids[::-1]))
    pd.testing.assert_frame_equal(one, other)
    same, different = (rank_pairs(few, features=features, subjects=which) for which in ("same", "different"))
    assert len(one) == len(same) + len(different) > len(different)
    subject = few.set_index("clip_id")["subject"]
    assert (subject[same["clip_a"]].to_numpy() == subject[same["clip_b"]].to_numpy()).all()
    assert not different["same_subject"].any()
    one, other = (separation(few, f)[["value", "low", "high"]] for f in (features, features.select(ids)))
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_the_verdict_is_the_models():
    table = table_of(*[("1", "12", name) for name in ("happiness", "others", "happiness", "others")])
    predictions = Predictions(np.eye(2, dtype=np.float32)[[0, 1, 1, 0]], table, ("happiness", "others"))
    found = rank_pairs(table, features=features_of(table), predictions=predictions)
    verdicts = found.set_index(found["clip_a"] + found["clip_b"])["verdict"].to_dict()
    assert verdicts == {"c0c1": "both right", "c0c3": "one right", "c1c2": "one right", "c2c3": "swapped"}


def test_a_model_without_an_emotion_branch_is_ranked_by_motion_and_bad_input_is_refused(few):
    features = features_of(few)
    motion = BranchFeatures(features.motion, None, features.motion, few)
    pairs = rank_pairs(few, features=motion, by="motion")
    assert pairs["emotion_separation"].isna().all()
    assert pairs["motion_similarity"].between(0, 1).all()
    known = Predictions(np.zeros((79, 2), np.float32), few[1:], ("happiness", "others"))
    refuses = partial(assert_refuses, rank_pairs, few, features=features)
    refuses(features=motion, match="no emotion branch")
    refuses(features=features.select(few["clip_id"][1:]), match="1 of 80 clips")
    refuses(predictions=known, match=few["clip_id"][0])
    refuses(by="luck", match="'luck'")
    refuses(subjects="some", match="'some'.*all, same, different")


@pytest.mark.slow
def test_a_branch_of_aus_alone_is_at_one_half_and_its_interval_covers_it():
    tables = [drawn(n_subjects=8, clips_per_subject=15, seed=seed) for seed in range(12)]
    found = [separation(one, features_of(one, seed=n), n_resamples=100) for n, one in enumerate(tables)]
    rows = [one.loc["motion"] for one in found]
    assert np.mean([row["value"] for row in rows]) == pytest.approx(0.5, abs=0.02)
    assert sum(row["low"] <= 0.5 <= row["high"] for row in rows) >= 9


def test_a_branch_that_knows_the_emotion_is_near_one_and_a_leaking_motion_branch_is_seen(table):
    found = separation(table, features_of(table, emotion_knows=12.0, motion_knows=3.0), n_resamples=200)
    assert found.loc["emotion", "value"] > 0.99
    assert found.loc["emotion", "low"] > 0.95
    assert found.loc["motion", "low"] > 0.6


def test_pairs_without_a_control_are_left_out_and_counted_and_one_subject_has_no_interval():
    rows = [("1", "12", "happiness"), ("2", "12", "happiness"), ("1", "12", "others"), ("1", "4", "disgust")]
    table = table_of(*rows, ("2", "4", "others"))
    found = pair_separation(table, features=features_of(table))
    assert (found[["n_pairs", "n_controls"]].to_numpy().tolist(), found.attrs["n_left_out"]) == ([[2, 1]] * 3, 1)
    found = separation(table.assign(subject="1"), features_of(table))
    assert found[["low", "value"]].isna().to_numpy().tolist() == [[True, False]] * 3
