"""Erasure, its effect on a network, counterfactual clips, and the shifts of the branches: against planted truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import torch
from cases import assert_refuses
from torch import nn

import medn_lab as medn
from medn_lab.diagnose import counterfactual_shift, dci, erase, erasure_effect
from medn_lab.model import MEDN, MEDNConfig, SEVitOutput
from medn_lab.records import BranchFeatures, Clips, Predictions
from medn_lab.synthme import allowed_emotions, counterfactual_clips

CHANGES = ("au", "intensity", "head", "person", "cue")


def planted(emotion: np.ndarray, aus: np.ndarray, *, n_subjects: int = 4, **columns: object) -> BranchFeatures:
    """Features of clips with these AUs."""
    n = len(emotion)
    table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(n)], "subject": [f"s{k % n_subjects}" for k in range(n)]})
    named = dict(zip(("AU4", "AU12", "AU14"), np.transpose(aus), strict=False))
    return BranchFeatures(emotion.copy(), emotion, emotion, table.assign(**named, **columns))


def leaking(n: int = 120, d: int = 6, *, seed: int = 0) -> BranchFeatures:
    """A feature that holds three AUs in mixed directions."""
    rng = np.random.default_rng(seed)
    aus = (rng.random((n, 3)) < 0.4).astype(float)
    return planted(rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + aus @ rng.normal(size=(3, d)), aus)


def covariance(features: BranchFeatures) -> np.ndarray:
    known = features.table[["AU4", "AU12", "AU14"]].dropna()
    x = features.emotion[known.index]
    return (x - x.mean(axis=0)).T @ (known - known.mean(axis=0)).to_numpy() / len(known)


def test_it_is_the_closed_form_of_the_paper_and_erasing_twice_changes_nothing_more():
    features = leaking()
    x = features.emotion - features.emotion.mean(axis=0)
    whiten = np.linalg.pinv(scipy.linalg.sqrtm(x.T @ x / len(x)))
    turned = whiten @ covariance(features)
    projection = np.linalg.pinv(whiten) @ turned @ np.linalg.pinv(turned) @ whiten
    erased = erase(features)
    np.testing.assert_allclose(erased.emotion, features.emotion - x @ projection.T, atol=1e-9)
    assert np.abs(covariance(features)).max() > 0.1 > 1e-8 > np.abs(covariance(erased)).max()
    assert erase(erased).source["erased"]["rank"] == 0


def test_columns_of_other_scales_copies_constants_names_and_clips_without_aus_are_erased_too():
    features, scales = leaking(), np.array([1e-4, 1e3, 1, 1, 1, 1])
    odd = np.column_stack([features.emotion * scales, features.emotion[:, 0], np.full(120, 3.0)])
    erased = erase(replace(features, emotion=odd))
    assert (np.abs(covariance(erased)) < 1e-8 * np.append(np.maximum(scales, 1), [1, 1])[:, None]).all()
    np.testing.assert_allclose(erased.emotion[:, 7], 3.0)
    assert erased.source["erased"] == {"what": "AUs", "branch": "emotion", "rank": 3, "width": 6, "n_fitted": 120}
    cue = np.array(["flush", "pallor", "still"])[np.arange(120) % 3]
    named = replace(features, table=features.table.assign(cue=cue))
    means = pd.DataFrame(erase(named, what="cue").emotion).groupby(cue).mean()
    np.testing.assert_allclose(means, np.tile(features.emotion.mean(axis=0), (3, 1)), atol=1e-8)
    # Clips whose AUs are not known are erased and not fitted to.
    table = features.table.assign(AU12=features.table["AU12"].mask(np.arange(120) % 4 == 0))
    some, known = erase(replace(features, table=table)), table["clip_id"][table["AU12"].notna()]
    assert some.source["erased"]["n_fitted"] == 90
    np.testing.assert_allclose(some.emotion, erase(features, fitted_to=features.select(known)).emotion)


class PlantedEmotion(nn.Module):
    """An emotion branch whose feature is the first pixels of the last frame."""

    def forward(self, frames: torch.Tensor) -> SEVitOutput:
        feature = frames[:, -1, 0, 0, :16].float()
        return SEVitOutput(feature, feature[:, None], feature.new_ones(len(feature), 1), feature[:, :1], ())


def network_that_reads(place: int) -> tuple[MEDN, Clips]:
    """Clips whose emotion feature holds AU12 in dimension 0 and the cue in dimension 1, and a network that answers by
    one of the two, which is the label."""
    rng, n = np.random.default_rng(0), 240
    held = rng.integers(0, 2, size=(n, 2))
    frames = rng.integers(0, 256, size=(n, 2, 32, 32, 3)).astype(np.uint8)
    frames[:, -1, 0, :2, 0] = 60 + 120 * held + rng.integers(0, 20, size=(n, 2))
    named = {"cue": np.array(["still", "flush"])[held[:, 1]], "label": np.array(["a", "b"])[held[:, place]]}
    aus = np.column_stack([rng.integers(0, 2, n), held[:, 0]]).astype(float)
    table = planted(np.zeros((n, 1)), aus, n_subjects=12, **named).table
    clips = Clips(frames, np.zeros((n, 32, 32, 2), np.float32), table)
    model = MEDN(MEDNConfig.for_clips(clips, dim=16, fusion="sum", decoupling="none")).eval()
    model.emotion_branch, model.head = PlantedEmotion(), nn.Linear(16, 2)
    with torch.no_grad():
        for value in (*model.motion_branch.parameters(), *model.head.parameters()):  # the motion branch adds nothing
            value.zero_()
        model.head.weight[:, place] = torch.tensor([-1.0, 1.0])
        model.head.bias[:] = torch.tensor([1.0, -1.0]) * 130 / 255
    return model, clips


def test_a_network_that_answers_by_the_aus_falls_to_chance_and_random_directions_do_not_do_that():
    model, clips = network_that_reads(0)
    row = erasure_effect(model, clips, n_directions=[1, None], n_draws=20).set_index("rank").loc[1]
    assert row["accuracy"] == 1.0
    assert row["accuracy_erased"] == pytest.approx(0.5, abs=0.1)
    assert row["excess_high"] < -0.2
    assert row["p"] == pytest.approx(1 / 21)
    assert row["left"] == pytest.approx(0, abs=0.1)
    assert row["change_low"] <= row["change"] == pytest.approx(-row["flipped"])
    assert (row["n_clips"], row["n_subjects"], row["width"], row["n_fitted"]) == (240, 12, 16, 180)
    same, other = (erasure_effect(model, clips, n_directions=[1], n_draws=20, seed=seed) for seed in (0, 1))
    assert same["random_change"].iloc[0] == row["random_change"] != other["random_change"].iloc[0]
    # Without a direction to spare or with few clips there is no excess but a reason.
    names = clips.table.assign(each=[f"kind {k % 20}" for k in range(240)])
    for some, what, size, fact in (
        (clips.select(clips.table["clip_id"][:48]), "AUs", 1, "48 clips"),
        (clips.where(subject=[f"s{k}" for k in range(5)]), "AUs", 1, "pairs"),
        (clips.with_table(names), "each", None, "all 16 directions"),
    ):
        row = erasure_effect(model, some, what=what, n_directions=[size], n_draws=20).iloc[-1]
        assert np.isnan([row["excess"], row["p"]]).all()
        assert fact in row["reason"]


def test_a_network_that_holds_the_aus_and_does_not_use_them_loses_no_more_than_at_random():
    model, clips = network_that_reads(1)
    found = erasure_effect(model, clips, n_directions=[1, 2], n_draws=20)
    assert (found["change"] > -0.05).all()
    assert (found["excess_high"] >= 0).all()
    assert erasure_effect(model, clips, what="cue", n_draws=20)["excess_high"].max() < -0.2


def test_the_answers_of_a_whole_network_are_passed_on_and_the_network_is_left_as_it_was(clips):
    model = MEDN(MEDNConfig.for_clips(clips, dim=16, fusion="cofm"), seed=1).train()
    before = medn.predict(model, clips)
    # A concept that does not vary.
    row = erasure_effect(model, clips.with_table(clips.table.assign(still=1.0)), what="still", n_draws=20).iloc[0]
    assert (row["rank"], row["change"], row["flipped"], row["random_change"]) == (0, 0, 0, 0)
    assert row["accuracy"] == medn.evaluate.accuracy(before.table["label"], before.predicted)
    assert all(module.training for module in model.modules())
    np.testing.assert_array_equal(medn.predict(model, clips).logits, before.logits)


@pytest.fixture(scope="module")
def drawn() -> Clips:
    return medn.synthetic_clips(n_subjects=2, clips_per_subject=2, cue="colour+timing", seed=11, n_jobs=1)


@pytest.fixture(scope="module")
def changed(drawn) -> dict[str, Clips]:
    return {change: counterfactual_clips(drawn, change=change, n_jobs=1) for change in CHANGES}


# Columns of table and truth that a change of each factor may change.
MAY_DIFFER = {
    "au": {"action_units", "side", "intensities", "peak_px128", "label", "emotion"},
    "intensity": {"intensities", "peak_px128"},
    "head": {"head_x_px128", "head_y_px128", "head_degrees"},
    "person": {"subject", "identity"},
    "cue": {"cue", "label", "emotion"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_only_the_factor_differs_in_table_and_truth(drawn, changed, change):
    new = changed[change]
    assert new.table["clip_id"].tolist() == drawn.table["clip_id"].tolist()
    assert (new.table["changed"] == change).all()
    assert (new.table["changed_from"] != new.table["changed_to"]).all()
    aus = set(drawn.aus) if change == "au" else set()
    for one, other in ((drawn.table, new.table), (drawn.truth.table, new.truth.table)):
        assert {name for name in one if not one[name].equals(other[name])} <= MAY_DIFFER[change] | aus
    moved = (new.truth.displacement != drawn.truth.displacement).any(axis=(1, 2, 3))
    assert set(moved) == {change in ("au", "intensity", "person")}
    assert (new.truth.cue_course == drawn.truth.cue_course).all() == (change != "cue")
    assert (new.frames != drawn.frames).any(axis=(1, 2, 3, 4)).all()
    # Nothing has happened at the onset, so its picture is the same, noise and all.
    assert (new.frames[:, 0] == drawn.frames[:, 0]).all() == (change != "person")


def test_an_intensity_moves_as_far_as_it_says_and_a_head_that_is_still_cannot_be_changed():
    still = medn.synthetic_clips(n_subjects=1, clips_per_subject=9, n_frames=2, noise=0, seed=11, n_jobs=1)
    new = counterfactual_clips(still, change="intensity", n_jobs=1)
    alone = ~still.table["action_units"].str.contains("+", regex=False)
    before, after = (one.truth.displacement.astype(float)[alone] for one in (still, new))
    old, peaks = (one.truth.table["peak_px128"][alone] for one in (still, new))
    scale = (before * after).sum(axis=(1, 2, 3)) / (before**2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(scale, peaks / old, rtol=0.01)
    ranges = np.array([medn.synthme.actions.PEAK_PIXELS[level[-1]] for level in new.table["changed_to"][alone]])
    assert ((ranges[:, 0] <= peaks) & (peaks <= ranges[:, 1])).all()
    assert_refuses(counterfactual_clips, still, change="head", match="head")


def test_one_au_is_switched_another_person_is_new_and_the_label_is_the_tables(drawn, changed):
    new, sets = changed["au"], set(medn.synthme.emotion_table()["action_units"])
    for place, (old, now) in enumerate(zip(drawn.table["action_units"], new.table["action_units"], strict=True)):
        gone, come = set(old.split("+")) - set(now.split("+")), set(now.split("+")) - set(old.split("+"))
        assert (len(gone), len(come)) in ((0, 1), (1, 0), (1, 1))
        assert now in sets or old == "23+24"
        assert new.truth.table["distractors"][place] not in now.split("+")
    for row in [*new.table.to_dict("records"), *changed["cue"].table.to_dict("records")]:
        given = allowed_emotions(row["action_units"], cue=row["cue"])
        assert row["label"] == (given.idxmax() if given.max() == 1 else None)
    more = medn.synthetic_clips(n_subjects=4, clips_per_subject=1, n_frames=2, cue="colour+timing", seed=11)
    new = changed["person"].truth
    assert new.subjects == more.truth.subjects[2:]
    np.testing.assert_array_equal(new.au_masks, more.truth.au_masks[2:])
    # A selection in another order gives the same pairs.
    some = drawn.select(drawn.table["clip_id"][[3, 0, 2]])
    new, whole = counterfactual_clips(some, change="cue", n_jobs=1), changed["cue"].select(some.table["clip_id"])
    pd.testing.assert_frame_equal(new.table, whole.table)
    np.testing.assert_array_equal(new.frames, whole.frames)


def shift_of(before: BranchFeatures, after: BranchFeatures, **options: object) -> pd.DataFrame:
    return counterfactual_shift(before, {"cue": after}, **options).set_index("branch")


def test_a_shift_in_closed_form_that_no_rotation_scale_or_order_changes():
    features, rng = leaking(200, 4), np.random.default_rng(1)
    far = np.array([1.0, -2.0, 0.5, 3.0])
    spread = np.sqrt(features.emotion.var(axis=0, ddof=1).sum())
    new = replace(features, emotion=features.emotion + far).select(features.table["clip_id"][::-1])
    found = shift_of(features, new)
    assert found.loc["emotion", "value"] == pytest.approx(np.linalg.norm(far) / spread)
    assert found.loc["motion", "value"] == 0
    assert found.loc["emotion", ["n_clips", "n_subjects"]].to_list() == [200, 4]
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0] * 7
    turned = [replace(one, emotion=one.emotion @ turn + 3) for one in (features, new)]
    assert shift_of(*turned).loc["emotion", "value"] == pytest.approx(found.loc["emotion", "value"])
    other = replace(features, emotion=features.emotion[rng.permutation(200)])  # another clip in exchange
    assert shift_of(features, other).loc["emotion", "value"] == pytest.approx(np.sqrt(2), abs=0.1)


def test_the_direction_is_that_of_the_branchs_own_factor_and_changed_answers_are_counted():
    features = leaking(40)
    found = counterfactual_shift(features, dict.fromkeys(CHANGES, features))
    wanted = found.set_index(["factor", "branch"])["direction"].unstack()
    motion = {"au": "higher", "intensity": "", "head": "lower", "person": "lower", "cue": "lower"}
    assert wanted["motion"].to_dict() == motion
    assert wanted["emotion"].to_dict() == {**dict.fromkeys(CHANGES, "lower"), "cue": "higher"}
    assert (wanted["fused"] == "").all()
    before = Predictions(np.eye(2)[np.zeros(40, int)], features.table, ("a", "b"))
    after = replace(before, logits=np.eye(2)[(np.arange(40) < 10).astype(int)])
    row = shift_of(features, features, predictions=before, changed_predictions={"cue": after}).loc["answer"]
    assert (row["value"], row["n_clips"], row["n_subjects"]) == (0.25, 40, 4)
    assert 0 < row["low"] < 0.25 < row["high"] < 1


@pytest.mark.slow
def test_an_interval_over_subjects_holds_the_shift_of_other_subjects():
    rng, held, n = np.random.default_rng(0), 0, 120
    for _ in range(n):
        features = planted(rng.normal(size=(160, 3)), np.empty((160, 0)), n_subjects=8)
        by_subject = rng.uniform(0.5, 1.5, size=8)[np.arange(160) % 8]
        new = replace(features, emotion=features.emotion + np.array([[1.0, 0, 0]]) * by_subject[:, None])
        low, high = shift_of(features, new, n_resamples=100).loc["emotion", ["low", "high"]]
        held += low <= np.sqrt((1 + 1 / 12) / 3) <= high
    assert held / n == pytest.approx(0.95, abs=0.04)


def test_one_clip_needs_a_reference_a_constant_branch_has_a_reason_and_other_clips_a_sentence():
    features = leaking(40)
    one, still = features.select(["c0"]), replace(features, emotion=np.ones((40, 3)))
    row = shift_of(one, replace(one, emotion=one.emotion + 1), reference=features).loc["emotion"]
    assert row["value"] == pytest.approx(np.sqrt(6 / features.emotion.var(axis=0, ddof=1).sum()))
    assert np.isnan(row["low"])
    assert "constant" in shift_of(still, still).loc["emotion", "reason"]
    for before, after, fact in ((features, still, "width"), (one, features, "not in"), (features, one, "one clip")):
        assert_refuses(shift_of, before, after, match=fact)


def scores(motion: dict[str, float], emotion: dict[str, float]) -> pd.DataFrame:
    """The scores of features of which each factor moves each branch by some length."""
    rng, step, changed = np.random.default_rng(0), np.array([[1.0, 0, 0]]), {}
    features = planted(rng.normal(size=(60, 3)), np.empty((60, 0)))
    for factor in motion:
        parts = features.motion + motion[factor] * step, features.emotion + emotion[factor] * step
        changed[factor] = replace(features, motion=parts[0], emotion=parts[1])
    return dci(features, changed).set_index(["score", "branch", "factor"]).sort_index()


def test_scores_and_weights_between_are_those_of_the_paper_and_an_unmoved_branch_has_none():
    found = scores({"au": 3, "cue": 1}, {"au": 1, "cue": 2})["value"]
    importance = found["importance"].unstack()
    assert importance.loc["motion", "au"] / importance.loc["motion", "cue"] == pytest.approx(9)
    of_motion, of_emotion = (1 + (p * np.log2(p) + (1 - p) * np.log2(1 - p)) for p in (0.9, 0.8))
    assert found["disentanglement", "motion", "all"] == pytest.approx(of_motion)
    assert found["disentanglement", "emotion", "all"] == pytest.approx(of_emotion)
    assert found["completeness", "all", "au"] == pytest.approx(of_motion)
    weights = importance.sum(axis=1)
    total = (weights["motion"] * of_motion + weights["emotion"] * of_emotion) / weights.sum()
    assert found["disentanglement", "all", "all"] == pytest.approx(total)
    found = scores({"au": 1, "cue": 0}, {"au": 0, "cue": 0})
    assert np.isnan(found["value"]["disentanglement", "emotion", "all"])
    assert found["value"]["disentanglement", "all", "all"] == pytest.approx(1)  # what is not moved has no weight
    assert found.loc[found["value"].isna(), "reason"].str.len().min() > 0


def test_informativeness_is_the_auc_of_a_factor_from_both_branches_together():
    rng = np.random.default_rng(0)
    aus, cue = rng.integers(0, 2, 60) * 1.0, rng.integers(0, 2, 60)
    features = planted(rng.normal(size=(60, 3)), aus[:, None])
    both = {"motion": aus[:, None] + 0.01 * features.motion, "emotion": cue[:, None] + 0.01 * features.emotion}
    features = replace(features, table=features.table.assign(AU4=aus, cue=np.array(["still", "flush"])[cue]), **both)
    found = dci(features, {"au": features, "cue": features}).query("score == 'informativeness'").set_index("factor")
    assert found["value"].to_dict() == pytest.approx({"au": 1, "cue": 1})
