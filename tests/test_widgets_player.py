"""ClipPlayer: its traits are its state, its picture follows them."""

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
import traitlets
from PIL import Image
from sample_records import sample_clips

from medn_lab.records import Attribution, Clips, KeptTokens
from medn_lab.view.drawing import enlarge
from medn_lab.widgets import ClipPlayer
from medn_lab.widgets import player as player_module


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=6)


@pytest.fixture
def player(clips):
    return ClipPlayer(clips)


def picture(player):
    return np.asarray(Image.open(io.BytesIO(player._picture.value)).convert("RGB")).astype(int)


def test_the_picture_is_the_frame_enlarged(player, clips):
    player.frame = 3
    assert picture(player).shape == (320, 320, 3)
    assert np.abs(picture(player) - enlarge(clips.frames[0, 3], 320)).mean() < 4


def test_moving_the_slider_moves_the_frame_and_the_other_way_round(player):
    player._slider.value = 4
    assert player.frame == 4
    player.frame = 2
    assert player._slider.value == 2


def test_the_time_axis_names_onset_apex_and_offset_with_their_times(player, clips):
    row = clips.table.iloc[0]
    for part in ("onset", "apex", "offset", f"{row['apex']}, {(row['apex'] - row['onset']) * 5:.0f} ms"):
        assert part in player._axis.value


def test_magnifying_and_overlays_change_the_picture_at_the_apex(player):
    player.frame = player.moments.apex
    plain = picture(player)
    player.magnify = 10
    magnified = picture(player)
    player.magnify = 1
    player.overlay = "arrows"
    arrows = picture(player)
    assert np.abs(magnified - plain).mean() > 1
    assert np.abs(arrows - plain).mean() > 1
    assert "times as long as the motion" in player._reading.value
    player.overlay = "magnitude"
    assert "the brightest is" in player._reading.value


def test_the_onset_stays_as_it_is_however_much_is_magnified(player):
    plain = picture(player)
    player.magnify = 20
    assert np.array_equal(picture(player), plain)


def test_controls_and_traits_are_one_state(player):
    player._magnifies.value = 7.5
    player._overlays.value = "magnitude"
    player._loops.value = False
    assert (player.magnify, player.overlay, player.loop) == (7.5, "magnitude", False)
    player.overlay = "none"
    assert player._overlays.value == "none"
    assert player._play.repeat is False


def test_half_the_speed_doubles_the_time_between_frames(player):
    player.speed = 0.25
    quick = player._play.interval
    player.speed = 0.125
    assert player._play.interval == pytest.approx(2 * quick, abs=1)


def test_showing_another_clip_begins_at_its_onset(player, clips):
    player.frame = 5
    seen = []
    player.observe(lambda change: seen.append(change.new), "clip_id")
    other = clips.table["clip_id"].iloc[3]
    player.show(other)
    assert (player.clip_id, player.frame, player._chooser.value) == (other, 0, other)
    assert seen == [other]
    assert other in player._heading.value


def test_choosing_a_clip_in_the_list_shows_it(player, clips):
    player._chooser.value = clips.table["clip_id"].iloc[2]
    assert player.clip_id == clips.table["clip_id"].iloc[2]


def test_a_frame_that_was_drawn_is_not_drawn_again(player, monkeypatch):
    drawn = []
    monkeypatch.setattr(player_module, "render", lambda picture, *_, **__: (drawn.append(1), (picture, ""))[1])
    for frame in (1, 2, 1, 0, 2):
        player.frame = frame
    assert len(drawn) == 2  # frames 1 and 2; frame 0 was drawn when the clip was shown


def test_unknown_clips_frames_and_factors_are_refused(player):
    with pytest.raises(ValueError, match="'nobody'"):
        player.show("nobody")
    with pytest.raises(traitlets.TraitError, match="frames 0 to 7; there is no frame 8"):
        player.frame = 8
    with pytest.raises(traitlets.TraitError, match="magnified by 1 to 20, not by 40"):
        player.magnify = 40


