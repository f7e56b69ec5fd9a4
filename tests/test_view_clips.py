"""Figures of one clip (flow, registration, magnified motion, scores), judged by the pixels and texts they hold."""

import dataclasses

import numpy as np
import pytest
from figure_contents import pictures, texts
from sample_records import sample_clips, sample_predictions

from medn_lab import records, view
from medn_lab.view.images import AGAINST, FOR

CLIPS = sample_clips(n=4, size=48)
FIRST = CLIPS.table["clip_id"].iloc[0]


def with_flow(flow, **recipe):
    return dataclasses.replace(CLIPS, flow=flow.astype(np.float32), recipe=recipe)


def test_a_clip_is_drawn_with_flow_scores_and_aus_in_a_small_figure():
    predictions = sample_predictions(CLIPS)
    figure = view.plot_clip(CLIPS, FIRST, predictions=predictions, width=620)
    largest = np.hypot(*np.moveaxis(CLIPS.flow[0], -1, 0)).max()
    aus, emotions = figure.select_traces({"type": "bar"})
    shares = dict(zip(predictions.aus, predictions.au_probabilities[0], strict=True))
    coded = {au for au in predictions.aus if CLIPS.table[au].iloc[0] == 1}
    assert {label.rstrip(" ◆◇"): x for label, x in zip(aus.y, aus.x, strict=True)} == pytest.approx(shares)
    assert {label[:-2] for label in aus.y if label.endswith("◆")} == coded != set()
    np.testing.assert_allclose(emotions.x, predictions.probabilities[0])
    assert [label for label in emotions.y if "label" in label] == [f"{CLIPS.table['label'].iloc[0]} ◀ label"]
    for part in (FIRST, "disgust", "AU4", "arrows ×", "apex", f"longest {largest:.2f} px of 48"):
        assert part in texts(figure)
    assert (len(pictures(figure)), len(figure.to_json()) < 200_000) == (3, True)


def test_what_a_clip_lacks_is_written_in_its_place():
    bare = CLIPS.table[["clip_id", "subject", "label"]]
    for changes, facts in (
        ({"frames": None, "table": bare}, ("no frames in these clips", "AUs are not coded")),
        ({"flow": None, "table": bare}, ("no flow in these", "the apex is not known", "no predictions were given")),
        ({}, ("AU4, brow lowerer",)),
    ):
        written = texts(view.plot_clip(dataclasses.replace(CLIPS, **changes), FIRST))
        assert all(fact in written for fact in facts)


def test_the_viewing_copy_is_drawn_where_there_is_one_and_named():
    sharp = CLIPS.frames[0].repeat(4, axis=1).repeat(4, axis=2)
    sharp[:, :4, :4] = 0  # what only the copy holds
    viewed = dataclasses.replace(CLIPS, viewing=records.ViewingCopy(192, (lambda: sharp,) * len(CLIPS)))
    corner, plain = (pictures(view.plot_clip(one, FIRST))[0][:3, :3].mean() for one in (viewed, CLIPS))
    assert corner < 0.5 * plain
    assert "frames at 192 px (viewing copy)" in texts(view.plot_magnification(viewed, FIRST, factors=(1,)))
    other = dataclasses.replace(viewed, frames=255 - CLIPS.frames)  # the copy shows other frames
    assert "frames at 48 px, as the network gets them" in texts(view.plot_magnification(other, FIRST, factors=(1,)))


def test_each_recipe_is_a_column_of_its_channels():
    flow = np.zeros((4, 8, 8, 2))
    flow[:, :, :4, 0], flow[:, :, 4:, 0] = 2.0, -2.0
    figure = view.plot_flow(with_flow(flow), FIRST)
    u, v = pictures(figure)
    np.testing.assert_allclose(u[120, 40], FOR, atol=24)
    np.testing.assert_allclose(u[120, 200], AGAINST, atol=24)
    assert np.ptp(v) <= 4  # grey where nothing moves
    assert "u, right: ±2.00 px" in texts(figure)
    inputs = {
        "two": with_flow(np.ones((4, 16, 16, 2)), coding="uv"),
        "three": with_flow(np.full((4, 12, 12, 3), 0.25), coding="uv_strain"),
        "colours": with_flow(np.full((4, 20, 20, 3), [1.0, 0.0, 0.0]), coding="hsv"),
    }
    figure = view.plot_flow(inputs, FIRST)
    drawn = pictures(figure)
    assert len(drawn) == 2 + 3 + 1
    np.testing.assert_allclose(drawn[-1].reshape(-1, 3).mean(axis=0), [255, 0, 0], atol=8)
    for part in ("strain: up to 0.25", "hue: direction", "12×12 px, 3 channels"):
        assert part in texts(figure)


def test_registration_is_drawn_before_and_after_with_its_error():
    onset = CLIPS.frames[0, 0]
    moved = np.roll(onset, 3, axis=1)
    flow = np.full((*onset.shape[:2], 2), (3.0, 0.0), np.float32)
    flows = {"flow_before": flow, "flow_after": 0.1 * flow}
    figure = view.plot_registration(onset, before=moved, after=onset, **flows, left_before=3.0, left_after=0.021)
    for part in ("3.00 px off", "0.021 px off", "longest 3.00 px", "longest 0.30 px"):
        assert part in texts(figure)
    # The onset minus itself is flat grey.
    assert min(np.abs(picture.astype(int) - 128).max() for picture in pictures(figure)) <= 4
