"""Kept positions: SEVit's own, counted against chance, and drawn over the face."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import assert_refuses
from figure_contents import pictures, words
from tiny_clips import tiny_clips

import medn_lab as medn
from medn_lab import view
from medn_lab.diagnose import kept_tokens
from medn_lab.diagnose.attribution import random_model
from medn_lab.model import MEDN, MEDNConfig, as_inputs
from medn_lab.records import KeptTokens, Truth

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
    found.save(tmp_path / "kept")
    assert KeptTokens.load(tmp_path / "kept").to_frame().equals(frame)


def test_the_control_is_the_cover_of_random_models(found, model, clips):
    for draw in range(2):
        random = kept_tokens(random_model(model, seed=5 + draw), clips, truth=clips.truth, n_draws=0)
        np.testing.assert_array_equal(found.random_cover[:, :, draw], random.cover)
    frame, draws = found.to_frame(), found.random_cover[:7].mean(axis=0)
    of_draws = np.stack([draws.mean(axis=1), draws.min(axis=1), draws.max(axis=1)], axis=1)
    np.testing.assert_allclose(frame[["random_cover", "random_low", "random_high"]], of_draws, rtol=1e-6)
    turned = found.select(clips.table["clip_id"][::-1])
    np.testing.assert_array_equal(turned.random_cover, found.random_cover[::-1])


@pytest.mark.slow
def test_the_shipped_model_covers_the_cue_more_than_its_random_models_do(shipped):
    faces = medn.synthetic_clips(n_subjects=3, clips_per_subject=5, seed=5, n_jobs=1)
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
    bare = replace(clips, truth=None)
    without = pictures(view.plot_kept_tokens(found, "tiny0_s00_c01", clips=bare))[1]
    changed = np.abs(shown[1].astype(int) - without.astype(int)).max(axis=2) > 60
    edges = [values[place] for values in np.nonzero(changed) for place in (values.argmin(), values.argmax())]
    assert np.array(edges) / (shown[1].shape[0] / 32) == pytest.approx([8, 16, 12, 20], abs=1)
    last = words(view.plot_kept_tokens(found, "tiny0_s01_c03", clips=clips))
    assert any(text.endswith("no cue in this clip") for text in last)
    assert_refuses(view.plot_kept_tokens, found, "tiny0_s00_c01", clips=replace(clips, frames=None), match="no frames")
