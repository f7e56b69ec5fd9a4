"""Figures of attributions, judged by the pixels, bars and texts they hold."""

from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from cases import assert_refuses
from figure_contents import by_meta, check_look, pictures, texts, words
from sample_records import sample_clips

from medn_lab import view
from medn_lab.records import Attribution
from medn_lab.view.attribution import colour_key
from medn_lab.view.images import AGAINST, FOR

SIZE = 48


CLIPS = sample_clips(n=4, size=SIZE)
NAMES = list(CLIPS.table["clip_id"])


def mapped(**changes):
    """A map whose frames raise the target at the upper left in frame 3, and whose flow lowers it at the lower right."""
    frames, flow = np.zeros((4, 8, SIZE, SIZE, 3), np.float32), np.zeros((4, SIZE, SIZE, 2), np.float32)
    frames[:, 3, 6:18, 6:18, 0], flow[:, 30:42, 30:42, 1] = 0.01, -0.02
    scores = np.full(4, 1.5, np.float32)
    made = {"frames": frames, "flow": flow, "table": CLIPS.table, "scores": scores, "baseline_scores": scores - 2}
    made |= {"target": "happiness", "branch": "both", "method": "integrated_gradients"}
    return Attribution(**(made | {"sanity": {"completeness_error": 0.031}} | changes))


def bars(figure):
    return [trace for trace in figure.data if isinstance(trace, go.Bar)]


def test_a_clip_is_drawn_with_its_colours_its_course_its_frames_and_its_checks():
    figure = view.plot_attribution(mapped(), NAMES[0], clips=CLIPS)
    check_look(figure, "Attribution")
    frames, flow = pictures(figure)
    side = frames.shape[0] / SIZE
    for picture, place, colour in ((frames, 12, FOR), (flow, 36, AGAINST)):
        assert np.abs(picture[int(place * side), int(place * side)].astype(int) - np.array(colour)).max() < 40
        assert np.ptp(picture[int(24 * side), int(40 * side)].astype(int)) < 16  # grey where the map is 0
    (course,) = bars(figure)
    np.testing.assert_allclose(course.y, 1.44 * (np.arange(8) == 3), rtol=1e-4, atol=1e-9)
    assert (course.marker.color[3], course.x[0]) == (f"rgb{FOR}", "0 ms<br>onset")
    assert {colour_key(0.01), colour_key(0.02)} <= set(words(figure))
    for fact in ("happiness by integrated gradients", "score 1.50, change +2.00, sum of the map -1.44", "3% missing"):
        assert fact in texts(figure)


def test_several_clips_share_their_colours_and_their_course():
    made = mapped()
    made.frames[1] *= 3
    figure = view.plot_attribution(made, NAMES[:2], clips=CLIPS)
    assert (len(pictures(figure)), words(figure).count(colour_key(0.03))) == (4, 2)
    assert figure.layout.yaxis6.matches == "y3"
    assert all(f"score of {name}" in texts(figure) for name in "ab")


def test_parts_that_a_map_does_not_separate_are_named_and_lines_fit():
    over_time = np.ones((4, 8, SIZE, SIZE, 3), np.float32) * np.arange(8, dtype=np.float32)[:, None, None, None]
    over_space = np.zeros((4, 8, SIZE, SIZE, 3), np.float32)
    over_space[:, 1:, 6:18, 6:18] = 0.1
    for changes, n_pictures, n_bars, fact in (
        ({"frames": None}, 1, 0, "the target does not depend on the frames"),
        ({"frames": over_space, "method": "occlusion"}, 2, 0, "occlusion gives all frames the same map"),
        ({"frames": over_time, "flow": None}, 0, 1, "gives all places of a frame the same value"),
    ):
        figure = view.plot_attribution(mapped(**changes), NAMES[0], clips=CLIPS)
        assert (len(pictures(figure)), len(bars(figure))) == (n_pictures, n_bars)
        assert fact in texts(figure)
        assert ("does not cover the flow" in texts(figure)) == ("flow" in changes)


def test_slopes_that_cancel_over_the_face_are_summed_without_sign():
    frames, flow = np.zeros((4, 8, SIZE, SIZE, 3), np.float32), np.zeros((4, SIZE, SIZE, 2), np.float32)
    frames[:, 2, 6:18, 6:12, 0], frames[:, 2, 6:18, 12:18, 0] = 1.0, -1.0
    figure = view.plot_attribution(mapped(frames=frames, flow=flow), NAMES[0], clips=replace(CLIPS, frames=None))
    assert bars(figure)[0].y[2] == pytest.approx(144)
    assert "Attribution per frame, absolute values" in words(figure)
    assert_refuses(view.plot_attribution, mapped(), NAMES[0], clips=CLIPS, region="cue", match="only synthetic clips")


def test_a_comparison_has_a_line_a_method_and_input_with_the_random_draws_in_its_colour():
    row = {"method": "saliency", "target": "fear", "spearman": 0.1, "threshold": 0.5, "n_clips": 12, "survives": False}
    table = pd.DataFrame([row | {"input": name} for name in ("frames", "flow")]).assign(spearman_absolute=0.2, area=0.1)
    table = table.assign(share=0.3, random_share=[0.1, 0.2], random_low=[0.05, 0.1], random_high=[0.2, 0.4])
    figure = view.plot_attribution_comparison(table)
    check_look(figure, "Comparison of attribution methods")
    diamonds, (band,) = by_meta(figure, "random_share"), bars(figure)
    assert (list(diamonds.x), "larger" in str(figure.layout.xaxis.title.text)) == ([0.1, 0.2], True)
    assert list(diamonds.marker.color) == [view.branch_colour(one) for one in ("emotion", "motion")]
    np.testing.assert_allclose(list(band.base), table["random_low"])
    np.testing.assert_allclose(list(band.base + band.x), table["random_high"])
    assert list(figure.layout.yaxis.ticktext) == ["saliency, frames", "saliency, flow"]
