"""Leakage against planted truth: a branch that is a factor tells that factor fully, and of others what it allows."""

import numpy as np
import pandas as pd
import pytest

from medn_lab.diagnose import leakage, probe
from medn_lab.records import BranchFeatures

AUS = ("AU1", "AU4", "AU12")
CUES = ("flush", "none", "pallor")
COLUMNS = [
    "branch", "target", "value", "low", "high", "null_mean", "null_95", "p", "allowed", "excess", "excess_low",
    "excess_high", "n_clips", "n_subjects", "n_positive", "n_unknown", "split", "reason", "worst_target", "worst_auc",
    "worst_excess",
]  # fmt: skip


def planted_table(*, n_subjects=10, clips=24, coupling=0.0, seed=0):
    """AU sets and a cue; `coupling` is the share of clips in which AU12 brings a flush. The emotion needs both."""
    rng = np.random.default_rng(seed)
    n = n_subjects * clips
    aus = pd.DataFrame({"AU1": rng.random(n) < 0.3, "AU4": rng.random(n) < 0.4, "AU12": rng.random(n) < 0.4}) * 1.0
    cue = rng.choice(CUES, size=n)
    cue[(aus["AU12"].to_numpy() == 1) & (rng.random(n) < coupling)] = "flush"
    emotion = np.where(aus["AU12"] == 1, np.where(cue == "flush", "happiness", "repression"), "others")
    table = pd.DataFrame(
        {
            "clip_id": [f"c{i:03d}" for i in range(n)],
            "dataset": "planted",
            "subject": np.repeat([f"s{i:02d}" for i in range(n_subjects)], clips),
            "cue": cue,
            "label": emotion,
        }
    )
    return pd.concat([table, aus], axis=1)


def one_hot(column):
    return pd.get_dummies(column, dtype=float).to_numpy()


def features_of(table, *, motion, emotion):
    parts = [part for part in (motion, emotion) if part is not None]
    return BranchFeatures(motion=motion, emotion=emotion, fused=np.hstack(parts), table=table)


@pytest.fixture(scope="module")
def table():
    return planted_table(coupling=0.5)


@pytest.fixture(scope="module")
def perfect(table):
    """A motion branch that is the AUs, an emotion branch that is the cue."""
    features = features_of(table, motion=table[list(AUS)].to_numpy(), emotion=one_hot(table["cue"]))
    return leakage(features, n_resamples=200).set_index(["branch", "target"])


class TestCalibration:
    def test_a_branch_that_is_the_au_vector_tells_every_au_fully(self, perfect):
        aus = perfect.loc["motion"].loc[[*AUS, "AUs"]]
        assert (aus[["value", "high"]] == 1.0).all(axis=None)
        assert aus["low"].tolist() == pytest.approx([240 / (240 + 2.262157**2)] * 4)  # Wilson's bound, t of 10 subjects

    def test_a_branch_that_is_the_cue_tells_what_the_cue_allows_and_no_more(self, perfect):
        rows = perfect.loc["emotion"]
        assert (rows["value"] == rows["allowed"]).all()
        assert (rows[["excess", "excess_low", "excess_high"]] == 0.0).all(axis=None)
        # AU12 brings a flush in half of its clips: a cue tells of it, but not all.
        assert 0.6 < rows.loc["AU12", "value"] < 0.85
        assert abs(rows.loc["AU1", "value"] - 0.5) < 0.1
        assert rows.loc["cue", "value"] == 1.0

    def test_what_the_cue_allows_is_the_area_of_the_best_order_of_its_states(self, perfect, table):
        aus, cue = table["AU12"] == 1, table["cue"] == "flush"
        # Two states matter: the area of a 0/1 score is the mean of sensitivity and specificity.
        expected = 0.5 * (cue[aus].mean() + (~cue)[~aus].mean())
        assert perfect.loc[("emotion", "AU12"), "allowed"] == pytest.approx(expected, abs=0.03)

    def test_an_emotion_branch_that_also_holds_an_au_shows_it_as_excess(self, table):
        leaky = np.hstack([one_hot(table["cue"]), table[["AU4"]].to_numpy()])
        found = leakage(features_of(table, motion=table[list(AUS)].to_numpy(), emotion=leaky), n_resamples=200)
        found = found.set_index(["branch", "target"]).loc["emotion"]
        assert found.loc["AU4", "value"] == 1.0
        assert found.loc["AU4", "excess_low"] > 0.3
        assert abs(found.loc["AU1", "excess"]) < 0.05

    def test_leakage_grows_with_the_share_of_the_other_factor_that_is_mixed_in(self, table):
        rng = np.random.default_rng(0)
        excess = []
        for share in (0.0, 0.3, 1.0, 3.0):
            noise = rng.normal(size=(len(table), 8))
            mixed = np.hstack(
                [one_hot(table["cue"]), share * table[list(AUS)].to_numpy() @ rng.normal(size=(3, 8)) + noise]
            )
            rows = leakage(features_of(table, motion=None, emotion=mixed), targets=["aus"], n_shuffles=0, n_resamples=0)
            excess.append(rows.set_index(["branch", "target"]).loc[("emotion", "AUs"), "excess"])
        assert excess == sorted(excess)
        assert abs(excess[0]) < 0.06
        assert excess[-1] > 0.3

    def test_the_fused_branch_may_tell_what_both_truths_tell(self, perfect):
        assert perfect.loc[("fused", "emotion"), "allowed"] == pytest.approx(perfect.loc[("fused", "emotion"), "value"])
        assert perfect.loc[("fused", "emotion"), "value"] > perfect.loc[("motion", "emotion"), "value"]

    def test_who_is_in_the_clip_is_read_from_clips_held_out(self, table):
        rng = np.random.default_rng(1)
        signature = rng.normal(size=(10, 12)).repeat(24, axis=0) + 0.1 * rng.normal(size=(240, 12))
        blank = rng.normal(size=(240, 4))
        rows = leakage(features_of(table, motion=signature, emotion=blank), targets=["subject"], n_resamples=200)
        rows = rows.set_index("branch")
        assert (rows["split"] == "clips").all()
        assert rows.loc["motion", "value"] > 0.99
        assert rows.loc["motion", "excess"] > 0.4
        assert abs(rows.loc["emotion", "value"] - 0.5) < 0.06
        assert abs(rows.loc["emotion", "null_mean"] - 0.5) < 0.03
        assert rows.loc["emotion", "low"] < 0.5 < rows.loc["emotion", "high"]

    def test_shuffled_labels_are_at_one_half(self, perfect):
        chance = perfect.loc[(slice(None), ["AUs", "emotion", "cue", "subject"]), "null_mean"]
        assert np.allclose(chance, 0.5, atol=0.04)


