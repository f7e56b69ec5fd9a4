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


def one_hot(column):
    return pd.get_dummies(column, dtype=float).to_numpy()


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture(scope="module")
def table():
    """AU sets and a cue of 240 clips; AU12 brings a flush in half of its clips. The emotion needs both."""
    rng = np.random.default_rng(0)
    aus = 1.0 * (rng.random((240, 3)) < [0.3, 0.4, 0.4])
    cue = rng.choice(CUES, size=240)
    cue[(aus[:, 2] == 1) & (rng.random(240) < 0.5)] = "flush"
    emotion = np.where(aus[:, 2] == 1, np.where(cue == "flush", "happiness", "repression"), "others")
    facts = {"clip_id": [f"c{i:03d}" for i in range(240)], "dataset": "planted", "cue": cue, "label": emotion}
    subjects = np.repeat([f"s{i:02d}" for i in range(10)], 24)
    return pd.DataFrame(facts).assign(subject=subjects, **dict(zip(AUS, aus.T, strict=True)))


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

    def test_an_emotion_branch_that_also_holds_an_au_shows_it_as_excess_and_noise_has_none(self, table):
        leaky = np.hstack([one_hot(table["cue"]), table[["AU4"]].to_numpy()])
        found = measured(table, emotion=leaky, n_resamples=200).loc["emotion"]
        assert found.loc["AU4", "value"] == 1.0
        assert found.loc["AU4", "excess_low"] > 0.3
        assert abs(found.loc["AU1", "excess"]) < 0.05
        assert found.loc["AUs", "worst_target"] == "AU4"
        found = measured(table, emotion=noise(240, 6, seed=3)).loc["emotion"]
        assert found.loc["cue", "excess"] < -0.4
        assert found.loc["AUs", "excess"] < 0.03

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
        for branch in ("motion", "emotion", "fused"):
            assert list(perfect.loc[branch].index) == [*AUS, "AUs", "emotion", "cue", "subject"]
        assert (perfect["n_clips"] == 240).all()
        assert perfect.loc[("motion", "AU4"), "n_positive"] == table["AU4"].sum()
        read = partial(measured, table, motion=table[list(AUS)].to_numpy(), emotion=one_hot(table["cue"]))
        every, some = read(targets=["aus"]), read(targets=["aus"], branches=["emotion"])
        pd.testing.assert_frame_equal(some, every.loc[["emotion"]])
        assert (some.attrs["seed"], some.attrs["kind"]) == (0, "ridge")

    def test_each_row_is_what_the_probe_gives_alone(self, table):
        table = table.assign(AU4=table["AU4"].mask(np.random.default_rng(2).random(240) < 0.2))
        motion = table[list(AUS)].fillna(0).to_numpy() + noise(240, 3, seed=5)
        options = {"n_shuffles": 20, "n_resamples": 100, "seed": 5}
        rows = measured(table, motion=motion, **options).loc["motion"]
        fields = ["value", "low", "high", "null_mean", "null_95", "n_clips", "n_positive", "n_unknown"]
        for target, column in (("AU4", "AU4"), ("AU12", "AU12"), ("emotion", "label"), ("cue", "cue")):
            alone = probe(motion, table[column], subjects=table["subject"], **options)
            assert rows.loc[target, fields].to_list() == pytest.approx([getattr(alone, field) for field in fields])
        assert rows.loc["AU4", "n_unknown"] == table["AU4"].isna().sum() > 20

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
        assert (rows.loc["AU4", "n_unknown"], rows.loc["cue", "value"]) == (240, 1.0)

    def test_the_truth_that_is_allowed_is_the_label_without_a_cue_or_what_is_given_by_clip_id(self, table):
        emotion = one_hot(table["cue"])
        rows = measured(table.drop(columns="cue"), emotion=one_hot(table["label"])).loc["emotion"]
        assert (rows["excess"] == 0).all()
        assert rows.loc["AU12", "allowed"] == 1.0  # these labels say whether the lips' corners rose
        read = partial(measured, table, emotion=emotion, targets=["cue", "aus"], n_resamples=20)
        assert read(allowed={"emotion": np.ones((240, 1))}).loc[("emotion", "cue"), "allowed"] == 0.5  # guessing
        assert read(allowed={})[["allowed", "excess"]].isna().all(axis=None)
        truth = pd.DataFrame(emotion, index=table["clip_id"]).sample(frac=1, random_state=0)
        assert (read(allowed={"emotion": truth}).loc["emotion", "excess"] == 0).all()

    def test_an_amount_such_as_the_head_s_speed_is_read_by_its_order(self, table):
        speed = np.random.default_rng(6).exponential(size=240)
        branches = {"motion": np.log(speed)[:, None], "emotion": one_hot(table["cue"])}
        rows = measured(table.assign(speed=speed), **branches, targets=["speed"]).droplevel("target")
        assert rows.loc["motion", "value"] > 0.99
        assert rows.loc["motion", "excess"] > 0.35
        assert abs(rows.loc["emotion", "value"] - 0.5) < 0.1

    @pytest.mark.parametrize(
        ("options", "facts"),
        [
            ({"targets": ["posture"]}, "'posture'.* aus, emotion, cue, subject"),
            ({"branches": ["both"]}, r"both.* motion, emotion, fused"),
            ({"allowed": {"both": np.zeros((240, 1))}}, "allowed names both"),
            ({"allowed": {"motion": np.zeros((239, 1))}}, "239 rows but there are 240 clips"),
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
        alone = dependence(features.select(ids)).set_index("measure")["value"]
        own = found[found["kind"] == "dependence"].set_index("measure")["value"]
        pd.testing.assert_series_equal(own, alone, check_names=False)
        leaks = leakage(features.select(ids), targets=["aus", "emotion"], n_shuffles=0).set_index(["branch", "target"])
        for place in (("emotion", "AUs"), ("motion", "emotion"), ("motion", "AUs"), ("emotion", "emotion")):
            row, names = row_of(found, "auc", *place), ["value", "allowed"]
            assert row[names].to_list() == pytest.approx(leaks.loc[place, names].to_list())
            assert 0.3 < row["chance"] < 0.7
        assert (set(found["n_clips"]), set(found["n_subjects"])) == ({90}, {4})

    def test_each_step_has_more_values_and_the_last_is_what_a_call_returns(self, features):
        measure, ids = selection_measures(features), features.table["clip_id"][:60]
        steps = list(measure.steps(ids))
        assert [int((step["reason"] == "computing").sum()) for step in steps] == [4, 4, 3, 2, 1, 0]
        assert steps[0]["value"].notna().sum() == 5  # the branches have other widths, so there is no cosine
        assert steps[0]["chance"].notna().sum() == 0 < steps[1]["chance"].notna().sum()
        pd.testing.assert_frame_equal(steps[-1], measure(ids))

    def test_what_cannot_be_measured_has_a_reason(self, features):
        table, aus = features.table, ["AU1", "AU4", "AU12", "AU15"]

        def reason(branch, target, ids=None, **changed):
            return row_of(selection_measures(replace(features, **changed))(ids), "auc", branch, target)["reason"]

        alone, others = table["clip_id"][table["subject"] == "s01"], table["clip_id"][table["label"] == "others"]
        assert reason("motion", "emotion", alone) == "needs at least 20 clips of 2 subjects, there are 40 of 1"
        assert reason("motion", "emotion", table["clip_id"][:19]).endswith("there are 19 of 4")
        assert reason("motion", "emotion", others) == "there is one class only"
        assert reason("emotion", "AUs", table=table.drop(columns=aus)) == "no AUs are coded"
        assert "no AU has 8 positive" in reason("emotion", "AUs", table=table.assign(**dict.fromkeys(aus, np.nan)))
        assert "none can be held out" in reason("emotion", "AUs", table=table.drop(columns=["subject"]))
        few = row_of(selection_measures(features)(table["clip_id"][:3]), "linear_cka")
        assert (few["reason"], np.isnan(few["value"])) == ("needs at least 4 clips, there are 3", True)
        half = selection_measures(replace(features, emotion=None))()
        assert "no emotion branch" in row_of(half, "linear_cka")["reason"]
        assert "no emotion branch" in row_of(half, "auc", "emotion", "AUs")["reason"]
        assert np.isfinite(row_of(half, "auc", "motion", "AUs")["value"])
        with pytest.raises(ValueError, match="'nobody'"):
            selection_measures(features)(["nobody"])
        with pytest.raises(ValueError, match="motion features: 160 of 160 clips"):
            selection_measures(replace(features, motion=np.full((160, 3), np.nan)))

    def test_a_label_that_is_not_known_is_left_out_and_a_large_selection_is_drawn_from(self, features, monkeypatch):
        labels = features.table["label"].where(np.arange(len(features)) % 4 > 0)
        found = selection_measures(replace(features, table=features.table.assign(label=labels)))()
        assert row_of(found, "auc", "motion", "emotion")["n_clips"] == 120
        monkeypatch.setattr("medn_lab.diagnose.leaks.MOST_CLIPS", 50)
        first = next(selection_measures(features).steps(features.table["clip_id"][:120]))
        assert (set(first["n_clips"]), set(first["drawn_from"])) == ({50}, {120})

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
