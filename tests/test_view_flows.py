"""Pictures of flow, registration and magnified motion, judged by the pixels and words they hold."""

import dataclasses

import numpy as np
import pytest
from figure_contents import pictures, words
from sample_records import sample_clips

from medn_lab import view
from medn_lab.records import Clips
from medn_lab.view.flows import AWAY, TOWARDS


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=4, size=48)


def with_flow(clips: Clips, flow: np.ndarray, **recipe) -> Clips:
    return dataclasses.replace(clips, flow=flow.astype(np.float32), recipe=recipe)


def test_a_signed_channel_is_red_to_the_right_and_blue_to_the_left(clips):
    flow = np.zeros((len(clips), 8, 8, 2))
    flow[:, :, :4, 0], flow[:, :, 4:, 0] = 2.0, -2.0
    figure = view.plot_flow(with_flow(clips, flow), clips.table["clip_id"].iloc[0])
    u, v = pictures(figure)
    np.testing.assert_allclose(u[120, 40], TOWARDS, atol=6)
    np.testing.assert_allclose(u[120, 200], AWAY, atol=6)
    assert v.min() >= 250
    assert "u, right: ±2.00 px" in words(figure)


def test_each_recipe_is_a_column_of_its_channels(clips):
    size = {"uv": 16, "uv_strain": 12}
    inputs = {
        "two": with_flow(clips, np.ones((4, size["uv"], size["uv"], 2)), coding="uv"),
        "three": with_flow(clips, np.full((4, size["uv_strain"], size["uv_strain"], 3), 0.25), coding="uv_strain"),
        "colours": with_flow(clips, np.full((4, 20, 20, 3), [1.0, 0.0, 0.0]), coding="hsv"),
    }
    figure = view.plot_flow(inputs, clips.table["clip_id"].iloc[1])
    drawn = pictures(figure)
    assert len(drawn) == 2 + 3 + 1
    np.testing.assert_allclose(drawn[-1].reshape(-1, 3).mean(axis=0), [255, 0, 0], atol=8)
    said = words(figure)
    assert {"no third channel", "strain: up to 0.25", "hue: direction"} <= set(said)
    assert "<b>three</b><br>12×12 px, 3 channels" in said
    assert figure.layout.width == 3 * 220 + 24


def test_a_flow_without_motion_is_drawn_white_and_not_divided_by_zero(clips):
    still = with_flow(clips, np.zeros((4, 8, 8, 3)), coding="uv_strain")
    assert pictures(view.plot_flow(still, clips.table["clip_id"].iloc[0]))[0].min() >= 250


def test_flow_that_is_not_there_gets_a_sentence(clips):
    clip_id = clips.table["clip_id"].iloc[0]
    with pytest.raises(ValueError, match="recipe 'mine' have no flow to draw"):
        view.plot_flow({"mine": dataclasses.replace(clips, flow=None)}, clip_id)
    with pytest.raises(ValueError, match="no inputs were given"):
        view.plot_flow({}, clip_id)
    with pytest.raises(ValueError, match="nobody"):
        view.plot_flow(clips, "nobody")


def test_registration_is_drawn_before_and_after_with_what_is_left(clips):
    onset = clips.frames[0, 0]
    moved = np.roll(onset, 3, axis=1)
    flow = np.zeros((*onset.shape[:2], 2), np.float32)
    flow[..., 0] = 3.0
    figure = view.plot_registration(
        onset, before=moved, after=onset, flow_before=flow, flow_after=0.1 * flow, left_before=3.0, left_after=0.021
    )
    said = words(figure)
    assert {"<b>before</b>: 3.00 px off", "<b>after</b>: 0.021 px off"} <= set(said)
    assert any("up to 3.00 px" in text for text in said)
    assert any("up to 0.30 px" in text for text in said)
    drawn = pictures(figure)
    assert len(drawn) == 4
    same = [np.abs(picture.astype(int) - 128).max() for picture in drawn]
    assert min(same) <= 4  # the difference of the onset from itself is flat grey
    with pytest.raises(ValueError, match="frames must have one shape"):
        view.plot_registration(onset, before=moved[:20], after=onset, flow_before=flow, flow_after=flow)


def test_magnified_stills_part_from_the_apex_with_the_factor(clips):
    clip_id = clips.table["clip_id"].iloc[0]
    figure = view.plot_magnification(clips, clip_id, factors=(1, 4, 16))
    onset, *rest = (picture.astype(float) for picture in pictures(figure))
    apart = [np.abs(picture - onset).mean() for picture in rest]
    assert apart[0] < apart[1] < apart[2]
    assert words(figure)[1:] == ["apex", "apex, motion × 4", "apex, motion × 16"]
    with pytest.raises(ValueError, match="no frames to magnify"):
        view.plot_magnification(dataclasses.replace(clips, frames=None), clip_id)
    with pytest.raises(ValueError, match="no factor was given"):
        view.plot_magnification(clips, clip_id, factors=())
