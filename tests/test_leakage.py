"""Leakage against planted truth: a branch that is a factor gives it fully, and of others what it allows; selections."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sample_records import sample_clips, sample_features

from medn_lab.diagnose import dependence, leakage, probe, selection_measures
from medn_lab.records import BranchFeatures
from medn_lab.view import plot_selection_measures

AUS = ("AU1", "AU4", "AU12")
CUES = ("flush", "none", "pallor")
COLUMNS = [
    "branch", "target", "value", "low", "high", "null_mean", "null_95", "p", "allowed", "excess", "excess_low",
    "excess_high", "n_clips", "n_subjects", "n_positive", "n_unknown", "split", "reason", "worst_target", "worst_auc",
    "worst_excess",
]  # fmt: skip


def one_hot(column):
    return pd.get_dummies(column, dtype=float).to_numpy()


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture(scope="module")
def table():
    """AU sets and a cue of 240 clips; AU12 brings a flush in half of its clips. The emotion needs both."""
    rng = np.random.default_rng(0)
    aus = (
        pd.DataFrame({"AU1": rng.random(240) < 0.3, "AU4": rng.random(240) < 0.4, "AU12": rng.random(240) < 0.4}) * 1.0
    )
    cue = rng.choice(CUES, size=240)
    cue[(aus["AU12"].to_numpy() == 1) & (rng.random(240) < 0.5)] = "flush"
    emotion = np.where(aus["AU12"] == 1, np.where(cue == "flush", "happiness", "repression"), "others")
    subjects = np.repeat([f"s{i:02d}" for i in range(10)], 24)
    ids = [f"c{i:03d}" for i in range(240)]
    facts = {"clip_id": ids, "dataset": "planted", "subject": subjects, "cue": cue, "label": emotion}
    return pd.concat([pd.DataFrame(facts), aus], axis=1)


def measured(table, motion=None, emotion=None, **options):
    """The leakage of these branches by branch and target; no shuffles and no draws unless they are given."""
    parts = [part for part in (motion, emotion) if part is not None]
    features = BranchFeatures(motion=motion, emotion=emotion, fused=np.hstack(parts), table=table)
    return leakage(features, **{"n_shuffles": 0, "n_resamples": 0} | options).set_index(["branch", "target"])


@pytest.fixture(scope="module")
def perfect(table):
    """A motion branch that is the AUs, an emotion branch that is the cue."""
    aus = table[list(AUS)].to_numpy()
    return measured(table, motion=aus, emotion=one_hot(table["cue"]), n_shuffles=20, n_resamples=200)


class TestCalibration:
    def test_a_branch_that_is_the_au_vector_gives_every_au_fully(self, perfect):
        aus = perfect.loc["motion"].loc[[*AUS, "AUs"]]
        assert (aus[["value", "high"]] == 1.0).all(axis=None)
        assert aus["low"].tolist() == pytest.approx([240 / (240 + 2.262157**2)] * 4)  # Wilson's bound, t of 10 subjects

    def test_a_branch_that_is_the_cue_gives_what_the_cue_allows_and_no_more(self, perfect, table):
        rows = perfect.loc["emotion"]
        assert (rows["value"] == rows["allowed"]).all()
        assert (rows[["excess", "excess_low", "excess_high"]] == 0.0).all(axis=None)
        assert abs(rows.loc["AU1", "value"] - 0.5) < 0.1
        assert rows.loc["cue", "value"] == 1.0
        # A cue gives of AU12 some, but not all: two states matter, and the area of a 0/1 score is the mean of
        # sensitivity and specificity.
        au12, flush = table["AU12"] == 1, table["cue"] == "flush"
        expected = 0.5 * (flush[au12].mean() + (~flush)[~au12].mean())
        assert 0.6 < rows.loc["AU12", "value"] < 0.85
        assert rows.loc["AU12", "allowed"] == pytest.approx(expected, abs=0.03)

    def test_the_fused_branch_may_give_what_both_truths_give_and_shuffled_labels_are_at_one_half(self, perfect):
        assert perfect.loc[("fused", "emotion"), "allowed"] == pytest.approx(perfect.loc[("fused", "emotion"), "value"])
        assert perfect.loc[("fused", "emotion"), "value"] > perfect.loc[("motion", "emotion"), "value"]
        null = perfect.loc[(slice(None), ["AUs", "emotion", "cue", "subject"]), "null_mean"]
        assert np.allclose(null, 0.5, atol=0.04)

    def test_an_emotion_branch_that_also_holds_an_au_shows_it_as_excess(self, table):
        leaky = np.hstack([one_hot(table["cue"]), table[["AU4"]].to_numpy()])
        found = measured(table, emotion=leaky, n_resamples=200).loc["emotion"]
        assert found.loc["AU4", "value"] == 1.0
        assert found.loc["AU4", "excess_low"] > 0.3
        assert abs(found.loc["AU1", "excess"]) < 0.05
        assert found.loc["AUs", "worst_target"] == "AU4"

    def test_leakage_grows_with_the_share_of_the_other_factor_that_is_mixed_in(self, table):
        rng = np.random.default_rng(0)
        excess = []
        for share in (0.0, 0.3, 1.0, 3.0):
            other = rng.normal(size=(len(table), 8))
            mixed = share * table[list(AUS)].to_numpy() @ rng.normal(size=(3, 8)) + other
            rows = measured(table, emotion=np.hstack([one_hot(table["cue"]), mixed]), targets=["aus"])
            excess.append(rows.loc[("emotion", "AUs"), "excess"])
        assert excess == sorted(excess)
        assert abs(excess[0]) < 0.06
        assert excess[-1] > 0.3

    def test_a_feature_of_noise_has_an_excess_at_or_below_zero(self, table):
        rows = measured(table, emotion=noise(240, 6, seed=3)).loc["emotion"]
        assert rows.loc["cue", "excess"] < -0.4
        assert rows.loc["AUs", "excess"] < 0.03

    def test_the_subject_is_read_from_clips_held_out(self, table):
        signature = noise(10, 12, seed=1).repeat(24, axis=0) + 0.1 * noise(240, 12, seed=2)
        options = {"targets": ["subject"], "n_shuffles": 20, "n_resamples": 200}
        rows = measured(table, motion=signature, emotion=noise(240, 4, seed=4), **options).droplevel("target")
        assert (rows["split"] == "clips").all()
        assert rows.loc["motion", "value"] > 0.99
        assert rows.loc["motion", "excess"] > 0.4
        assert abs(rows.loc["emotion", "value"] - 0.5) < 0.06
        assert abs(rows.loc["emotion", "null_mean"] - 0.5) < 0.03
        assert rows.loc["emotion", "low"] < 0.5 < rows.loc["emotion", "high"]


class TestTheTable:
    def test_it_has_a_row_for_each_branch_and_target_and_its_parameters(self, perfect, table):
        assert list(perfect.reset_index().columns) == COLUMNS
        for branch in ("motion", "emotion", "fused"):
            assert list(perfect.loc[branch].index) == [*AUS, "AUs", "emotion", "cue", "subject"]
        assert (perfect["n_clips"] == 240).all()
        assert perfect.loc[("motion", "AU4"), "n_positive"] == table["AU4"].sum()
        found = measured(table, emotion=one_hot(table["cue"]), targets=["cue"], seed=9)
        assert (found.attrs["seed"], found.attrs["kind"], found.attrs["min_positives"]) == (9, "ridge", 8)

    def test_chosen_branches_have_the_same_rows_as_all(self, table):
        read = partial(measured, table, motion=table[list(AUS)].to_numpy(), emotion=one_hot(table["cue"]))
        every, some = read(targets=["aus"]), read(targets=["aus"], branches=["emotion"])
        pd.testing.assert_frame_equal(some, every.loc[["emotion"]])
        with pytest.raises(ValueError, match=r"both.* motion, emotion, fused"):
            read(branches=["both"])

    def test_each_row_is_what_the_probe_gives_alone(self, table):
        table = table.assign(AU4=table["AU4"].mask(np.random.default_rng(2).random(240) < 0.2))
        motion = table[list(AUS)].fillna(0).to_numpy() + noise(240, 3, seed=5)
        options = {"n_shuffles": 20, "n_resamples": 100, "seed": 5}
        rows = measured(table, motion=motion, **options)
        for target, column in (("AU4", "AU4"), ("AU12", "AU12"), ("emotion", "label"), ("cue", "cue")):
            alone = probe(motion, table[column], subjects=table["subject"], **options)
            for field in ("value", "low", "high", "null_mean", "null_95", "n_clips", "n_positive", "n_unknown"):
                assert rows.loc[("motion", target), field] == pytest.approx(getattr(alone, field)), (target, field)
        assert rows.loc[("motion", "AU4"), "n_unknown"] == table["AU4"].isna().sum() > 20

    def test_the_mean_of_the_aus_leaves_out_those_with_few_positives(self, table):
        rare = table.assign(AU1=(np.arange(240) % 60 == 0) * 1.0)
        rows = measured(rare, motion=rare[list(AUS)].to_numpy(), targets=["aus"]).loc["motion"]
        assert rows.loc["AU1", "n_positive"] == 4
        assert rows.loc["AUs", "value"] == pytest.approx(rows.loc[["AU4", "AU12"], "value"].mean())
        assert rows.loc["AUs", "n_positive"] == min(rare["AU4"].sum(), rare["AU12"].sum())

    def test_what_has_no_value_has_a_reason_and_the_rest_stands(self, table):
        absent = measured(table.assign(AU1=0.0), motion=table[list(AUS)].to_numpy()).loc[("motion", "AU1")]
        assert np.isnan(absent["value"])
        assert absent["reason"] == "no clip has it"
        unknown = table.assign(**dict.fromkeys(AUS, np.nan))
        rows = measured(unknown, emotion=one_hot(table["cue"]), n_resamples=50).loc["emotion"]
        assert rows.loc["AUs", "reason"] == "no AU has 8 positive and 8 negative clips"
        assert rows.loc["AU4", "n_unknown"] == 240
        assert rows.loc["cue", "value"] == 1.0
        constant = measured(table, motion=np.ones((240, 4)), n_shuffles=5, n_resamples=20).loc["motion"]
        assert constant[["value", "low", "high", "null_mean", "p", "excess"]].isna().all(axis=None)
        assert set(constant["reason"]) == {"the motion branch is constant"}

    def test_on_real_data_the_label_stands_for_the_cue(self, table):
        rows = measured(table.drop(columns="cue"), emotion=one_hot(table["label"])).loc["emotion"]
        assert "cue" not in rows.index
        assert (rows["excess"] == 0).all()
        assert rows.loc["AU12", "allowed"] == 1.0  # these labels say whether the lips' corners rose

    def test_a_truth_that_is_constant_allows_guessing_and_without_a_truth_nothing_is_subtracted(self, table):
        read = partial(measured, table, emotion=one_hot(table["cue"]), targets=["cue"], n_resamples=20)
        assert read(allowed={"emotion": np.ones((240, 1))}).loc[("emotion", "cue"), "allowed"] == 0.5
        assert read(allowed={})[["allowed", "excess"]].isna().all(axis=None)

    def test_rows_follow_the_clip_id(self, table):
        emotion = one_hot(table["cue"])
        truth = pd.DataFrame(emotion, index=table["clip_id"])
        speed = pd.Series(np.random.default_rng(4).exponential(size=240), index=table["clip_id"])
        order = np.random.default_rng(5).permutation(240)
        read = partial(measured, table, emotion=emotion, targets=["aus", "speed"])
        first = read(allowed={"emotion": truth}, extra={"speed": speed})
        again = read(allowed={"emotion": truth.iloc[order]}, extra={"speed": speed.iloc[order]})
        pd.testing.assert_frame_equal(first, again)
        assert (first.loc["emotion", "excess"] == 0).all()

    def test_an_amount_such_as_the_head_s_speed_is_read_by_its_order(self, table):
        speed = np.random.default_rng(6).exponential(size=240)
        branches = {"motion": np.log(speed)[:, None], "emotion": one_hot(table["cue"])}
        rows = measured(table, **branches, targets=["head"], extra={"head": speed}).droplevel("target")
        assert rows.loc["motion", "value"] > 0.99
        assert rows.loc["motion", "excess"] > 0.35
        assert abs(rows.loc["emotion", "value"] - 0.5) < 0.1

    @pytest.mark.parametrize(
        ("options", "facts"),
        [
            ({"targets": ["posture"]}, "'posture'.* aus, emotion, cue, subject"),
            ({"targets": []}, "no target was named"),
            ({"allowed": {"both": np.zeros((240, 1))}}, "allowed names both"),
            ({"allowed": {"motion": np.zeros((239, 1))}}, "239 rows but there are 240 clips"),
            ({"extra": {"head": pd.Series([1.0], index=["elsewhere"])}}, "clips are not in extra"),
            ({"extra": {"head": pd.Series([1.0, 2.0], index=["c000", "c000"])}}, "'c000' more than once"),
            ({"n_folds": 1}, "at least 2 folds"),
        ],
    )
    def test_options_that_do_not_fit_and_one_subject_alone_are_refused(self, table, options, facts):
        with pytest.raises(ValueError, match=facts):
            measured(table, motion=table[list(AUS)].to_numpy(), **options)
        with pytest.raises(ValueError, match="fewer than 2 subjects"):
            measured(table.assign(subject="s00"), motion=table[list(AUS)].to_numpy())


@pytest.fixture(scope="module")
def features() -> BranchFeatures:
    return sample_features(sample_clips(n=160, size=16))


def row_of(table, measure, branch="", target=""):
    found = table[(table["measure"] == measure) & (table["branch"] == branch) & (table["target"] == target)]
    assert len(found) == 1
    return found.iloc[0]


class TestSelection:
    def test_its_values_are_those_of_the_instruments_on_the_same_clips(self, features):
        ids = features.table["clip_id"][:90]
        found = selection_measures(features)(ids)
        alone = dependence(features, clip_ids=ids).set_index("measure")["value"]
        own = found[found["kind"] == "dependence"].set_index("measure")["value"]
        pd.testing.assert_series_equal(own, alone[own.index], check_names=False)
        leaks = leakage(features.select(ids), targets=["aus", "emotion"], n_shuffles=0).set_index(["branch", "target"])
        for place in (("emotion", "AUs"), ("motion", "emotion"), ("motion", "AUs"), ("emotion", "emotion")):
            row = row_of(found, "auc", *place)
            assert row[["value", "allowed"]].to_list() == pytest.approx(
                leaks.loc[place, ["value", "allowed"]].to_list()
            )
            assert 0.3 < row["chance"] < 0.7
        assert (set(found["n_clips"]), set(found["n_subjects"])) == ({90}, {4})

    def test_a_branch_that_copies_the_other_is_dependent_and_one_of_noise_is_not(self, features):
        for emotion, expected in ((features.motion, 1.0), (noise(*features.motion.shape, seed=99), 0.0)):
            measure = selection_measures(replace(features, emotion=emotion))
            row = row_of(measure(features.table["clip_id"][::2]), "linear_cka")
            assert row["value"] == pytest.approx(expected, abs=0.05)
            assert abs(row["chance"]) < 0.1

    @pytest.mark.slow
    def test_each_step_has_more_values_and_the_last_is_what_a_call_returns(self, features):
        measure, ids = selection_measures(features), features.table["clip_id"][:60]
        steps = list(measure.steps(ids))
        assert [int((step["reason"] == "computing").sum()) for step in steps] == [4, 4, 3, 2, 1, 0]
        assert steps[0]["value"].notna().sum() == 5  # the branches have other widths, so there is no cosine
        assert steps[0]["chance"].notna().sum() == 0 < steps[1]["chance"].notna().sum()
        pd.testing.assert_frame_equal(steps[-1], measure(ids))
        pd.testing.assert_frame_equal(measure(), measure(features.table["clip_id"]))  # without ids all clips

    def test_the_first_values_of_500_clips_come_before_anything_slow_is_computed(self):
        table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(500)], "subject": [f"s{k % 20}" for k in range(500)]})
        first = next(selection_measures(BranchFeatures(*noise(3, 500, 128), table)).steps())
        assert first.loc[first["kind"] == "dependence", "value"].notna().all()
        assert first["chance"].isna().all()
        assert (first.loc[first["kind"] == "leakage", "reason"] == "computing").all()

    @pytest.mark.parametrize(("n", "few"), [(3, "needs at least 4 clips, there are 3"), (19, "")])
    def test_too_small_a_selection_says_so_with_the_smallest_size(self, features, n, few):
        found = selection_measures(features)(features.table["clip_id"][:n])
        assert row_of(found, "linear_cka")["reason"] == few
        assert np.isnan(row_of(found, "linear_cka")["value"]) == bool(few)
        reason = row_of(found, "auc", "emotion", "AUs")["reason"]
        assert reason == f"needs at least 20 clips of 2 subjects, there are {n} of {min(n, 4)}"

    def test_what_cannot_be_measured_has_a_reason(self, features):
        table, aus = features.table, ["AU1", "AU4", "AU12", "AU15"]

        def reason(features, branch, target, ids=None):
            return row_of(selection_measures(features)(ids), "auc", branch, target)["reason"]

        alone, others = table["clip_id"][table["subject"] == "s01"], table["clip_id"][table["label"] == "others"]
        assert reason(features, "motion", "emotion", alone).endswith("there are 40 of 1")
        assert reason(features, "motion", "emotion", others) == "there is one class only"
        assert reason(replace(features, table=table.drop(columns=aus)), "emotion", "AUs") == "no AUs are coded"
        unknown = replace(features, table=table.assign(**dict.fromkeys(aus, np.nan)))
        assert "no AU has 8 positive" in reason(unknown, "emotion", "AUs")
        nobody = replace(features, table=table.drop(columns=["subject"]))
        assert "none can be held out" in reason(nobody, "emotion", "AUs")
        half = selection_measures(replace(features, emotion=None))()
        assert "no emotion branch" in row_of(half, "linear_cka")["reason"]
        assert "no emotion branch" in row_of(half, "auc", "emotion", "AUs")["reason"]
        assert np.isfinite(row_of(half, "auc", "motion", "AUs")["value"])

    def test_a_label_that_is_not_known_is_left_out_and_a_large_selection_is_drawn_from(self, features):
        labels = features.table["label"].where(np.arange(len(features)) % 4 > 0)
        found = selection_measures(replace(features, table=features.table.assign(label=labels)))()
        assert row_of(found, "auc", "motion", "emotion")["n_clips"] == 120
        found = selection_measures(features, most_clips=50)(features.table["clip_id"][:120])
        assert (set(found["n_clips"]), set(found["drawn_from"])) == ({50}, {120})

    def test_clips_that_are_not_here_and_senseless_counts_are_refused(self, features):
        with pytest.raises(ValueError, match="'nobody'"):
            selection_measures(features)(["nobody"])
        with pytest.raises(ValueError, match="most_clips 20"):
            selection_measures(features, most_clips=3)
        broken = features.motion.copy()
        broken[3, 1] = np.nan
        with pytest.raises(ValueError, match="motion features: 1 of 160 clips"):
            selection_measures(replace(features, motion=broken))

    def test_the_picture_shows_selection_all_and_chance(self, features):
        measure = selection_measures(features)
        some = measure(features.table["clip_id"][:60])
        figure = plot_selection_measures(some, of_all=measure())
        drawn = {trace.name: trace for trace in figure.data if trace.xaxis == "x2"}
        assert set(drawn) == {"chance", "allowed", "all clips", "selected clips"}
        assert np.allclose(drawn["selected clips"].x, some.loc[some["kind"] == "leakage", "value"])
        assert np.allclose(drawn["chance"].x, some.loc[some["kind"] == "leakage", "chance"])
        hsic = some.loc[some["measure"] == "hsic", "value"].item()
        assert any(f"{hsic:.4f}" in note.text and "no common scale" in note.text for note in figure.layout.annotations)
        small = plot_selection_measures(measure(features.table["clip_id"][:3]))
        assert any("needs at least 4 clips" in note.text for note in small.layout.annotations)
        crossed = plot_selection_measures(measure(features.table["clip_id"][:3]), of_all=measure())
        shifts = {note.yshift for note in crossed.layout.annotations if note.xref == "x2 domain"}
        assert shifts == {-14}, "a reason must not cover the marker of all clips"
        with pytest.raises(ValueError, match="lacks kind"):
            plot_selection_measures(some.drop(columns="kind"))
