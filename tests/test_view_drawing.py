"""Pixels: enlarging, arrows, magnified motion, maps over a face, planted regions; the time axis of a clip."""

import dataclasses

import numpy as np
import pytest
from cases import assert_refuses
from sample_records import sample_clips

from medn_lab.view import images
from medn_lab.view.rows import clip_moments


def spot(size, x, y):
    rows, columns = np.mgrid[0:size, 0:size]
    bright = 200 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18) + 20
    return np.repeat(bright[..., None], 3, axis=2).astype(np.uint8)


def centre(image):
    weight = np.clip(image[..., 0].astype(float) - 40, 0, None)
    rows, columns = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
    return (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()


def moving_spot():
    """A spot that moves 1 px to the right until frame 2 and back, and its flow."""
    frames = np.stack([spot(64, 24 + share, 30) for share in (0.0, 0.5, 1.0, 0.5, 0.0)])
    return frames, np.full((64, 64, 2), (1.0, 0.0), np.float32)


def test_arrows_and_glow_stand_where_something_moves():
    flow = np.zeros((60, 60, 2), np.float32)
    flow[:20, :20] = (0.5, -0.25)
    x, y, dx, dy, gain = images.arrow_grid(flow)
    assert (len(x), max(*x, *y) < 20, gain > 1, {*dx}, {*dy}) == (16, True, True, {0.5}, {-0.25})
    glow, note = images.draw_flow(np.zeros((60, 60, 3), np.uint8), flow)
    assert note.startswith("longest 0.56 px of 60")
    assert glow[:20, :20].mean() > 10 * glow[24:, 24:].mean()
    image, still = spot(60, 20, 20), np.zeros_like(flow)
    assert np.array_equal(images.draw_arrows(image, still)[0], image)
    assert np.ptp(images.draw_flow(image, still)[0].astype(int), axis=2).max() <= 1  # grey without motion


@pytest.mark.parametrize("factor", [1.0, 2.0, 12.0])
def test_motion_magnified_by_a_factor_moves_that_many_times_as_far(factor):
    frames, flow = moving_spot()
    onset, apex = (images.magnify(frames, flow, place, factor, apex=2, size=64) for place in (0, 2))
    assert np.subtract(centre(apex), centre(onset)) == pytest.approx([factor, 0], abs=0.15 * factor)
    assert factor > 1 or np.array_equal(apex, frames[2])


def test_the_time_course_is_0_at_the_onset_and_1_at_the_apex_and_differences_are_amplified_without_flow():
    frames, flow = moving_spot()
    assert images.time_course(frames, 2, flow=flow) == pytest.approx([0, 0.5, 1, 0.5, 0], abs=0.1)
    assert images.time_course(0 * frames + 90, 2).tolist() == [0] * 5
    frames = np.stack([np.full((6, 6, 3), value, np.uint8) for value in (100, 103, 250)])
    amplified = [images.magnify(frames, None, place, 10.0, apex=2, size=6) for place in range(3)]
    assert [picture[0, 0, 0] for picture in amplified] == [100, 130, 255]
    assert_refuses(images.magnify, frames, None, 0, 0.5, apex=2, size=6, match=r"1 or more, not by 0\.5")


def test_smoothing_keeps_the_sum_and_colour_deepens_with_the_value_up_to_nearly_the_largest():
    point = np.zeros((1, 41, 41))
    point[0, 20, 20] = 1.0
    blurred = images.smooth(point, 2.0)
    assert blurred.sum() == pytest.approx(1)
    rows, columns = np.mgrid[:41, :41] - 20
    assert (blurred[0] * rows**2).sum() == pytest.approx(4, rel=0.05)  # the variance is sigma squared
    assert (blurred[0] * columns).sum() == pytest.approx(0, abs=1e-9)
    assert images.full_colour(np.linspace(-1, 1, 2001)) == pytest.approx(0.995, abs=2e-3)
    assert (images.full_colour(-7 * point), images.full_colour(np.zeros(3)), images.full_colour()) == (7, 0, 0)
    picture = images.draw_heat(None, np.repeat([[0, 0.1, 0.5, 2.0]], 2, axis=0), largest=1.0, size=4).astype(int)
    assert (np.diff(picture[0, :, 0] - picture[0, :, 2]) > 0).all()


def test_what_the_table_does_not_hold_of_the_times_is_noted():
    clips = sample_clips(n=1)
    for column, value, note, known in (
        ("apex", 99, "the apex of this clip is not known", False),
        ("fps", np.nan, "the frame rate is not known", True),
        ("onset", np.nan, "does not give the first and last frame", False),
    ):
        changed = dataclasses.replace(clips, table=clips.table.assign(**{column: value}))
        moments = clip_moments(changed, clips.table["clip_id"].iloc[0])
        assert (note in moments.note, moments.apex is not None) == (True, known)
    assert moments.describe(7) == "frame 8 of 8 · offset"