class TestTheTable:
    def test_it_has_a_row_for_each_branch_and_target(self, perfect, table):
        assert list(perfect.reset_index().columns) == COLUMNS
        expected = [*AUS, "AUs", "emotion", "cue", "subject"]
        for branch in ("motion", "emotion", "fused"):
            assert list(perfect.loc[branch].index) == expected
        assert (perfect["n_clips"] == 240).all()
        assert perfect.loc[("motion", "AU4"), "n_positive"] == table["AU4"].sum()

    def test_each_row_is_what_the_probe_says_alone(self, table):
        rng = np.random.default_rng(2)
        table = table.assign(AU4=table["AU4"].mask(rng.random(240) < 0.2))
        motion = table[list(AUS)].fillna(0).to_numpy() + rng.normal(size=(240, 3))
        rows = leakage(features_of(table, motion=motion, emotion=None), n_resamples=100, seed=5).set_index(
            ["branch", "target"]
        )
        for target, column in (("AU4", "AU4"), ("AU12", "AU12"), ("emotion", "label"), ("cue", "cue")):
            alone = probe(motion, table[column], subjects=table["subject"], n_shuffles=20, n_resamples=100, seed=5)
            row = rows.loc[("motion", target)]
            for field in ("value", "low", "high", "null_mean", "null_95", "n_clips", "n_positive", "n_unknown"):
                assert row[field] == pytest.approx(getattr(alone, field)), (target, field)
        assert rows.loc[("motion", "AU4"), "n_unknown"] == table["AU4"].isna().sum() > 20

    def test_the_mean_of_the_aus_leaves_out_those_with_few_positives(self, table):
        rare = table.assign(AU1=0.0)
        rare.loc[::60, "AU1"] = 1.0
        features = features_of(rare, motion=rare[list(AUS)].to_numpy() * 1.0, emotion=None)
        rows = leakage(features, targets=["aus"], n_shuffles=0, n_resamples=0).set_index(["branch", "target"])
        assert rows.loc[("motion", "AU1"), "n_positive"] == 4
        kept = rows.loc[("motion", ["AU4", "AU12"]), "value"]
        assert rows.loc[("motion", "AUs"), "value"] == pytest.approx(kept.mean())
        assert rows.loc[("motion", "AUs"), "n_positive"] == min(rare["AU4"].sum(), rare["AU12"].sum())

    def test_an_au_that_nobody_shows_has_no_figure_and_says_why(self, table):
        features = features_of(table.assign(AU1=0.0), motion=table[list(AUS)].to_numpy(), emotion=None)
        row = leakage(features, n_shuffles=0, n_resamples=0).set_index(["branch", "target"]).loc[("motion", "AU1")]
        assert np.isnan(row["value"])
        assert row["reason"] == "no clip has it"

    def test_unknown_aus_leave_no_figure_but_the_rest_stands(self, table):
        unknown = table.assign(**dict.fromkeys(AUS, np.nan))
        rows = leakage(features_of(unknown, motion=None, emotion=one_hot(table["cue"])), n_shuffles=0, n_resamples=50)
        rows = rows.set_index(["branch", "target"])
        assert rows.loc[("emotion", "AUs"), "reason"] == "no AU has 8 positive and 8 negative clips"
        assert rows.loc[("emotion", "AU4"), "n_unknown"] == 240
        assert rows.loc[("emotion", "cue"), "value"] == 1.0

    def test_on_real_data_the_label_stands_for_the_cue(self, table):
        real = table.drop(columns="cue")
        rows = leakage(features_of(real, motion=None, emotion=one_hot(table["label"])), n_shuffles=0, n_resamples=0)
        rows = rows.set_index(["branch", "target"]).loc["emotion"]
        assert "cue" not in rows.index
        assert (rows["excess"] == 0).all()
        assert rows.loc["AU12", "allowed"] == 1.0  # these labels say whether the lips' corners rose

    def test_a_feature_without_knowledge_has_an_excess_at_or_below_zero(self, table):
        rng = np.random.default_rng(3)
        rows = leakage(features_of(table, motion=None, emotion=rng.normal(size=(240, 6))), n_resamples=0, n_shuffles=0)
        rows = rows.set_index(["branch", "target"]).loc["emotion"]
        assert rows.loc["cue", "excess"] < -0.4
        assert rows.loc["AUs", "excess"] < 0.03

    def test_a_constant_branch_has_no_figure_but_a_reason(self, table):
        rows = leakage(features_of(table, motion=np.ones((240, 4)), emotion=None), n_resamples=20)
        own = rows[rows["branch"] == "motion"]
        assert own[["value", "low", "high", "null_mean", "p", "excess"]].isna().all(axis=None)
        assert set(own["reason"]) == {"the motion branch is constant"}

    def test_a_truth_that_is_constant_allows_guessing(self, table):
        features = features_of(table, motion=None, emotion=one_hot(table["cue"]))
        rows = leakage(features, targets=["cue"], allowed={"emotion": np.ones((240, 1))}, n_resamples=20)
        assert set(rows.loc[rows["branch"] == "emotion", "allowed"]) == {0.5}

    def test_rows_follow_the_clip_id(self, table):
        emotion = one_hot(table["cue"]) + 0.0
        truth = pd.DataFrame(emotion, index=table["clip_id"])
        speed = pd.Series(np.random.default_rng(4).exponential(size=240), index=table["clip_id"])
        given = {"targets": ["aus", "speed"], "n_shuffles": 0, "n_resamples": 0}
        features = features_of(table, motion=None, emotion=emotion)
        first = leakage(features, allowed={"emotion": truth}, extra={"speed": speed}, **given)
        order = np.random.default_rng(5).permutation(240)
        again = leakage(features, allowed={"emotion": truth.iloc[order]}, extra={"speed": speed.iloc[order]}, **given)
        pd.testing.assert_frame_equal(first, again)
        assert (first.loc[first["branch"] == "emotion", "excess"] == 0).all()

    def test_an_amount_such_as_the_head_s_speed_is_read_by_its_order(self, table):
        speed = np.random.default_rng(6).exponential(size=240)
        features = features_of(table, motion=np.log(speed)[:, None], emotion=one_hot(table["cue"]))
        rows = leakage(features, targets=["head"], extra={"head": speed}, n_resamples=100).set_index("branch")
        assert rows.loc["motion", "value"] > 0.99
        assert rows.loc["motion", "excess"] > 0.35
        assert abs(rows.loc["emotion", "value"] - 0.5) < 0.1

    def test_without_a_truth_nothing_is_subtracted(self, table):
        features = features_of(table, motion=table[list(AUS)].to_numpy(), emotion=None)
        rows = leakage(features, allowed={}, n_shuffles=0, n_resamples=0)
        assert rows["allowed"].isna().all()
        assert rows["excess"].isna().all()

    def test_the_parameters_travel_with_the_table(self, perfect, table):
        found = leakage(features_of(table, motion=None, emotion=one_hot(table["cue"])), targets=["cue"], seed=9)
        assert found.attrs["seed"] == 9
        assert found.attrs["kind"] == "ridge"

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"targets": ["posture"]}, "no target 'posture' in this table; there are aus, emotion, cue, subject"),
            ({"targets": []}, "no target was named"),
            ({"allowed": {"both": np.zeros((240, 1))}}, "allowed names both"),
            ({"allowed": {"motion": np.zeros((239, 1))}}, "has 239 rows but there are 240 clips"),
            ({"extra": {"head": pd.Series([1.0], index=["elsewhere"])}}, "clips are not in extra"),
            ({"n_folds": 1}, "at least 2 folds"),
        ],
    )
    def test_an_error_says_what_is_wrong(self, table, options, sentence):
        with pytest.raises(ValueError, match=sentence):
            leakage(features_of(table, motion=table[list(AUS)].to_numpy(), emotion=None), **options)

    def test_one_subject_alone_is_refused(self, table):
        alone = table.assign(subject="s00")
        with pytest.raises(ValueError, match="fewer than 2 subjects"):
            leakage(features_of(alone, motion=alone[list(AUS)].to_numpy(), emotion=None))