def test_clips_without_flow_play_and_say_so(clips):
    player = ClipPlayer(dataclasses.replace(clips, flow=None))
    assert player._overlays.disabled
    assert "no flow" in player._reading.value
    assert picture(player).shape == (320, 320, 3)


def test_clips_of_flow_alone_show_their_flow_on_a_plain_ground(clips):
    player = ClipPlayer(dataclasses.replace(clips, frames=None))
    assert "These clips have no frames: their flow is drawn on a plain ground" in player._reading.value
    assert player.overlay == "magnitude"
    assert dict(player._overlays.options) == {"flow arrows": "arrows", "flow length": "magnitude"}
    glow = picture(player)
    assert np.ptp(glow) > 100  # it glows
    player.overlay = "arrows"
    arrows = picture(player)
    assert np.abs(arrows - glow).mean() > 1
    assert (arrows[:20] == arrows[0, 0]).all()  # nothing moves above the brows: plain ground
    with pytest.raises(traitlets.TraitError, match=r"no overlay 'none' here.*these clips have no frames"):
        player.overlay = "none"
    assert player._play.disabled
    player.show(clips.table["clip_id"].iloc[1])
    assert clips.table["clip_id"].iloc[1] in player._heading.value


def test_flow_that_is_a_colour_picture_is_not_taken_for_pixels(clips):
    coloured = dataclasses.replace(clips, flow=np.zeros((6, 48, 48, 3), np.float32), recipe={"coding": "hsv"})
    player = ClipPlayer(coloured)
    assert list(dict(player._overlays.options).values()) == ["none"]
    assert "coded as colours" in player._reading.value
    nothing = ClipPlayer(dataclasses.replace(coloured, frames=None))
    assert nothing._picture.layout.display == "none"
    assert "nothing can be played" in nothing._reading.value


def test_an_empty_record_is_refused_in_one_sentence(clips):
    empty = Clips(clips.frames[:0], clips.flow[:0], clips.table.iloc[:0])
    with pytest.raises(ValueError, match="no clips to play: the record is empty"):
        ClipPlayer(empty)


def kept_of(clips, *, rates=(0.5, 0.25)):
    """A grid of 4 x 4 of which the upper half, then the upper quarter is kept."""
    masks = np.zeros((len(clips), len(rates), 4, 4), dtype=bool)
    for scale, rate in enumerate(rates):
        masks[:, scale, : round(4 * rate)] = True
    mix = np.tile(np.float32([0.7, 0.3]), (len(clips), 1))
    scores = np.zeros((len(clips), 4, 4), np.float32)
    return KeptTokens(masks, scores, mix, clips.table, keep_rates=rates, kept_shares=rates)


def attribution_of(clips, *, parts=("frames", "flow"), frames=None):
    """Each frame speaks at one pixel of its own, for in even frames and against in odd ones."""
    n, t, h, w, _ = clips.frames.shape if frames is None else (len(clips), frames, 48, 48, 3)
    heat = np.zeros((n, t, h, w, 3), np.float32)
    for frame in range(t):
        heat[:, frame, 4 * frame : 4 * frame + 4, 10:14] = (-1) ** frame
    flow = np.ones((n, h, w, 2), np.float32)
    given = {"frames": heat, "flow": flow}
    made = {name: given[name] if name in parts else None for name in given}
    return Attribution(**made, table=clips.table, target="happiness", branch="both", method="saliency")


def test_dropped_positions_are_darkened_at_each_keep_rate(clips):
    plain = picture(ClipPlayer(clips))
    player = ClipPlayer(clips, kept=kept_of(clips), overlay="kept")
    half = picture(player)
    assert np.abs(half[:150] - plain[:150]).mean() < 4
    assert half[170:].mean() < 0.6 * plain[170:].mean()
    assert "the 8 of 16 positions kept at rate 0.5" in player._reading.value
    assert "weight 0.70" in player._reading.value
    assert [label for label, _ in player._which.options] == ["keep rate 0.5", "keep rate 0.25"]
    player._which.value = 0.25
    assert player.keep_rate == 0.25
    assert "the 4 of 16" in player._reading.value
    assert picture(player)[90:150].mean() < 0.6 * plain[90:150].mean()
    with pytest.raises(traitlets.TraitError, match=r"no keep rate 0.9 here; there are 0.5, 0.25"):
        player.keep_rate = 0.9


