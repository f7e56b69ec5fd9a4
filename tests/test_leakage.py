"""Leakage against planted truth: a branch that is a factor gives it fully, and of others what it allows.

The same measures of a selection of clips and during a training.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from planted_branches import AUS, planted
from refusals import assert_refuses
from sample_records import sample_clips, sample_features
from sklearn.metrics import roc_auc_score
from tiny_clips import tiny_clips

from medn_lab.diagnose import decoupling_watch, dependence, leakage, linear_cka, probe, selection_measures
from medn_lab.evaluate import extract_features
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.records import BranchFeatures
from medn_lab.train import TrainConfig, fit
from medn_lab.view import plot_selection_measures


def one_hot(column):
    return pd.get_dummies(column, dtype=float).to_numpy()


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture(scope="module")
def table():
    """AU sets and a cue of 240 clips of 10 subjects, and an emotion that needs both."""
    table = planted().table
    happiness = np.where(table["cue"] == "flush", "happiness", "repression")
    return table.assign(label=np.where(table["AU12"] == 1, happiness, "others"))


def measured(table, motion=None, emotion=None, **options):
    """The leakage of these branches by branch and target; no shuffles and no draws unless they are given."""
    parts = [part for part in (motion, emotion) if part is not None]
    features = BranchFeatures(motion=motion, emotion=emotion, fused=np.hstack(parts), table=table)
    return leakage(features, **{"n_shuffles": 0, "n_resamples": 0} | options).set_index(["branch", "target"])


def test_a_branch_that_is_a_factor_gives_it_fully_and_of_the_others_what_it_allows(table):
    branches = {"motion": table[AUS].to_numpy(), "emotion": one_hot(table["cue"])}
    perfect = measured(table, **branches, n_shuffles=20, n_resamples=200)
    for branch in ("motion", "emotion", "fused"):
        assert list(perfect.loc[branch].index) == [*AUS, "AUs", "emotion", "cue", "subject"]
    aus = perfect.loc["motion"].loc[[*AUS, "AUs"]]
    assert (aus[["value", "high"]] == 1.0).all(axis=None)
    assert aus["low"].tolist() == pytest.approx([240 / (240 + 2.262157**2)] * 4)  # Wilson's bound, t of 10 subjects
    assert perfect.loc[("motion", "AU4"), ["n_clips", "n_positive"]].to_list() == [240, table["AU4"].sum()]
    rows = perfect.loc["emotion"]
    assert (rows["value"] == rows["allowed"]).all()
    assert (rows[["excess", "excess_low", "excess_high"]] == 0.0).all(axis=None)
    assert abs(rows.loc["AU12", "value"] - 0.5) < 0.1
    assert rows.loc["cue", "value"] == 1.0
    # A cue gives of AU4 some, but not all: what its shares among the clips of each cue give.
    shares = table.groupby("cue")["AU4"].transform("mean")
    assert 0.6 < rows.loc["AU4", "value"] < 0.85
    assert rows.loc["AU4", "allowed"] == pytest.approx(roc_auc_score(table["AU4"], shares), abs=0.03)
    fused = perfect.loc[("fused", "emotion")]
    assert fused["allowed"] == pytest.approx(fused["value"])
    assert fused["value"] > perfect.loc[("motion", "emotion"), "value"]
    null = perfect.loc[(slice(None), ["AUs", "emotion", "cue", "subject"]), "null_mean"]
    assert np.allclose(null, 0.5, atol=0.04)


def test_an_emotion_branch_that_also_holds_an_au_shows_it_as_excess_and_noise_has_none(table):
    leaky = np.hstack([one_hot(table["cue"]), table[["AU12"]].to_numpy()])
    found = measured(table, emotion=leaky, n_resamples=200).loc["emotion"]
    assert found.loc["AU12", "value"] == 1.0
    assert found.loc["AU12", "excess_low"] > 0.3
    assert abs(found.loc["AU4", "excess"]) < 0.05
    assert found.loc["AUs", "worst_target"] == "AU12"
    found = measured(table, emotion=noise(240, 6, seed=3)).loc["emotion"]
    assert found.loc["cue", "excess"] < -0.4
    assert found.loc["AUs", "excess"] < 0.03


def test_the_subject_is_read_from_clips_held_out(table):
    signature = noise(10, 12, seed=1).repeat(24, axis=0) + 0.1 * noise(240, 12, seed=2)
    options = {"targets": ["subject"], "n_shuffles": 20, "n_resamples": 200}
    rows = measured(table, motion=signature, emotion=noise(240, 4, seed=4), **options).droplevel("target")
    assert rows.loc["motion", "value"] > 0.99
    assert rows.loc["motion", "excess"] > 0.4
    assert rows.loc["emotion", ["value", "null_mean"]].to_list() == pytest.approx([0.5, 0.5], abs=0.06)
    assert rows.loc["emotion", "low"] < 0.5 < rows.loc["emotion", "high"]


def test_each_row_is_what_the_probe_gives_alone_and_the_mean_leaves_out_aus_with_few_positives(table):
    table = table.assign(AU4=table["AU4"].mask(np.random.default_rng(2).random(240) < 0.2))
    table["AU6"] = (np.arange(240) % 60 == 0) * 1.0
    motion = table[AUS].fillna(0).to_numpy() + noise(240, 3, seed=5)
    options = {"n_shuffles": 20, "n_resamples": 100, "seed": 5}
    rows = measured(table, motion=motion, **options).loc["motion"]
    for target, column in (("AU4", "AU4"), ("AU12", "AU12"), ("emotion", "label"), ("cue", "cue")):
        alone = probe(motion, table[column], subjects=table["subject"], **options).figures
        assert rows.loc[target, list(alone)].to_dict() == pytest.approx(alone)
    assert rows.loc["AU4", "n_unknown"] == table["AU4"].isna().sum() > 20
    assert rows.loc["AU6", "n_positive"] == 4
    assert rows.loc["AUs", "value"] == pytest.approx(rows.loc[["AU4", "AU12"], "value"].mean())
    some = measured(table, motion=motion, emotion=motion, targets=["aus"], branches=["emotion"], seed=5)
    assert set(some.index.get_level_values("branch")) == {"emotion"}
    assert some.loc["emotion", "value"].to_list() == rows.loc[[*AUS, "AUs"], "value"].to_list()


def test_what_has_no_value_has_a_reason_and_what_does_not_fit_is_refused(table):
    motion = table[AUS].to_numpy()
    unknown = table.assign(**dict.fromkeys(AUS, np.nan))
    rows = measured(unknown, emotion=one_hot(table["cue"]), n_resamples=50).loc["emotion"]
    assert rows.loc["AUs", "reason"] == "no AU has 8 positive and 8 negative clips"
    assert (rows.loc["AU4", "n_unknown"], rows.loc["cue", "value"]) == (240, 1.0)
    for options, facts in (
        ({"targets": ["posture"]}, "'posture'.* aus, emotion, cue, subject"),
        ({"branches": ["both", "motion"]}, "no both branch; they have motion, fused"),
        ({"branches": ["emotion"]}, "no emotion branch"),
        ({"allowed": {"motion": motion}}, "a table of exact AUCs or {}"),
    ):
        assert_refuses(measured, table, motion=motion, **options, match=facts)


def test_the_truth_that_is_allowed_is_the_label_without_a_cue_or_the_exact_auc(table):
    emotion = one_hot(table["cue"])
    rows = measured(table.drop(columns="cue"), emotion=one_hot(table["label"])).loc["emotion"]
    assert (rows["excess"] == 0).all()
    assert rows.loc["AU12", "allowed"] == 1.0  # these labels say whether the lips' corners rose
    read = partial(measured, table, emotion=emotion, targets=["cue", "aus"], n_resamples=20)
    assert read(allowed={})[["allowed", "excess"]].isna().all(axis=None)
    alike = measured(table.assign(cue="none"), emotion=emotion, targets=["aus"])
    assert (alike.loc["emotion", "allowed"] == 0.5).all()  # a factor that does not vary allows guessing
    exact = pd.DataFrame({"branch": ["emotion"], "target": ["AU12"], "allowed": [0.625]})
    estimated, given = (read(allowed=one).loc["emotion", "allowed"] for one in (None, exact))
    assert given["AU12"] == 0.625 != estimated["AU12"]
    pd.testing.assert_series_equal(given.drop("AU12"), estimated.drop("AU12"))


@pytest.fixture(scope="module")
def features() -> BranchFeatures:
    return sample_features(sample_clips(n=160, size=16))


def row_of(table, measure, branch="", target=""):
    return table.set_index(["measure", "branch", "target"]).loc[[(measure, branch, target)]].squeeze()


def test_its_values_are_those_of_dependence_and_leakage_on_the_same_clips_a_step_at_a_time(features):
    measure, ids = selection_measures(features), features.table["clip_id"][:90]
    steps = list(measure.steps(ids))
    assert [int((step["reason"] == "computing").sum()) for step in steps] == [4, 4, 3, 2, 1, 0]
    assert steps[0]["value"].notna().sum() == 5  # the branches have other widths, so there is no cosine
    assert steps[0]["chance"].notna().sum() == 0 < steps[1]["chance"].notna().sum()
    found = measure(ids)
    pd.testing.assert_frame_equal(steps[-1], found)
    alone = dependence(features.select(ids)).set_index("measure")["value"]
    own = found[found["kind"] == "dependence"].set_index("measure")["value"]
    pd.testing.assert_series_equal(own, alone, check_names=False)
    leaks = leakage(features.select(ids), targets=["aus", "emotion"], n_shuffles=0).set_index(["branch", "target"])
    for place in (("emotion", "AUs"), ("motion", "emotion"), ("motion", "AUs"), ("emotion", "emotion")):
        row, names = row_of(found, "auc", *place), ["value", "allowed"]
        assert row[names].to_list() == pytest.approx(leaks.loc[place, names].to_list())
        assert 0.3 < row["chance"] < 0.7
    assert (set(found["n_clips"]), set(found["n_subjects"])) == ({90}, {4})


def test_what_cannot_be_measured_has_a_reason_and_a_large_selection_is_drawn_from(features, monkeypatch):
    table = features.table

    def leak(branch, target, ids=None, **changed):
        return row_of(selection_measures(replace(features, **changed))(ids), "auc", branch, target)

    alone = table["clip_id"][table["subject"] == "s01"]
    assert leak("motion", "emotion", alone)["reason"] == "needs at least 20 clips of 2 subjects, there are 40 of 1"
    assert "no column subject" in leak("emotion", "AUs", table=table.drop(columns=["subject"]))["reason"]
    assert "160 of 160 clips" in leak("motion", "AUs", motion=np.full((160, 3), np.nan))["reason"]
    labels = table["label"].where(np.arange(160) % 4 > 0)
    assert leak("motion", "emotion", table=table.assign(label=labels))["n_clips"] == 120
    half = selection_measures(replace(features, emotion=None))()
    for place in (("linear_cka",), ("auc", "emotion", "AUs")):
        assert "no emotion branch" in row_of(half, *place)["reason"]
    assert np.isfinite(row_of(half, "auc", "motion", "AUs")["value"])
    monkeypatch.setattr("medn_lab.diagnose.leaks.MOST_CLIPS", 50)
    first = next(selection_measures(features).steps(table["clip_id"][:120]))
    assert (set(first["n_clips"]), set(first["drawn_from"])) == ({50}, {120})


def test_the_picture_shows_selection_all_and_chance(features):
    measure = selection_measures(features)
    some, small, every = (measure(features.table["clip_id"][:n]) for n in (60, 3, 160))
    figure, crossed = (plot_selection_measures(one, of_all=every) for one in (some, small))
    drawn = {trace.name: trace.x for trace in figure.data if trace.xaxis == "x2"}
    of_some, of_all = (one[one["kind"] == "leakage"] for one in (some, every))
    np.testing.assert_allclose([drawn["selected clips"], drawn["chance"]], of_some[["value", "chance"]].T)
    np.testing.assert_allclose(drawn["all clips"], of_all["value"])
    assert any("needs at least 4 clips" in note.text for note in crossed.layout.annotations)


def test_a_watch_has_the_figures_of_dependence_and_leakage_and_leaves_the_training_as_it_is():
    clips, held_out = tiny_clips(), tiny_clips(seed=1, n_subjects=6)
    alone, watched = (MEDN(MEDNConfig.for_clips(clips, dim=32, depth=1)) for _ in range(2))
    how = {"training": TrainConfig(epochs=2, batch_size=16), "progress": False}
    fit(alone, clips, **how)
    watch = decoupling_watch(held_out)
    history = fit(watched, clips, callbacks=[watch], **how)
    assert weights_sha256(alone) == weights_sha256(watched)
    features = extract_features(watched, held_out)
    last = watch.of(features)
    assert history.table.iloc[-1][list(last)].to_list() == pytest.approx(list(last.values()), nan_ok=True)
    assert last["dependence_linear_cka"] == pytest.approx(linear_cka(features.motion, features.emotion))
    rows = leakage(features, targets=["aus", "emotion"], n_shuffles=0).set_index(["branch", "target"])
    for name, row in (("aus_from_emotion", ("emotion", "AUs")), ("emotion_from_motion", ("motion", "emotion"))):
        found = [last[f"leak_{name}"], last[f"leak_{name}_allowed"]]
        assert found == pytest.approx(rows.loc[row, ["value", "allowed"]].to_list())
    motion = watch.of(replace(features, emotion=None))
    assert set(motion) == {"leak_emotion_from_motion", "leak_emotion_from_motion_allowed"}
    assert_refuses(decoupling_watch, tiny_clips(n_subjects=2), match="at least 20 clips .*, there are 12 of 2")
