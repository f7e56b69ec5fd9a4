"""Dependence and leakage of a selection: the figures of the full instruments, in steps, with a reason where none is."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sample_records import sample_clips, sample_features

from medn_lab.diagnose import dependence, leakage, selection_measures
from medn_lab.records import BranchFeatures
from medn_lab.view import plot_selection_measures


@pytest.fixture(scope="module")
def features() -> BranchFeatures:
    return sample_features(sample_clips(n=160, size=16))


def value(table: pd.DataFrame, measure: str, branch: str = "", target: str = "") -> pd.Series:
    found = table[(table["measure"] == measure) & (table["branch"] == branch) & (table["target"] == target)]
    assert len(found) == 1
    return found.iloc[0]


def test_the_figures_of_a_selection_are_those_of_the_instruments_on_the_same_clips(features):
    ids = features.table["clip_id"][:90]
    table = selection_measures(features)(ids)
    slow = dependence(features, clip_ids=ids).set_index("measure")["value"]
    fast = table[table["kind"] == "dependence"].set_index("measure")["value"]
    pd.testing.assert_series_equal(fast, slow[fast.index], check_names=False)
    told = leakage(features.select(ids), targets=["aus", "emotion"], n_shuffles=0).set_index(["branch", "target"])
    for branch, target in (("emotion", "AUs"), ("motion", "emotion"), ("motion", "AUs"), ("emotion", "emotion")):
        row = value(table, "auc", branch, target)
        assert row["value"] == pytest.approx(told.loc[(branch, target), "value"])
        assert row["allowed"] == pytest.approx(told.loc[(branch, target), "allowed"])
        assert 0.3 < row["chance"] < 0.7
    assert set(table["n_clips"]) == {90}
    assert set(table["n_subjects"]) == {4}


def test_a_branch_that_copies_the_other_is_called_dependent_and_an_exchanged_one_is_not(features):
    copied = replace(features, emotion=features.motion)
    exchanged = replace(features, emotion=np.random.default_rng(99).normal(size=features.motion.shape))
    ids = features.table["clip_id"][::2]
    for spoilt, expected in ((copied, 1.0), (exchanged, 0.0)):
        row = value(selection_measures(spoilt)(ids), "linear_cka")
        assert row["value"] == pytest.approx(expected, abs=0.05)
        assert abs(row["chance"]) < 0.1


def test_each_step_knows_more_and_the_last_is_what_a_call_returns(features):
    measure, ids = selection_measures(features), features.table["clip_id"][:60]
    steps = list(measure.steps(ids))
    waiting = [int((step["reason"] == "computing").sum()) for step in steps]
    assert waiting == [4, 4, 3, 2, 1, 0]
    assert steps[0]["value"].notna().sum() == 5  # the branches have other widths, so there is no cosine
    assert steps[0]["chance"].notna().sum() == 0 < steps[1]["chance"].notna().sum()
    pd.testing.assert_frame_equal(steps[-1], measure(ids))


def test_without_ids_all_clips_are_measured(features):
    pd.testing.assert_frame_equal(
        selection_measures(features)(), selection_measures(features)(features.table["clip_id"])
    )


@pytest.mark.parametrize(
    ("n", "dependent", "probed"),
    [
        (3, "needs at least 4 clips, there are 3", "needs at least 20 clips of 2 subjects, there are 3 of 3"),
        (19, "", "needs at least 20 clips of 2 subjects, there are 19 of 4"),
    ],
)
def test_too_small_a_selection_says_so_with_the_smallest_size(features, n, dependent, probed):
    table = selection_measures(features)(features.table["clip_id"][:n])
    assert value(table, "linear_cka")["reason"] == dependent
    assert np.isnan(value(table, "linear_cka")["value"]) == bool(dependent)
    assert value(table, "auc", "emotion", "AUs")["reason"] == probed


def test_one_subject_no_aus_one_class_and_one_branch_are_explained(features):
    table = features.table
    alone = selection_measures(features)(table["clip_id"][table["subject"] == "s01"])
    assert value(alone, "auc", "motion", "emotion")["reason"].endswith("there are 40 of 1")
    assert np.isfinite(value(alone, "linear_cka")["value"])
    bare = replace(features, table=table.drop(columns=["AU1", "AU4", "AU12", "AU15"]))
    assert value(selection_measures(bare)(), "auc", "emotion", "AUs")["reason"] == "no AUs are coded"
    unknown = replace(features, table=table.assign(AU1=np.nan, AU4=np.nan, AU12=np.nan, AU15=np.nan))
    assert "no AU has 8 positive" in value(selection_measures(unknown)(), "auc", "emotion", "AUs")["reason"]
    one = selection_measures(features)(table["clip_id"][table["label"] == "others"])
    assert value(one, "auc", "motion", "emotion")["reason"] == "there is one class only"
    nobody = replace(features, table=table.drop(columns=["subject"]))
    assert "none can be held out" in value(selection_measures(nobody)(), "auc", "emotion", "AUs")["reason"]
    half = selection_measures(replace(features, emotion=None))()
    assert "no emotion branch" in value(half, "linear_cka")["reason"]
    assert "no emotion branch" in value(half, "auc", "emotion", "AUs")["reason"]
    assert np.isfinite(value(half, "auc", "motion", "AUs")["value"])


def test_a_label_that_is_not_known_is_left_out(features):
    labels = features.table["label"].where(np.arange(len(features)) % 4 > 0)
    table = selection_measures(replace(features, table=features.table.assign(label=labels)))()
    assert value(table, "auc", "motion", "emotion")["n_clips"] == 120


def test_a_large_selection_is_drawn_from_and_says_of_how_many(features):
    table = selection_measures(features, most_clips=50)(features.table["clip_id"][:120])
    assert set(table["n_clips"]) == {50}
    assert set(table["drawn_from"]) == {120}


def test_clips_that_are_not_here_and_senseless_counts_are_refused(features):
    with pytest.raises(ValueError, match="'nobody'"):
        selection_measures(features)(["nobody"])
    with pytest.raises(ValueError, match="most_clips 20"):
        selection_measures(features, most_clips=3)
    broken = features.motion.copy()
    broken[3, 1] = np.nan
    with pytest.raises(ValueError, match="motion features: 1 of 160 clips"):
        selection_measures(replace(features, motion=broken))


def test_the_first_figures_of_500_clips_come_before_anything_slow_is_computed():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(500)], "subject": [f"s{k % 20}" for k in range(500)]})
    features = BranchFeatures(*(rng.normal(size=(500, 128)) for _ in range(3)), table)
    first = next(selection_measures(features).steps())
    dependence, leakage = (first[first["kind"] == kind] for kind in ("dependence", "leakage"))
    assert dependence["value"].notna().all()
    assert first["chance"].isna().all()
    assert (leakage["reason"] == "computing").all()


def test_the_picture_shows_selection_all_and_chance(features):
    measure = selection_measures(features)
    some, every = measure(features.table["clip_id"][:60]), measure()
    figure = plot_selection_measures(some, of_all=every)
    drawn = {trace.name: trace for trace in figure.data if trace.xaxis == "x2"}
    assert list(drawn) == ["chance", "allowed", "all clips", "selected clips"]
    leaks = some[some["kind"] == "leakage"]
    assert np.allclose(drawn["selected clips"].x, leaks["value"])
    assert "HSIC" not in str(figure.data[0].y)
    small = plot_selection_measures(measure(features.table["clip_id"][:3]))
    assert any("needs at least 4 clips" in note.text for note in small.layout.annotations)
    with pytest.raises(ValueError, match="lacks kind"):
        plot_selection_measures(some.drop(columns="kind"))
