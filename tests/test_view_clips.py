"""Figures of one clip (flow, registration, magnified motion, scores), judged by the pixels and words they hold."""

import dataclasses

import numpy as np
import pytest
from figure_contents import pictures, words
from sample_records import sample_clips, sample_predictions

from medn_lab import view
from medn_lab.records import Clips, ViewingCopy
from medn_lab.view.images import AGAINST, FOR


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=4, size=48)


@pytest.fixture(scope="module")
def first(clips):
    return clips.table["clip_id"].iloc[0]


def said(figure):
    return " ".join([*words(figure), str(figure.layout.title.text)]).replace("<br>", " ")


def with_flow(clips: Clips, flow: np.ndarray, **recipe) -> Clips:
    return dataclasses.replace(clips, flow=flow.astype(np.float32), recipe=recipe)


def test_a_clip_is_drawn_with_flow_scores_and_aus_in_a_small_figure(clips, first):
    predictions = sample_predictions(clips)
    figure = view.plot_clip(clips, first, predictions=predictions)
    (magnitude,) = figure.select_traces({"meta": "magnitude"})
    largest = np.hypot(*np.moveaxis(clips.flow[0], -1, 0)).max()
    assert magnitude.zmax == pytest.approx(largest)
    assert f"up to {largest:.2f} px of 48" in said(figure)
    assert len(pictures(figure)) == 3
    assert len(figure.to_json()) < 200_000
    aus, emotions = figure.select_traces({"type": "bar"})
    shares = dict(zip(predictions.aus, predictions.au_probabilities[0], strict=True))
    coded = {au for au in predictions.aus if clips.table[au].iloc[0] == 1}
    assert {label.removesuffix(" ◆"): x for label, x in zip(aus.y, aus.x, strict=True)} == pytest.approx(shares)
    assert {label[:-2] for label in aus.y if label.endswith("◆")} == coded != set()
    np.testing.assert_allclose(emotions.x, predictions.probabilities[0])
    assert [label for label in emotions.y if "label" in label] == [f"{clips.table['label'].iloc[0]} ◀ label"]
    for part in (first, "disgust", "AU4", "arrows ×", "apex"):
        assert part in said(figure)


def test_what_a_clip_lacks_is_written_in_its_place(clips, first):
    bare = clips.table[["clip_id", "subject", "label"]]
    flow_alone = said(view.plot_clip(dataclasses.replace(clips, frames=None, table=bare), first))
    assert "no frames in these clips" in flow_alone
    assert "no AUs are coded" in flow_alone
    frames_alone = said(view.plot_clip(dataclasses.replace(clips, flow=None, table=bare), first))
    assert "no flow in these clips" in frames_alone
    assert "the apex is not known" in frames_alone
    assert "no predictions were given" in frames_alone
    assert "AU4, brow lowerer" in said(view.plot_clip(clips, first))
    with pytest.raises(ValueError, match="'nobody'"):
        view.plot_clip(clips, "nobody")


@pytest.mark.parametrize("width", [620, 820, 1400])
def test_labels_left_of_the_bars_have_room_at_any_width(clips, first, width):
    figure = view.plot_clip(clips, first, predictions=sample_predictions(clips), width=width, height=300)
    inner = width - figure.layout.margin.l - figure.layout.margin.r
    *_, emotions = figure.select_traces({"type": "bar"})
    for axis in (figure.layout.xaxis4, figure.layout.xaxis5):
        assert (axis.domain[0] - figure.layout.xaxis3.domain[1]) * inner >= 6 * max(map(len, emotions.y))
        assert (axis.domain[1] - axis.domain[0]) * inner > 80


