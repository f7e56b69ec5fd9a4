"""Pixels: enlarging, arrows, magnified motion, the time axis of a clip."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sample_records import sample_clips

from medn_lab.records import Clips
from medn_lab.view.images import (
    Magnifier,
    arrow_grid,
    draw_arrows,
    draw_magnitude,
    enlarge,
    resize_field,
    time_course,
    to_webp,
)
from medn_lab.view.rows import clip_moments


def spot(size, x, y, *, width=3.0):
    rows, columns = np.mgrid[0:size, 0:size]
    bright = 200 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2)) + 20
    return np.repeat(bright[..., None], 3, axis=2).astype(np.uint8)


def centre(image):
    weight = np.clip(image[..., 0].astype(float) - 40, 0, None)
    rows, columns = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
    return (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()


def moving_spot(size=64, step=1.0):
    """A spot that moves `step` px to the right until frame 2 and back, and the flow that says so."""
    frames = np.stack([spot(size, 24 + step * share, 30) for share in (0.0, 0.5, 1.0, 0.5, 0.0)])
    flow = np.zeros((size, size, 2), np.float32)
    flow[..., 0] = step
    return frames, flow


def test_enlarging_keeps_the_shape_of_the_face_and_its_mean():
    image = spot(32, 16, 16)[:24]
    large = enlarge(image, 320)
    assert large.shape == (240, 320, 3)
    assert abs(large.mean() - image.mean()) < 1.0


def test_a_resized_flow_keeps_its_values():
    field = np.full((8, 8, 2), 0.75, np.float32)
    assert np.allclose(resize_field(field, 20, 30), 0.75)
    assert resize_field(field, 20, 30).shape == (20, 30, 2)


def test_arrows_stand_only_where_something_moves_and_point_along_the_motion():
    flow = np.zeros((60, 60, 2), np.float32)
    flow[:20, :20] = (0.5, -0.25)
    x, y, dx, dy, gain = arrow_grid(flow, across=12)
    assert len(x) == 16
    assert x.max() < 20
    assert y.max() < 20
    assert np.allclose(dx, 0.5)
    assert np.allclose(dy, -0.25)
    assert gain > 1


def test_a_still_clip_gets_no_arrows_and_no_glow():
    image = spot(48, 20, 20)
    still = np.zeros((48, 48, 2), np.float32)
    drawn, _ = draw_arrows(image, still)
    glow, largest = draw_magnitude(image, still)
    assert np.abs(drawn.astype(int) - image).max() < 40
    assert largest == 0
    assert np.ptp(glow.astype(int), axis=2).max() <= 1


def test_the_glow_is_brightest_where_the_motion_is_largest():
    flow = np.zeros((48, 48, 2), np.float32)
    flow[10:16, 30:36, 1] = 1.3
    glow, largest = draw_magnitude(np.zeros((48, 48, 3), np.uint8), flow)
    y, x = np.unravel_index(glow.sum(axis=2).argmax(), (48, 48))
    assert largest == pytest.approx(1.3)
    assert 9 <= y <= 16
    assert 29 <= x <= 36


def test_packed_pictures_open_again_with_the_frames_that_went_in():
    frames = [spot(40, x, 20) for x in (10, 20, 30)]
    loop = Image.open(io.BytesIO(to_webp(frames, milliseconds=90)))
    assert loop.n_frames == 3
    assert loop.size == (40, 40)
    for place, frame in enumerate(frames):
        loop.seek(place)
        assert np.abs(np.asarray(loop.convert("RGB"), float) - frame).mean() < 1


def test_the_time_course_is_nought_at_the_onset_and_one_at_the_apex():
    frames, flow = moving_spot()
    course = time_course(frames, 2, flow=flow)
    assert course[0] == 0
    assert course[2] == pytest.approx(1)
    assert course[1] == pytest.approx(0.5, abs=0.1)
    assert abs(course[4]) < 0.05


def test_the_time_course_of_a_still_clip_is_nought():
    frames = np.full((4, 8, 8, 3), 90, np.uint8)
    assert time_course(frames, 2).tolist() == [0, 0, 0, 0]


def magnified(frames, flow, factor, apex=None):
    magnifier = Magnifier(frames, flow, apex=apex)
    return np.stack([magnifier.frame(place, factor) for place in range(len(frames))])


@pytest.mark.parametrize("factor", [2.0, 5.0, 12.0])
def test_motion_magnified_by_a_factor_moves_that_many_times_as_far(factor):
    frames, flow = moving_spot()
    moved = magnified(frames, flow, factor, apex=2)
    assert centre(moved[2])[0] - centre(moved[0])[0] == pytest.approx(factor, abs=0.15 * factor)
    assert centre(moved[2])[1] == pytest.approx(centre(moved[0])[1], abs=0.2)


def test_a_factor_of_one_is_the_clip_itself():
    frames, flow = moving_spot()
    assert np.array_equal(magnified(frames, flow, 1.0), frames)


def test_a_clip_without_flow_has_its_differences_amplified():
    frames = np.stack([np.full((6, 6, 3), value, np.uint8) for value in (100, 103, 250)])
    assert magnified(frames, None, 10.0)[:, 0, 0, 0].tolist() == [100, 130, 255]


def test_a_factor_below_one_is_refused():
    frames, flow = moving_spot()
    with pytest.raises(ValueError, match=r"magnified by 1 or more, not by 0\.5"):
        Magnifier(frames, flow).frame(0, 0.5)


def test_the_apex_and_its_time_are_named():
    clips = sample_clips(n=1)
    moments = clip_moments(clips, clips.table["clip_id"].iloc[0])
    row = clips.table.iloc[0]
    assert moments.numbers[moments.apex] == row["apex"]
    assert moments.milliseconds[-1] == pytest.approx((row["offset"] - row["onset"]) * 5.0)
    assert moments.describe(0) == "frame 10 · 0 ms · onset"
    assert moments.names(moments.apex) == "apex"


@pytest.mark.parametrize(
    ("change", "note", "apex"),
    [
        ({"apex": np.nan}, "the apex of this clip is not known", None),
        ({"fps": np.nan}, "the frame rate is not known", 0),
        ({"onset": np.nan}, "does not say where this clip begins", None),
        ({"apex": 99}, "the apex of this clip is not known", None),
    ],
)
def test_what_the_table_does_not_say_of_time_is_said(change, note, apex):
    clips = sample_clips(n=1)
    table = clips.table.astype({"onset": float, "apex": float}).assign(**change)
    moments = clip_moments(Clips(clips.frames, clips.flow, table), table["clip_id"].iloc[0])
    assert note in moments.note
    assert (moments.apex is None) == (apex is None)


def test_a_table_without_times_counts_frames_from_one():
    clips = Clips(np.zeros((1, 5, 8, 8, 3), np.uint8), None, pd.DataFrame({"clip_id": ["a"], "subject": ["s"]}))
    assert clip_moments(clips, "a").describe(4) == "frame 5 of 5 · offset"
