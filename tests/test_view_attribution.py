"""Pictures of attributions, judged by the pixels, bars and words they hold."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
from figure_contents import pictures, words
from sample_records import sample_clips

from medn_lab import view
from medn_lab.records import Attribution, Truth
from medn_lab.view.attribution import colour_key, sanity_rows
from medn_lab.view.images import AGAINST, FOR, draw_heat, draw_outline, full_colour, region_of, smooth

SIZE = 48


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=4, size=SIZE)


def mapped(clips, **changes):
    """A map whose frames speak for the target at the upper left in frame 3, and whose flow against it lower right."""
    frames = np.zeros((len(clips), 8, SIZE, SIZE, 3), np.float32)
    frames[:, 3, 6:18, 6:18, 0] = 0.01
    flow = np.zeros((len(clips), SIZE, SIZE, 2), np.float32)
    flow[:, 30:42, 30:42, 1] = -0.02
    scores = np.full(len(clips), 1.5, np.float32)
    made = {
        "frames": frames, "flow": flow, "table": clips.table, "target": "happiness", "branch": "both",
        "method": "integrated_gradients", "scores": scores, "baseline_scores": scores - 2,
        "sanity": {"completeness_error": 0.031},
    }  # fmt: skip
    return Attribution(**(made | changes))


def first(clips):
    return clips.table["clip_id"].iloc[0]


def subtitle(figure):
    return figure.layout.title.subtitle.text


def bars(figure):
    return [trace for trace in figure.data if isinstance(trace, go.Bar)]


def test_what_raises_the_target_is_red_and_what_lowers_it_is_blue(clips):
    frames, flow, _ = pictures(view.plot_attribution(mapped(clips), first(clips), clips=clips, blur=0))
    side = frames.shape[0] / SIZE
    for picture, place, colour in ((frames, 12, FOR), (flow, 36, AGAINST)):
        shown = picture[int(place * side), int(place * side)].astype(int)
        assert np.abs(shown - np.array(colour)).max() < 40
        ground = picture[int(24 * side), int(40 * side)].astype(int)
        assert np.ptp(ground) < 16  # grey where the map is 0


def test_the_course_is_the_sum_over_each_frame(clips):
    (course,) = bars(view.plot_attribution(mapped(clips), first(clips), clips=clips))
    expected = np.zeros(8)
    expected[3] = 144 * 0.01
    np.testing.assert_allclose(course.y, expected, rtol=1e-4, atol=1e-9)
    assert course.marker.color[3] == f"rgb{FOR}"
    assert course.x[0] == "0 ms<br>onset"
    assert course.x[-1].endswith("offset")
    assert any("apex" in name for name in course.x)


def test_scores_and_checks_are_in_the_subtitle(clips):
    figure = view.plot_attribution(mapped(clips), first(clips), clips=clips)
    assert "happiness by integrated gradients" in figure.layout.title.text
    assert "score 1.50, change +2.00, sum of the map -1.44" in subtitle(figure)
    assert "completeness 3% missing" in subtitle(figure)


def test_the_checks_of_a_map_are_named_made_or_not(clips):
    def values(sanity):
        return {name: value for name, value, _ in sanity_rows(mapped(clips, sanity=sanity))}

    figures = {"randomised_frames": 0.31, "randomised_flow": 0.97, "randomised_threshold": 0.5}
    assert values(figures)["random weights, frames"].startswith("changes, 0.31")
    assert "SURVIVES" in values(figures)["random weights, flow"]
    assert "SURVIVES" in subtitle(view.plot_attribution(mapped(clips, sanity=figures), first(clips), clips=clips))
    assert values({})["infidelity"] == values({})["random weights, flow"] == "not measured"
    assert values({"infidelity": 0.4, "sensitivity": 0.25})["sensitivity"] == "0.25"
    planted = values({"planted_frames": 0.3, "area_frames": 0.1})["share on cue"]
    assert [word in planted for word in ("30%", "10%", "3.0")] == [True] * 3


def test_the_colour_key_is_in_the_maps_unit(clips):
    figure = view.plot_attribution(mapped(clips), first(clips), clips=clips, blur=0)
    assert colour_key(0.01) in words(figure)
    assert colour_key(0.02) in words(figure)
    assert "+0.02" in colour_key(0.02)
    assert "−0.02" in colour_key(0.02)


def test_each_frame_stands_by_itself_below(clips):
    *_, strip = pictures(view.plot_attribution(mapped(clips), first(clips), clips=clips))
    assert strip.shape[1] > 7.9 * strip.shape[0]
    cell = (strip.shape[1] + 6) / 8
    reds = [strip[:, int(n * cell) : int((n + 1) * cell) - 8].astype(int) @ np.array([1, -1, 0]) for n in range(8)]
    assert int(np.argmax([red.max() for red in reds])) == 3
    without = view.plot_attribution(mapped(clips), first(clips), clips=clips, strip=False)
    assert len(pictures(without)) == 2
    assert without.layout.height < view.plot_attribution(mapped(clips), first(clips), clips=clips).layout.height


def test_several_clips_share_their_colours_and_their_course(clips):
    made = mapped(clips)
    made.frames[1] *= 3
    ids = list(clips.table["clip_id"][:2])
    figure = view.plot_attribution(made, ids, clips=clips, blur=0)
    assert len(pictures(figure)) == 4
    assert words(figure).count(colour_key(0.03)) == 2
    spans = {figure.layout[name].range for name in ("yaxis3", "yaxis6")}
    assert len(spans) == 1
    assert len([text for text in words(figure) if ids[1] in text]) == 1
    assert all(f"score of {name}" in subtitle(figure) for name in "ab")


@pytest.mark.parametrize(
    ("changes", "count", "said"),
    [
        ({"frames": None}, 1, "the target does not depend on the frames"),
        ({"flow": None}, 2, "the map does not cover the flow"),
    ],
)
def test_what_is_not_there_is_named(clips, changes, count, said):
    figure = view.plot_attribution(mapped(clips, **changes), first(clips), clips=clips)
    assert len(pictures(figure)) == count
    assert said in subtitle(figure)


def test_a_method_that_tells_no_moments_or_no_places_apart_says_so(clips):
    occluded = np.zeros((4, 8, SIZE, SIZE, 3), np.float32)
    occluded[:, 1:, 6:18, 6:18] = 0.1
    figure = view.plot_attribution(mapped(clips, frames=occluded, method="occlusion"), first(clips), clips=clips)
    assert "occlusion gives all frames the same map" in subtitle(figure)
    assert not bars(figure)
    ablated = np.ones((4, 8, SIZE, SIZE, 3), np.float32) * np.arange(8, dtype=np.float32)[:, None, None, None]
    figure = view.plot_attribution(
        mapped(clips, frames=ablated, flow=None, method="frame_ablation"), first(clips), clips=clips
    )
    assert "frame ablation gives all places of a frame the same value" in subtitle(figure)
    assert not pictures(figure)
    assert len(bars(figure)) == 1


def test_slopes_that_cancel_over_the_face_are_weighed_without_sign(clips):
    frames = np.zeros((4, 8, SIZE, SIZE, 3), np.float32)
    frames[:, 2, 6:18, 6:12, 0], frames[:, 2, 6:18, 12:18, 0] = 1.0, -1.0
    figure = view.plot_attribution(mapped(clips, frames=frames, method="saliency"), first(clips), clips=clips, blur=0)
    assert bars(figure)[0].y[2] == pytest.approx(144)
    assert "Attribution per frame, absolute values" in words(figure)


def test_a_map_of_zeros_is_drawn_grey(clips):
    made = mapped(clips)
    nothing = replace(made, frames=0 * made.frames, flow=0 * made.flow)
    figure = view.plot_attribution(nothing, first(clips), clips=clips)
    assert all(np.ptp(picture.astype(int), axis=2).max() < 16 for picture in pictures(figure))


def test_each_line_under_the_title_of_a_narrow_figure_fits_its_width(clips):
    figure = view.plot_attribution(mapped(clips, frames=None), first(clips), clips=clips)
    lines = subtitle(figure).split("<br>")
    assert len(lines) > 3
    assert max(map(len, lines)) * 6.4 <= figure.layout.width - 24, lines


def test_clips_without_frames_get_a_plain_ground(clips):
    figure = view.plot_attribution(mapped(clips, frames=None), first(clips), clips=replace(clips, frames=None))
    (flow,) = pictures(figure)
    assert len(np.unique(flow[:40].reshape(-1, 3), axis=0)) < 4


def test_the_figure_is_small(clips):
    assert len(view.plot_attribution(mapped(clips), first(clips), clips=clips).to_json()) < 200_000


def test_wrong_clips_and_regions_get_a_sentence(clips):
    with pytest.raises(ValueError, match="'nobody'; its ids look like"):
        view.plot_attribution(mapped(clips), "nobody", clips=clips)
    with pytest.raises(ValueError, match="no truth to draw the region 'cue' from; only synthetic clips have one"):
        view.plot_attribution(mapped(clips), first(clips), clips=clips, region="cue")
    with pytest.raises(ValueError, match="are not in these clips"):
        view.plot_attribution(mapped(clips), first(clips), clips=clips.select(clips.table["clip_id"][1:]))


class TestHeat:
    def test_smoothing_keeps_the_sum_and_spreads_a_point(self):
        point = np.zeros((1, 41, 41))
        point[0, 20, 20] = 1.0
        blurred = smooth(point, 2.0)
        assert blurred.sum() == pytest.approx(1)
        rows, columns = np.mgrid[:41, :41] - 20
        assert (blurred[0] * rows**2).sum() == pytest.approx(4, rel=0.05)  # the variance is sigma squared
        assert (blurred[0] * columns).sum() == pytest.approx(0, abs=1e-9)
        np.testing.assert_array_equal(smooth(point, 0), point)

    def test_full_colour_is_near_the_largest_and_never_zero_of_a_map_that_is_not(self):
        assert full_colour(np.linspace(-1, 1, 2001)) == pytest.approx(0.995, abs=2e-3)
        lonely = np.zeros((100, 100))
        lonely[3, 3] = -7.0
        assert full_colour(lonely) == 7.0
        assert full_colour(np.zeros(3)) == 0
        assert full_colour() == 0

    def test_colour_deepens_with_the_value(self):
        heat = np.zeros((2, 4))
        heat[:, 1:] = [0.1, 0.5, 2.0]
        picture = draw_heat(None, heat, largest=1.0, size=4).astype(int)
        red = picture[0, :, 0] - picture[0, :, 2]
        assert (np.diff(red) > 0).all()

    def test_an_outline_lies_on_the_border_alone(self):
        region = np.zeros((32, 32), dtype=bool)
        region[8:24, 8:24] = True
        ground = np.full((320, 320, 3), 90, np.uint8)
        drawn = draw_outline(ground, region)
        changed = (drawn != ground).any(axis=2)
        assert not changed[:70, :].any()
        assert not changed[100:220, 100:220].any()
        assert changed[160, 76:84].any()
        np.testing.assert_array_equal(draw_outline(ground, np.zeros((32, 32), dtype=bool)), ground)

    def test_regions_come_from_the_truth(self, clips):
        subjects = tuple(clips.table["subject"].unique())
        cue = np.zeros((len(subjects), SIZE, SIZE), dtype=bool)
        cue[:, :4] = True
        masks = np.zeros((len(subjects), 2, SIZE, SIZE), dtype=bool)
        masks[:, 0, 10:14], masks[:, 1, 20:24] = True, True
        truth = Truth(
            clips.table[["clip_id", "subject"]], np.zeros((4, SIZE, SIZE, 2), np.float16), masks, cue,
            np.ones((4, 8), np.float32), subjects, ("AU1", "AU4"),
        )  # fmt: skip
        known = replace(clips, truth=truth)
        both = clips.table["clip_id"][(clips.table["AU1"] == 1) & (clips.table["AU4"] == 1)].iloc[0]
        assert region_of(known, both, "cue").sum() == 4 * SIZE
        assert region_of(known, both, "AU4").sum() == 4 * SIZE
        assert region_of(known, both, "AUs").sum() == 8 * SIZE
        with pytest.raises(ValueError, match="no mask for 'AU9'"):
            region_of(known, both, "AU9")
