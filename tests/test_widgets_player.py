"""ClipPlayer: its traits are its state, its picture follows them."""

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
import traitlets
from PIL import Image
from sample_records import sample_clips

from medn_lab.records import Clips
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
    monkeypatch.setattr(player_module, "render", lambda picture, *_: (drawn.append(1), (picture, ""))[1])
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


def test_clips_without_frames_say_so(clips):
    player = ClipPlayer(dataclasses.replace(clips, frames=None))
    assert "no frames" in player._reading.value
    assert player._play.disabled
    player.show(clips.table["clip_id"].iloc[1])
    assert clips.table["clip_id"].iloc[1] in player._heading.value


def test_names_from_the_table_are_escaped():
    table = pd.DataFrame({"clip_id": ["<i>c</i>"], "subject": ["<script>"], "emotion": ["<b>"]})
    player = ClipPlayer(Clips(np.zeros((1, 3, 8, 8, 3), np.uint8), None, table))
    assert "<i>c" not in player._heading.value
    assert "<script>" not in player._heading.value
    assert "&lt;b&gt;" in player._heading.value


def test_the_player_can_be_found_on_the_page(player):
    assert "medn-clip-player" in player._dom_classes
