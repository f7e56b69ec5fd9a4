"""What a model looks at in a clip: SEVit's kept positions, counted against chance, and drawn over the face.

Maps on demand and of pairs are those of the methods, made once; and branches swapped between two clips.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from cases import assert_refuses
from figure_contents import pictures, words
from tiny_clips import tiny_clips

from medn_lab import diagnose, view
from medn_lab.diagnose import Attributor, attribute_pair, kept_tokens, pair_attributor, pair_swapper, swap_branches
from medn_lab.diagnose.attribution import random_model
from medn_lab.evaluate import predict
from medn_lab.model import MEDN, MEDNConfig, as_inputs
from medn_lab.records import KeptTokens, Truth
from medn_lab.synthme import synthetic_clips

RATES = (0.5, 0.25, 0.125)


@pytest.fixture(scope="module")
def clips():
    """Clips with truth: what reddens is the patch at rows 8-16, columns 12-20; the last clip has no cue."""
    clips = tiny_clips(n_subjects=2, clips_per_subject=4)
    subjects = tuple(clips.table["subject"].unique())
    cue, au = np.zeros((2, 32, 32), dtype=bool), np.zeros((2, 2, 32, 32), dtype=bool)
    cue[:, 8:16, 12:20] = au[:, 0, 20:28, 8:16] = au[:, 1, 20:28, 20:28] = True
    course = np.ones((8, 8), np.float32)
    course[-1] = 0
    table, displacement = clips.table[["clip_id", "subject"]], np.zeros((8, 32, 32, 2), np.float16)
    return replace(clips, truth=Truth(table, displacement, au, cue, course, subjects, ("AU12", "AU14")))


@pytest.fixture(scope="module")
def model(clips):
    return MEDN(MEDNConfig.for_clips(clips, dim=32, patch=8, keep_rates=RATES), seed=1)


@pytest.fixture(scope="module")
def found(model, clips):
    return kept_tokens(model, clips, truth=clips.truth, n_draws=2, seed=5, batch_size=3)


def test_masks_are_the_positions_that_the_branch_kept_the_highest_of_the_ranking(found, model, clips):
    with torch.no_grad():
        output = model.eval().emotion_branch(as_inputs(model.config, clips, rows=np.arange(8)).frames)
    np.testing.assert_allclose(found.scores.reshape(8, 16), output.scores.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.mix.sum(axis=1), 1, rtol=1e-5)
    assert found.kept_shares == RATES
    for scale, places in enumerate(output.kept):
        for row in range(8):
            kept = set(np.flatnonzero(found.masks[row, scale]))
            assert kept == set(places[row].tolist()) == set(np.argsort(-output.scores[row].numpy())[: len(kept)])


def test_cover_is_the_share_of_the_region_in_kept_patches_where_it_is_planted(found, model, clips):
    small = MEDN(replace(model.config, patch=4, keep_rates=(0.25,)), seed=1)
    region = clips.truth.cue_mask[0, 0]
    for own, side in ((found, 8), (kept_tokens(small, clips, truth=clips.truth, n_draws=0), 4)):
        kept = np.kron(own.masks, np.ones((1, 1, side, side))) > 0
        np.testing.assert_allclose(own.cover[:7], (kept & region).sum(axis=(2, 3))[:7] / region.sum())
        assert np.isnan(own.cover[-1]).all()
    frame = found.to_frame()
    # The measured part of the score finds the reddening patch before anything is learned.
    assert (frame["cover"] > frame["chance"]).all()
    assert frame["n_clips"].tolist() == [7, 7, 7]
    of_au = kept_tokens(model, clips, truth=clips.truth, region="AU12", n_draws=0).to_frame()
    assert of_au["n_clips"].tolist() == [4, 4, 4]
    assert kept_tokens(model, clips).to_frame()["random_cover"].isna().all()  # without truth, and without a warning


def test_each_kind_of_cue_has_its_own_region_and_its_own_rows(model, clips, tmp_path):
    kinds = np.array(["timing", "colour", "timing", "colour", "timing", "timing", "colour", "colour"])
    masks = np.concatenate([clips.truth.cue_mask, np.roll(clips.truth.cue_mask, 16, axis=2)], axis=1)
    table = clips.truth.table.assign(cue_kind=kinds)
    both = replace(clips.truth, table=table, cue_mask=masks, cue_kinds=("colour", "timing"))
    found = kept_tokens(model, replace(clips, truth=both), truth=both, n_draws=1)
    rows, first = np.arange(7), np.where(kinds == "colour", 1, 3)[:7]
    expected = 0.5 * found.masks[rows, :, first, 1] + 0.5 * found.masks[rows, :, first, 2]
    np.testing.assert_allclose(found.cover[:7], expected)
    frame = found.to_frame()
    assert frame["cue_kind"].tolist() == ["colour"] * 3 + ["timing"] * 3
    assert frame["n_clips"].tolist() == [3] * 3 + [4] * 3, "the last clip, of colour, has no cue"
    np.testing.assert_allclose(frame["cover"][3:], found.cover[kinds == "timing"].mean(axis=0))
    assert KeptTokens.load(found.save(tmp_path / "kept")).to_frame().equals(frame)


def test_the_control_is_the_cover_of_random_models(found, model, clips):
    for draw in range(2):
        random = kept_tokens(random_model(model, seed=5 + draw), clips, truth=clips.truth, n_draws=0)
        np.testing.assert_array_equal(found.random_cover[:, :, draw], random.cover)
    frame, draws = found.to_frame(), found.random_cover[:7].mean(axis=0)
    of_draws = np.stack([draws.mean(axis=1), draws.min(axis=1), draws.max(axis=1)], axis=1)
    np.testing.assert_allclose(frame[["random_cover", "random_low", "random_high"]], of_draws, rtol=1e-6)
    np.testing.assert_array_equal(found.select(clips.table["clip_id"][::-1]).random_cover, found.random_cover[::-1])


@pytest.mark.slow
def test_the_shipped_model_covers_the_cue_more_than_its_random_models_do(shipped):
    faces = synthetic_clips(n_subjects=3, clips_per_subject=5, seed=5, n_jobs=1)
    frame = kept_tokens(shipped, faces, truth=faces.truth, n_draws=2).to_frame()
    assert (frame["cover"] > frame["random_cover"]).all()
    assert (frame["random_cover"] > frame["chance"]).all()  # a part of the ranking is measured and not learned


def test_an_emotion_branch_alone_will_do_and_a_dense_one_covers_everything(clips):
    config = MEDNConfig.for_clips(clips, dim=32, patch=8, branches="emotion", keep_rates=(1.0,))
    alone = MEDN(config).train()
    found = kept_tokens(alone, replace(clips, flow=None), truth=clips.truth, region="AUs", n_draws=1)
    np.testing.assert_array_equal(found.cover, 1)
    np.testing.assert_array_equal(found.random_cover, 1)  # whatever the weights
    assert alone.training
    assert_refuses(kept_tokens, MEDN(replace(config, branches="motion")), clips, match="motion branch")
    assert_refuses(kept_tokens, alone, replace(clips, frames=None), match="no frames")
    assert_refuses(kept_tokens, alone, clips, truth=clips.truth, region="AU99", match="'AU99'.*cue, AUs, AU12, AU14")


def test_the_picture_darkens_dropped_positions_and_draws_a_line_around_the_region(found, clips):
    figure = view.plot_kept_tokens(found, "tiny0_s00_c01", clips=clips)
    shown = pictures(figure)
    assert any(f"{found.cover[1, 1]:.0%} of the cue, chance 25%" in text for text in words(figure))
    for picture, mask in zip(shown[1:], found.masks[1], strict=True):
        side = picture.shape[0] // 4
        cells = picture.astype(float).mean(axis=2).reshape(4, side, 4, side).mean(axis=(1, 3))
        assert cells[mask].min() > cells[~mask].max() + 30
    without = pictures(view.plot_kept_tokens(found, "tiny0_s00_c01", clips=replace(clips, truth=None)))[1]
    changed = np.abs(shown[1].astype(int) - without.astype(int)).max(axis=2) > 60
    edges = [values[place] for values in np.nonzero(changed) for place in (values.argmin(), values.argmax())]
    assert np.array(edges) / (shown[1].shape[0] / 32) == pytest.approx([8, 16, 12, 20], abs=1)
    last = words(view.plot_kept_tokens(found, "tiny0_s01_c03", clips=clips))
    assert any(text.endswith("no cue in this clip") for text in last)
    assert_refuses(view.plot_kept_tokens, found, "tiny0_s00_c01", clips=replace(clips, frames=None), match="no frames")


# --- maps on demand and of pairs, branches swapped between two clips --------------------------------------------------


PAIR = ("tiny0_s00_c00", "tiny0_s00_c02")  # one AU, reddened and paled
STEPS = {"n_steps": 4}


def model_of(branches="both", **config):
    config = {"size": 32, "dim": 32, "patch": 8, "classes": ("happiness", "others"), "aus": ("AU12", "AU14"), **config}
    return MEDN(MEDNConfig(branches=branches, **config), seed=3)


@pytest.fixture(scope="module")
def make(model, clips):
    return Attributor(model, clips, params={"integrated_gradients": STEPS}, n_checked=3)


def test_a_map_is_that_of_its_method(make, model, clips):
    clip_id = clips.table["clip_id"][5]
    for method, options in (("integrated_gradients", STEPS), ("grad_cam", {}), ("frame_ablation", {})):
        own = getattr(diagnose, method)(model, clips.select([clip_id]), target="happiness", **options)
        found = make(clip_id, target="happiness", method=method)
        np.testing.assert_allclose(found.frames, own.frames, rtol=1e-4, atol=1e-7)
        assert found.sanity.keys() >= own.sanity.keys()


def test_a_map_is_made_once_and_a_limited_number_is_remembered(model, clips, monkeypatch):
    monkeypatch.setattr("medn_lab.diagnose.attribution_pairs.REMEMBERED", 2)
    make, how, ids = Attributor(model, clips), {"target": "gate", "method": "bare_change"}, clips.table["clip_id"]
    first, second = (make(clip_id, **how) for clip_id in ids[:2])
    assert make(ids[0], **how) is first
    make(ids[2], **how)  # and the one that was shown longest ago is forgotten
    assert make(ids[0], **how) is first
    assert make(ids[1], **how) is not second


def test_a_check_adds_the_slow_figures_once_for_a_target_and_method(make, model, clips):
    clip_id, how = clips.table["clip_id"][0], {"target": "happiness", "method": "saliency"}
    checked, one = make.check(clip_id, **how), clips.select([clip_id])
    own = diagnose.check_attribution(diagnose.saliency(model, one, target="happiness"), model=model, clips=one)
    table = clips.table[clips.table["clip_id"] != clip_id]
    others = table[table["label"] == "happiness"].drop_duplicates("subject")["clip_id"][:2]  # of different persons
    random = diagnose.randomisation_check(model, clips.select([clip_id, *others]), n_draws=1, **how)
    alike = random.set_index("input")[["spearman", "spearman_absolute"]].max(axis=1)
    expected = {name: own.sanity[name] for name in ("infidelity", "sensitivity")}
    expected |= {"randomised_frames": alike["frames"], "randomised_flow": alike["flow"]}
    expected |= {"randomised_threshold": 0.5, "randomised_clips": 3}
    assert {name: checked.sanity[name] for name in expected} == pytest.approx(expected, rel=1e-2, abs=1e-3)
    assert make(clip_id, **how) is checked
    again = make.check(clips.table["clip_id"][3], **how).sanity  # of the same three clips
    assert again["randomised_frames"] == checked.sanity["randomised_frames"]


def test_the_planted_mass_is_measured_with_its_area():
    clips = synthetic_clips(n_subjects=1, clips_per_subject=3, seed=2, n_jobs=1)
    make = Attributor(MEDN(MEDNConfig(dim=32), seed=1), clips)
    row = clips.table[clips.table["cue"] != "still"].iloc[0]
    au = next(au for au in clips.aus if row[au] == 1)
    found, of_au = (make(row["clip_id"], target=target, method="saliency") for target in ("happiness", au))
    for maps, of, region in ((found, "frames", "cue"), (found, "flow", "AUs"), (of_au, "flow", au)):
        mass = diagnose.planted_mass(maps, truth=clips.truth, region=region, of=of)
        figures = (maps.sanity[f"planted_{of}"], maps.sanity[f"area_{of}"])
        assert figures == pytest.approx((mass["share"][0], mass["chance"][0]))
    assert "planted_frames" not in make(row["clip_id"], target="happiness", method="frame_ablation").sanity
    assert make.kept(row["clip_id"]).cover is not None


def test_a_model_or_clips_of_one_input_have_their_methods_alone_and_others_are_refused(make, model, clips):
    clip_id = clips.table["clip_id"][0]
    for one in (Attributor(model_of("motion"), clips), Attributor(model, replace(clips, frames=None))):
        assert one(clip_id, target="AU12", method="saliency").frames is None
        assert "frame_ablation" not in one.methods
        assert one.kept(clip_id) is None
    same = clips.table.loc[clips.table["label"] == clips.table["label"][0], "clip_id"].iloc[1]
    assert_refuses(make, clip_id, target="joy", method="magic", match="'magic'")
    assert_refuses(make, clip_id, partner=same, match="both are")
    assert_refuses(Attributor, model, clips, params={"magic": {}}, match="'magic'")


def test_the_maps_add_up_to_how_far_apart_the_model_puts_the_clips(clips):
    # Dense, so that stillness looks the same on every face and the baselines fall out of the difference.
    pair = ["tiny0_s00_c00", "tiny0_s01_c01"]
    found = attribute_pair(model_of(keep_rates=(1.0,)), clips, clip_a=pair[0], clip_b=pair[1])
    labels = clips.table.set_index("clip_id")["label"]
    assert (found.target, found.table["clip_id"].tolist()) == (f"{labels[pair[0]]} - {labels[pair[1]]}", pair)
    assert found.baseline_scores[0] == pytest.approx(found.baseline_scores[1], abs=1e-3)
    apart = float((found.scores - found.baseline_scores) @ [1, -1])
    assert found.totals[0] - found.totals[1] == pytest.approx(apart, abs=0.05 * abs(apart) + 1e-3)


def test_every_function_of_two_ids_gives_what_the_functions_of_clips_give(make, model, clips):
    swap, attribute = pair_swapper(model, clips), pair_attributor(model, clips, method="saliency")
    assert swap(*PAIR).equals(swap_branches(model, clips, clip_a=PAIR[0], clip_b=PAIR[1]))
    own = attribute_pair(model, clips, clip_a=PAIR[0], clip_b=PAIR[1], method="saliency")
    for found in (attribute(*PAIR), make(PAIR[0], partner=PAIR[1], method="saliency")):
        np.testing.assert_array_equal(found.frames, own.frames)
    assert make(PAIR[0], partner=PAIR[1], method="saliency", target="whatever") is found


def test_unmixed_and_mixed_rows_are_the_models_scores_of_such_clips(model, clips):
    found = swap_branches(model, clips, clip_a=PAIR[0], clip_b=PAIR[1])
    assert found[["frames_of", "flow_of"]].agg("".join, axis=1).tolist() == ["aa", "ab", "ba", "bb"]
    assert found.attrs["label_a"] == "happiness"
    own, unmixed = predict(model, clips.select(PAIR)), found.iloc[[0, 3]]
    assert unmixed["margin"].to_numpy() == pytest.approx(own.logits[:, 0] - own.logits[:, 1], abs=1e-5)
    assert unmixed[["p_happiness", "p_others"]].to_numpy() == pytest.approx(own.probabilities, abs=1e-5)
    assert unmixed["predicted"].tolist() == own.predicted.tolist()
    mixed = predict(model, replace(clips.select(PAIR), flow=clips.select(PAIR[::-1]).flow)).logits
    assert found["margin"].iloc[1:3].to_numpy() == pytest.approx(mixed[:, 0] - mixed[:, 1], abs=1e-5)
    back = swap_branches(model, clips, clip_a=PAIR[1], clip_b=PAIR[0])
    whole = found["margin"].iloc[0] - found["margin"].iloc[3]
    assert found.attrs["motion"] + found.attrs["emotion"] == pytest.approx(whole, abs=1e-6)
    assert back.attrs["motion"] == pytest.approx(found.attrs["motion"], abs=1e-5)


def test_a_branch_that_the_head_does_not_read_adds_nothing_and_the_mode_stays(clips):
    model = model_of(fusion="sum").train()
    # The sum of a motion feature that is always zero and the emotion feature: only the frames are read.
    with torch.no_grad():
        for value in model.motion_branch.parameters():
            value.zero_()
    found = swap_branches(model, clips, clip_a=PAIR[0], clip_b=PAIR[1])
    assert found.attrs["motion"] == pytest.approx(0, abs=1e-6)
    assert abs(found.attrs["emotion"]) > 1e-4
    assert model.training


def test_what_cannot_be_swapped_is_refused(model, clips):
    unlabelled = clips.with_table(clips.table.assign(label=[None, *clips.table["label"].iloc[1:]]))
    refuses = partial(assert_refuses, swap_branches, clip_a=PAIR[0], clip_b=PAIR[1])
    refuses(model_of("motion"), clips, match="motion branch alone")
    refuses(model, replace(clips, flow=None), match="no flow")
    refuses(model, unlabelled, match="1 of 2 clips")
    refuses(model, clips.with_table(clips.table.replace({"label": {"others": "awe"}})), match="awe")
