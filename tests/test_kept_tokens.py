"""Kept positions: SEVit's own, counted against chance, and drawn over the face."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from figure_contents import pictures, words
from slow_cases import mostly_slow
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
    return planted(tiny_clips(n_subjects=2, clips_per_subject=4))


@pytest.fixture(scope="module")
def model(clips):
    return MEDN(MEDNConfig.for_clips(clips, dim=32, patch=8, keep_rates=RATES), seed=1)


@pytest.fixture(scope="module")
def found(model, clips):
    return kept_tokens(model, clips, truth=clips.truth, n_draws=1)


def planted(clips):
    """The clips with truth: what reddens is the patch at rows 8-16, columns 12-20; the last clip has no cue."""
    subjects = tuple(clips.table["subject"].unique())
    cue = np.zeros((len(subjects), 32, 32), dtype=bool)
    cue[:, 8:16, 12:20] = True
    au = np.zeros((len(subjects), 2, 32, 32), dtype=bool)
    au[:, 0, 20:28, 8:16] = True
    au[:, 1, 20:28, 20:28] = True
    course = np.ones((len(clips), 8), np.float32)
    course[-1] = 0
    truth = Truth(
        clips.table[["clip_id", "subject"]], np.zeros((len(clips), 32, 32, 2), np.float16), au, cue, course, subjects,
        ("AU12", "AU14"),
    )  # fmt: skip
    return replace(clips, truth=truth)


def test_masks_are_the_positions_that_the_branch_kept_and_each_rate_a_beginning_of_the_ranking(model, clips):
    found = kept_tokens(model, clips, batch_size=3)
    assert found.masks.shape == (8, 3, 4, 4)
    assert found.masks.sum(axis=(2, 3)).tolist() == [[8, 4, 2]] * 8
    with torch.no_grad():
        output = model.eval().emotion_branch(as_inputs(model.config, clips, rows=np.arange(8)).frames)
    for scale, places in enumerate(output.kept):
        for row in range(8):
            assert set(np.flatnonzero(found.masks[row, scale])) == set(places[row].tolist())
    np.testing.assert_allclose(found.scores.reshape(8, 16), output.scores.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.mix.sum(axis=1), 1, rtol=1e-5)
    assert (np.diff(found.masks.astype(int), axis=1) <= 0).all()
    lowest_kept = np.where(found.masks[:, 0], found.scores, np.inf).min(axis=(1, 2))
    highest_dropped = np.where(found.masks[:, 0], -np.inf, found.scores).max(axis=(1, 2))
    assert (lowest_kept >= highest_dropped).all()


def test_cover_is_the_share_of_the_region_in_kept_patches_where_it_is_planted(found, model, clips):
    # Rows 8-16 are the grid's second row; columns 12-20 are half of its second and half of its third column.
    expected = 0.5 * found.masks[:7, :, 1, 1] + 0.5 * found.masks[:7, :, 1, 2]
    np.testing.assert_allclose(found.cover[:7], expected)
    assert found.kept_shares == (0.5, 0.25, 0.125)
    assert np.isnan(found.cover[-1]).all()
    assert "in 7 clips" in repr(found)
    frame = found.to_frame()
    # The measured part of the score finds the reddening patch before anything is learned.
    assert (frame["cover"] > frame["chance"]).all()
    assert frame["n_clips"].tolist() == [7, 7, 7]
    assert kept_tokens(model, clips, truth=clips.truth, region="AU12").to_frame()["n_clips"].tolist() == [4, 4, 4]
    still = clips.select(clips.table["clip_id"][-1:])
    assert "planted in none" in repr(kept_tokens(model, still, truth=still.truth))


@pytest.mark.parametrize("patch", mostly_slow([2, 4, 16]))
def test_cover_and_picture_follow_the_size_of_a_position(clips, patch):
    small = MEDN(MEDNConfig.for_clips(clips, dim=32, patch=patch, keep_rates=(0.25,)), seed=1)
    found = kept_tokens(small, clips, truth=clips.truth)
    grid = 32 // patch
    assert found.masks.shape == (8, 1, grid, grid)
    assert found.kept_shares == (0.25,)
    region = np.zeros((32, 32), dtype=bool)
    region[8:16, 12:20] = True
    for row in range(7):
        kept = np.kron(found.masks[row, 0], np.ones((patch, patch))) > 0
        assert found.cover[row, 0] == pytest.approx((kept & region).sum() / region.sum())
    said = words(view.plot_kept_tokens(found, "tiny0_s00_c01", clips=clips))
    assert f"<b>keep 0.25</b> · {grid * grid // 4} of {grid * grid}" in said
    assert f"weight 1.00<br>{found.cover[1, 0]:.0%} of the cue, chance 25%" in said


def test_each_kind_of_cue_has_its_own_region_and_its_own_rows(model, clips, tmp_path):
    kinds = ["timing", "colour", "timing", "colour", "timing", "timing", "colour", "colour"]
    red = clips.truth.cue_mask
    masks = np.concatenate([red, np.roll(red, 16, axis=2)], axis=1)
    both = replace(
        clips.truth, table=clips.truth.table.assign(cue_kind=kinds), cue_mask=masks, cue_kinds=("colour", "timing")
    )
    found = kept_tokens(model, replace(clips, truth=both), truth=both)
    rows, first = np.arange(7), np.array([1 if kind == "colour" else 3 for kind in kinds[:-1]])
    expected = 0.5 * found.masks[rows, :, first, 1] + 0.5 * found.masks[rows, :, first, 2]
    np.testing.assert_allclose(found.cover[:7], expected)
    frame = found.to_frame()
    assert frame["cue_kind"].tolist() == ["colour"] * 3 + ["timing"] * 3
    assert frame["keep_rate"].tolist() == [*RATES, *RATES]
    assert frame["n_clips"].tolist() == [3] * 3 + [4] * 3, "the last clip, of colour, has no cue"
    of_timing = np.array(kinds) == "timing"
    np.testing.assert_allclose(frame["cover"][3:], found.cover[of_timing].mean(axis=0))
    np.testing.assert_allclose(frame["mix"][3:], found.mix[of_timing].mean(axis=0), rtol=1e-6)
    found.save(tmp_path / "kept")
    assert KeptTokens.load(tmp_path / "kept").to_frame().equals(frame)
    assert "cue_kind" not in kept_tokens(model, clips, truth=both, region="AU12").to_frame()


def test_the_control_is_the_cover_of_random_models(model, clips, tmp_path):
    found = kept_tokens(model, clips, truth=clips.truth, n_draws=3, seed=5)
    assert found.random_cover.shape == (8, 3, 3)
    for draw in range(3):
        random = kept_tokens(random_model(model, seed=5 + draw), clips, truth=clips.truth, n_draws=0)
        np.testing.assert_array_equal(found.random_cover[:, :, draw], random.cover)
        assert random.random_cover is None
    frame, draws = found.to_frame(), found.random_cover[:7].mean(axis=0)
    np.testing.assert_allclose(frame["random_cover"], draws.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(frame["random_low"], draws.min(axis=1), rtol=1e-6)
    np.testing.assert_allclose(frame["random_high"], draws.max(axis=1), rtol=1e-6)
    assert frame["n_draws"].tolist() == [3] * 3
    assert f"random model {draws[0].mean():.3f}" in repr(found)
    found.save(tmp_path / "kept")
    again = KeptTokens.load(tmp_path / "kept").select(clips.table["clip_id"][::-1])
    np.testing.assert_array_equal(again.random_cover, found.random_cover[::-1])
    alone = kept_tokens(model, clips, truth=clips.truth, n_draws=0).to_frame()
    assert alone["n_draws"].tolist() == [0] * 3
    assert alone[["random_cover", "random_low", "random_high"]].isna().all(axis=None)


@pytest.mark.slow
def test_the_shipped_model_covers_the_cue_more_than_its_random_models_do(shipped):
    faces = medn.synthetic_clips(n_subjects=4, clips_per_subject=6, seed=5, n_jobs=1)
    frame = kept_tokens(shipped, faces, truth=faces.truth).to_frame()
    assert (frame["cover"] > frame["random_cover"]).all()
    assert (frame["random_cover"] > frame["chance"]).all()  # a part of the ranking is measured and not learned


def test_a_dense_network_and_its_control_cover_everything(clips):
    dense = MEDN(MEDNConfig.for_clips(clips, dim=32, patch=8, keep_rates=(1.0,)))
    found = kept_tokens(dense, clips, truth=clips.truth, region="AUs")
    np.testing.assert_array_equal(found.cover, 1)
    np.testing.assert_array_equal(found.random_cover, 1)  # whatever the weights
    assert found.kept_shares == (1.0,)
    assert found.to_frame()["covers_more_often"].tolist() == [0.0]


def test_an_emotion_branch_alone_will_do_and_the_model_is_left_as_it_was(clips):
    config = MEDNConfig.for_clips(clips, dim=32, patch=8, branches="emotion", keep_rates=(0.5,))
    alone = MEDN(config).train()
    assert kept_tokens(alone, replace(clips, flow=None)).masks.shape == (8, 1, 4, 4)
    assert alone.training
    assert not any(module._forward_hooks for module in alone.modules())


def test_what_cannot_be_measured_is_refused(model, clips):
    motion = MEDN(MEDNConfig.for_clips(clips, dim=32, branches="motion"))
    for given, options, facts in (
        ((motion, clips), {}, "motion branch"),
        ((model, replace(clips, frames=None)), {}, "no frames"),
        ((model, clips), {"truth": clips.truth, "region": "AU99"}, "'AU99'.*cue, AUs, AU12, AU14"),
        ((model, clips), {"n_draws": -1}, "n_draws.*-1"),
    ):
        with pytest.raises(ValueError, match=facts):
            kept_tokens(*given, **options)
    assert "no truth" in repr(kept_tokens(model, clips))


class TestPicture:
    def test_dropped_positions_are_dark_and_kept_ones_are_the_face(self, found, clips):
        figure = view.plot_kept_tokens(found, "tiny0_s00_c01", clips=clips, region=None)
        shown = pictures(figure)
        assert len(shown) == 1 + 3
        for scale, picture in enumerate(shown[1:]):
            side = picture.shape[0] // 4
            cells = picture.astype(float).mean(axis=2).reshape(4, side, 4, side).mean(axis=(1, 3))
            mask = found.masks[1, scale]
            assert cells[mask].min() > cells[~mask].max() + 30

    def test_cover_stands_beside_chance(self, found, model, clips):
        said = words(view.plot_kept_tokens(found, "tiny0_s00_c01", clips=clips))
        assert f"weight {found.mix[1, 0]:.2f}<br>{found.cover[1, 0]:.0%} of the cue, chance 50%" in said
        assert "<b>keep 0.25</b> · 4 of 16" in said
        last = words(view.plot_kept_tokens(found, "tiny0_s01_c03", clips=clips))
        assert any(text.endswith("no cue in this clip") for text in last)
        without = words(view.plot_kept_tokens(kept_tokens(model, clips), "tiny0_s00_c01", clips=clips))
        assert not any("chance" in text for text in without)

    def test_the_region_has_a_white_line_around_it(self, found, clips):
        bare = replace(clips, truth=None)
        with_line = pictures(view.plot_kept_tokens(found, "tiny0_s00_c01", clips=clips))[1]
        without = pictures(view.plot_kept_tokens(found, "tiny0_s00_c01", clips=bare, region=None))[1]
        changed = np.abs(with_line.astype(int) - without.astype(int)).max(axis=2) > 60
        edges = [values[place] for values in np.nonzero(changed) for place in (values.argmin(), values.argmax())]
        assert np.array(edges) / (with_line.shape[0] / 32) == pytest.approx([8, 16, 12, 20], abs=1)

    def test_what_is_not_there_is_refused(self, found, clips):
        for clip_id, given, options, facts in (
            ("tiny0_s00_c01", replace(clips, frames=None), {}, "no frames"),
            ("nobody", clips, {}, "'nobody'"),
            ("tiny0_s00_c01", replace(clips, truth=None), {"region": "cue"}, "'cue'"),
        ):
            with pytest.raises(ValueError, match=facts):
                view.plot_kept_tokens(found, clip_id, clips=given, **options)