def test_the_viewing_copy_is_drawn_where_there_is_one_and_named(clips, first):
    sharp = clips.frames[0].repeat(4, axis=1).repeat(4, axis=2)
    sharp[:, :4, :4] = 0  # what only the copy holds
    viewed = dataclasses.replace(clips, viewing=ViewingCopy(192, (lambda: sharp,) * len(clips)))
    for draw in (view.plot_clip, view.plot_magnification):
        corner, plain = (pictures(draw(one, first))[0][:3, :3].mean() for one in (viewed, clips))
        assert corner < 0.5 * plain
    assert "frames at 192 px (viewing copy)" in said(view.plot_clip(viewed, first))
    for other in (clips, dataclasses.replace(viewed, frames=255 - clips.frames)):  # the copy shows other frames
        assert "frames at 48 px, as the network gets them" in said(view.plot_clip(other, first))


def test_a_signed_channel_is_red_to_the_right_and_blue_to_the_left(clips, first):
    flow = np.zeros((len(clips), 8, 8, 2))
    flow[:, :, :4, 0], flow[:, :, 4:, 0] = 2.0, -2.0
    figure = view.plot_flow(with_flow(clips, flow), first)
    u, v = pictures(figure)
    np.testing.assert_allclose(u[120, 40], FOR, atol=6)
    np.testing.assert_allclose(u[120, 200], AGAINST, atol=6)
    assert v.min() >= 250
    assert "u, right: ±2.00 px" in said(figure)


def test_each_recipe_is_a_column_of_its_channels(clips, first):
    inputs = {
        "two": with_flow(clips, np.ones((4, 16, 16, 2)), coding="uv"),
        "three": with_flow(clips, np.full((4, 12, 12, 3), 0.25), coding="uv_strain"),
        "colours": with_flow(clips, np.full((4, 20, 20, 3), [1.0, 0.0, 0.0]), coding="hsv"),
    }
    figure = view.plot_flow(inputs, first)
    drawn = pictures(figure)
    assert len(drawn) == 2 + 3 + 1
    np.testing.assert_allclose(drawn[-1].reshape(-1, 3).mean(axis=0), [255, 0, 0], atol=8)
    for part in ("no third channel", "strain: up to 0.25", "hue: direction", "12×12 px, 3 channels"):
        assert part in said(figure)
    still = with_flow(clips, np.zeros((4, 8, 8, 3)), coding="uv_strain")
    assert pictures(view.plot_flow(still, first))[0].min() >= 250


def test_flow_that_is_not_there_gets_a_sentence(clips, first):
    with pytest.raises(ValueError, match="recipe 'mine'"):
        view.plot_flow({"mine": dataclasses.replace(clips, flow=None)}, first)
    with pytest.raises(ValueError, match="no inputs"):
        view.plot_flow({}, first)
    with pytest.raises(ValueError, match="nobody"):
        view.plot_flow(clips, "nobody")


def test_registration_is_drawn_before_and_after_with_what_is_left(clips):
    onset = clips.frames[0, 0]
    moved = np.roll(onset, 3, axis=1)
    flow = np.zeros((*onset.shape[:2], 2), np.float32)
    flow[..., 0] = 3.0
    flows = {"flow_before": flow, "flow_after": 0.1 * flow}
    figure = view.plot_registration(onset, before=moved, after=onset, **flows, left_before=3.0, left_after=0.021)
    for part in ("3.00 px off", "0.021 px off", "up to 3.00 px", "up to 0.30 px"):
        assert part in said(figure)
    drawn = pictures(figure)
    assert len(drawn) == 4
    assert min(np.abs(picture.astype(int) - 128).max() for picture in drawn) <= 4  # onset minus itself is flat grey
    with pytest.raises(ValueError, match="one shape"):
        view.plot_registration(onset, before=moved[:20], after=onset, **flows)


def test_magnified_stills_part_from_the_apex_with_the_factor(clips, first):
    figure = view.plot_magnification(clips, first, factors=(1, 4, 16))
    onset, *rest = (picture.astype(float) for picture in pictures(figure))
    apart = [np.abs(picture - onset).mean() for picture in rest]
    assert apart[0] < apart[1] < apart[2]
    assert "apex, motion × 16" in said(figure)
    with pytest.raises(ValueError, match="no frames"):
        view.plot_magnification(dataclasses.replace(clips, frames=None), first)
    with pytest.raises(ValueError, match="no factor"):
        view.plot_magnification(clips, first, factors=())