def test_an_attribution_follows_the_frame_in_red_and_blue(clips):
    player = ClipPlayer(clips, attribution=attribution_of(clips), overlay="attribution")
    for frame, sign in ((0, 1), (1, -1), (4, 1)):
        player.frame = frame
        shown = picture(player)
        red = (shown[..., 0] - shown[..., 2]) * sign
        row, column = np.unravel_index(red.argmax(), red.shape)
        assert red.max() > 100
        assert row / 320 * 48 == pytest.approx(4 * frame + 2, abs=3)
        assert column / 320 * 48 == pytest.approx(12, abs=3)
    assert "happiness by saliency, this frame: red speaks for it, blue against" in player._reading.value
    assert "not checked" in player._reading.value  # no sanity figure was measured, and it says so
    player._which.value = "flow"
    assert player.attributed == "flow"
    assert "the flow, for the whole clip" in player._reading.value
    first = picture(player)
    assert (first[..., 0] - first[..., 2]).min() > 50  # red everywhere


def test_an_overlay_is_there_only_where_it_was_given(clips):
    assert "kept" not in dict(ClipPlayer(clips)._overlays.options).values()
    with pytest.raises(traitlets.TraitError, match=r"no overlay 'kept' here.*hand over kept=medn.diagnose.kept_tokens"):
        ClipPlayer(clips, overlay="kept")
    alone = ClipPlayer(clips, attribution=attribution_of(clips, parts=("flow",)), overlay="attribution")
    assert alone.attributed == "flow"
    assert alone._which.layout.display == "none"


def test_a_clip_that_a_record_lacks_is_named_and_still_plays(clips):
    some = clips.select(clips.table["clip_id"][:2])
    player = ClipPlayer(clips, kept=kept_of(some), attribution=attribution_of(some))
    missing = clips.table["clip_id"].iloc[4]
    player.show(missing)
    plain = picture(player)
    for overlay in ("kept", "attribution"):
        player.overlay = overlay
        assert f"{missing} is not among the 2 clips" in player._reading.value
        assert np.array_equal(picture(player), plain)


def test_an_attribution_of_other_frames_is_not_drawn(clips):
    player = ClipPlayer(clips, attribution=attribution_of(clips, frames=5), overlay="attribution")
    assert "tells of 5 frames and the clip has 8" in player._reading.value


def test_setting_the_clip_shows_it_and_an_unknown_one_is_refused(player, clips):
    player.clip_id = clips.table["clip_id"].iloc[2]
    assert player._heading.value.count(player.clip_id) == 1
    with pytest.raises(traitlets.TraitError, match="'nobody'"):
        player.clip_id = "nobody"


def test_ten_thousand_clips_are_found_by_typing(clips):
    n = 10_000
    table = pd.DataFrame({"clip_id": [f"c{i:05d}" for i in range(n)], "subject": "s"})
    frames = np.broadcast_to(clips.frames[:1], (n, *clips.frames.shape[1:]))
    player = ClipPlayer(Clips(frames, None, table))
    assert len(player._chooser.options) <= 400
    player._chooser.value = "c09999"
    assert player.clip_id == "c09999"
    player._chooser.value = "nobody"
    assert "nobody" in player._reading.value
    assert player.clip_id == "c09999"


def test_names_from_the_table_are_escaped():
    table = pd.DataFrame({"clip_id": ["<i>c</i>"], "subject": ["<script>"], "emotion": ["<b>"]})
    player = ClipPlayer(Clips(np.zeros((1, 3, 8, 8, 3), np.uint8), None, table))
    assert "<i>c" not in player._heading.value
    assert "<script>" not in player._heading.value
    assert "&lt;b&gt;" in player._heading.value


def test_the_player_can_be_found_on_the_page(player):
    assert "medn-clip-player" in player._dom_classes
