"""Leaks inside a state and the bits of readers: against planted truth, closed forms and scikit-learn."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted_branches import AUS, planted
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from slow_cases import mostly_slow

from medn_lab.diagnose import conditional_leakage, leakage, usable_information
from medn_lab.diagnose.probing import READERS, held_out_scores, subject_folds
from medn_lab.records import BranchFeatures


def conditional(features, **options):
    return conditional_leakage(features, **{"n_exchanges": 99, "n_resamples": 50} | options).set_index("target")


def coded(features, **options):
    given = {"targets": ["y"], "readers": ["ridge"], "allowed": {}, "n_resamples": 50}
    return usable_information(features, **given | options).set_index("target")


def simple(values, y, *, n_subjects):
    """Features whose emotion branch is `values`, with `y` as a column of the table."""
    table = pd.DataFrame({"clip_id": [f"c{i:04d}" for i in range(len(y))], "dataset": "planted", "y": y})
    table["subject"] = np.repeat([f"s{i:02d}" for i in range(n_subjects)], len(y) // n_subjects)
    return BranchFeatures(values, values, values, table)


def test_what_passes_through_the_cue_alone_is_a_marginal_leak_and_a_leak_inside_the_cue_is_found():
    features = planted()
    marginal = leakage(features, branches=["emotion"], targets=["aus"], allowed={}, n_resamples=0)
    marginal = marginal.set_index("target").loc[["AU4", "AU6", "AUs"]]
    assert (marginal["value"] > 0.57).all()
    assert (marginal["p"] <= 0.05).all()
    found = conditional(features)
    assert (found["p_family"] > 0.05).all()
    assert (found["value"] - found["null_mean"]).abs().max() < 0.06
    assert found["null_mean"].to_numpy() == pytest.approx(0.5, abs=0.05)
    assert found["within"].unique().tolist() == ["subject and cue"]
    # Without a cue the label is held fixed.
    named = conditional(replace(features, table=features.table.rename(columns={"cue": "label"})))
    assert set(named["given"]) == {"emotion"}
    assert named["value"].to_list() == found["value"].to_list()
    found = conditional(planted(inside=1.5))
    leak = found.loc["AU6"]
    assert leak["p_family"] == 0.01
    assert (found.loc[["AU4", "AU12"], "p_family"] > 0.05).all()
    assert found.loc["AUs", ["worst_target", "worst_auc"]].to_list() == ["AU6", leak["value"]]
    assert found.loc["AUs", "worst_excess"] == pytest.approx(leak["value"] - leak["null_mean"])
    # AU6 shifts one of six unit normals, with a level for each subject, by 1.5: an AUC of .75 to .86.
    assert 0.7 < leak["low"] < leak["value"] < leak["high"] < 0.95


def test_the_value_is_the_auc_of_a_ridge_among_clips_of_one_cue_and_fold():
    features = planted(inside=1.0, seed=2)
    table, target = features.table, features.table["AU6"].to_numpy()
    means = pd.DataFrame(features.emotion).groupby(table["cue"].to_numpy()).transform("mean").to_numpy()
    folds = subject_folds(table["subject"].to_numpy(), n_folds=5, seed=0)
    who = {"units": table["subject"].to_numpy(), "kind": "ridge"}
    scores = held_out_scores(features.emotion - means, target[:, None], folds=folds, **who)[:, 0]
    compared = pd.DataFrame({"fold": folds, "cue": table["cue"], "target": target, "score": scores}).groupby(
        ["fold", "cue"]
    )
    areas = [roc_auc_score(one["target"], one["score"]) for _, one in compared]
    weights = [one["target"].sum() * (1 - one["target"]).sum() for _, one in compared]
    assert conditional(features).loc["AU6", "value"] == pytest.approx(np.average(areas, weights=weights), abs=1e-9)


def test_the_cue_in_a_motion_branch_is_found_given_the_au_set():
    for strength, found in ((0.0, False), (2.0, True)):
        row = conditional(planted(cue_in_motion=strength, clips=40), branch="motion").loc["cue"]
        assert (row["given"], row["n_tests"]) == ("aus", 1)
        assert row["p_family"] == row["p"]
        assert (row["p"] <= 0.05) == found


@pytest.mark.slow
def test_at_most_one_in_twenty_families_is_found_where_nothing_is_inside():
    alone, family = [], []
    for draw in range(120):
        features, how = planted(n_subjects=5, clips=20, seed=draw), {"n_exchanges": 19, "n_resamples": 0, "seed": draw}
        rows = conditional(features, **how).drop(index="AUs")
        alone.append(rows["p"].min() <= 0.05)
        family.append(rows["p_family"].min() <= 0.05)
    error = np.sqrt(0.05 * 0.95 / 120)
    assert np.mean(family) == pytest.approx(0.05, abs=3 * error)
    assert np.mean(alone) > 0.05 + 2 * error  # three tests, not corrected


def test_clips_of_an_unknown_cue_are_left_out_and_a_target_without_a_value_says_why():
    features = planted(inside=1.5)
    table, known, every = features.table, np.arange(240) % 6 > 0, np.arange(240)
    partly = conditional(replace(features, table=table.assign(cue=table["cue"].where(known, None))))
    pd.testing.assert_frame_equal(partly, conditional(features.select(table["clip_id"][known])))
    assert (partly["n_clips"] == 200).all()
    found = conditional(replace(features, table=table.assign(AU4=table["AU4"].where(every % 4 > 0))))
    assert found.loc["AU4", ["n_clips", "n_unknown"]].to_list() == [180, 60]
    assert found.loc["AU6", "value"] == conditional(features).loc["AU6", "value"]
    named = {"AU4": (every < 7) * 1.0, "AU6": table["cue"].eq("flush") * 1.0, "AU12": 0.0}
    found = conditional(replace(features, table=table.assign(**named)))
    assert "needs 8 with and without it" in found.loc["AU4", "reason"]
    assert found.loc["AU6", "reason"].startswith("0 clips")  # the cue decides it
    assert found["reason"].str.len().min() > 5
    assert found[["value", "p", "p_family"]].isna().all(axis=None)
    only = replace(features, emotion=pd.get_dummies(table["cue"], dtype=float).to_numpy())
    assert set(conditional(only)["reason"]) == {"the emotion branch is constant given the cue"}
    table = table.assign(take=np.where(every < 110, "first", table["clip_id"]), speed=every * 1.0)
    features = replace(features, table=table)
    row = conditional(features, given="take").loc["AU4"]  # no two clips share the other takes
    assert (row["within"], "fewer than half of the clips share their take" in row["reason"]) == ("", True)
    for options, facts in (
        ({"branch": "fused"}, "'fused'"),
        ({"targets": ["subject"]}, "subject cannot be a target"),
        ({"targets": ["speed"]}, "'speed' is an amount with 240 values"),
        ({"given": "posture"}, "nothing can be given 'posture'"),
    ):
        with pytest.raises(ValueError, match=facts):
            conditional(features, **options)


@pytest.mark.parametrize("reader", mostly_slow(READERS, quick=2))
def test_noise_costs_its_entropy_and_a_known_label_the_first_block_and_little_more(reader):
    rng = np.random.default_rng(1)
    y = rng.permuted(np.tile([0.0, 1.0], (12, 10)), axis=1).ravel()
    row = coded(simple(rng.normal(size=(240, 5)), y, n_subjects=12), readers=[reader]).loc["y"]
    assert row["prior_bits"] == pytest.approx(240)  # 240 clips of one bit: each subject has ten of either kind
    assert row["bits"] == pytest.approx(240, rel=0.03)
    assert row["value"] == pytest.approx((row["prior_bits"] - row["bits"]) / 240)
    y = rng.permuted(np.tile([0.0, 1.0], (16, 12)), axis=1).ravel()
    features = simple(y[:, None] + 0.01 * rng.normal(size=(384, 3)), y, n_subjects=16)
    found = coded(features, readers=[reader])
    assert found.attrs["subjects"] == [2, 4, 8, 16]
    assert 48 < found.loc["y", "bits"] < 48 + 0.07 * 336  # two subjects of 24 clips cost one bit a clip


def test_the_prior_code_is_that_of_shares_with_half_a_clip_more():
    names = np.tile(["anger", "fear", "joy"], 80)
    row = coded(simple(np.random.default_rng(3).normal(size=(240, 2)), names, n_subjects=10)).loc["y"]
    assert row["prior_bits"] == pytest.approx(240 * np.log2(3))
    known = coded(simple(np.eye(3)[np.arange(240) % 3], names, n_subjects=10)).loc["y", "value"]
    assert known > 0.7 * np.log2(3)
    # One positive clip of four in every subject: a block costs its entropy under the smoothed share so far.
    y = np.tile([1.0, 0.0, 0.0, 0.0], 40)
    row = coded(simple(np.random.default_rng(4).normal(size=(160, 2)), y, n_subjects=8)).loc["y"]
    expected = 40.0  # the first two subjects
    for known, new in ((40, 40), (80, 80)):
        p = (known / 4 + 0.5) / (known + 1)
        expected -= new * (0.25 * np.log2(p) + 0.75 * np.log2(1 - p))
    assert row["prior_bits"] == pytest.approx(expected)


@pytest.mark.slow
def test_it_approaches_the_mutual_information_of_two_normals():
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, 3200).astype(float)
    features = simple(2 * y[:, None] + rng.normal(size=(3200, 1)), y, n_subjects=32)
    at = np.linspace(-8, 10, 4001)
    parts = np.stack([norm.pdf(at), norm.pdf(at, 2)])
    information = np.trapezoid(0.5 * (parts * np.log2(parts / parts.mean(axis=0))).sum(axis=0), at)
    assert coded(features).loc["y", "value"] == pytest.approx(7 / 8 * information, abs=0.02)  # no first block


def test_a_branch_that_is_the_cue_has_what_the_cue_allows_and_a_leak_is_an_excess():
    features = planted()
    only = replace(features, emotion=pd.get_dummies(features.table["cue"], dtype=float).to_numpy())
    found = usable_information(only, readers=["ridge", "knn"], n_resamples=50, n_orders=1)
    assert (found["value"] == found["allowed"]).all()
    assert (found[["excess", "excess_low", "excess_high"]] == 0).all(axis=None)
    assert (found["direction"] == "at most allowed").all()
    # The AUs are coded one after the other.
    ridge = found[found["reader"] == "ridge"].set_index("target")
    assert ridge.loc[AUS, "n_positive"].tolist() == features.table[AUS].sum().tolist()
    sums = ["value", "bits", "prior_bits"]
    assert ridge.loc["AUs", sums].to_list() == pytest.approx(ridge.loc[AUS, sums].sum().to_list())
    features = planted(inside=3.0)
    mixed = features.select(features.table["clip_id"].sample(frac=1, random_state=0))
    how = {"readers": ["ridge"], "n_resamples": 200}
    found, again = (usable_information(one, **how).set_index("target") for one in (features, mixed))
    assert found.loc["AU6", "excess_low"] > 0
    assert again["value"].to_numpy() == pytest.approx(found["value"].to_numpy(), abs=1e-4)


def test_unknown_labels_are_left_out_and_a_target_without_a_value_says_why():
    rng = np.random.default_rng(7)
    y = np.where(np.arange(240) % 5 > 0, rng.integers(0, 2, 240), np.nan)
    features = simple(rng.normal(size=(240, 3)), y, n_subjects=12)
    row = coded(features).loc["y"]
    assert row[["n_clips", "n_unknown", "n_subjects"]].to_list() == [192, 48, 12]
    assert coded(features.select(features.table["clip_id"][np.isfinite(y)])).loc["y", "bits"] == row["bits"]
    noise, y = rng.normal(size=(120, 2)), np.tile([0.0, 1.0], 60)
    for values, target, n_subjects, reason in (
        (noise, y, 3, "of 4 subjects; there are 60 of the rarer kind, of 3 subjects"),
        (noise, (np.arange(120) < 7) * 1.0, 6, "there are 7 of the rarer kind"),
        (np.ones((120, 2)), y, 6, "the emotion branch is constant"),
    ):
        row = coded(simple(values, target, n_subjects=n_subjects)).loc["y"]
        assert reason in row["reason"]
        assert row[["value", "low", "bits"]].isna().all()
