"""ClipPlayer and the view under it: its traits are its state, and what the page draws is what was sent."""

import dataclasses
import io

import ipywidgets
import numpy as np
import pandas as pd
import pytest
import traitlets
from page_contents import parts
from PIL import Image
from sample_records import sample_clips

from medn_lab.records import Attribution, Clips, KeptTokens
from medn_lab.widgets import ClipPlayer


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=6)


@pytest.fixture
def player(clips):
    return ClipPlayer(clips)


def strip(face):
    """The frames of a face as the page decodes them, (t, h, w, 3)."""
    picture = np.asarray(Image.open(io.BytesIO(face["frames"])).convert("RGB"))
    return picture.reshape(face["count"], face["height"], face["width"], 3).astype(int)


def flow_of(packed):
    """A flow as the page unpacks it, in pixels."""
    values = np.frombuffer(packed["data"], np.int8).astype(float) * packed["scale"]
    return values.reshape(packed["height"], packed["width"], 2)


def titles(player):
    return {key: title for key, title, _ in player.view.overlays}


def written(player):
    """The sentences under the face."""
    (face,) = player.view.faces
    kept = {one["rate"]: one["text"] for one in face["kept"]}
    heat = {part: one["text"] for part, one in face["heat"].items()}
    own = {"kept": kept.get(player.keep_rate), "attribution": heat.get(player.attributed)}.get(player.overlay)
    return " ".join(filter(None, [own or face["texts"].get(player.overlay, ""), *player.view.notes]))


def test_the_page_gets_the_frames_and_the_flow_of_the_clip(player, clips):
    (face,) = player.view.faces
    assert np.abs(strip(face) - clips.frames[0]).mean() < 3
    flow = np.asarray(clips.flow[0][..., :2], dtype=float)
    assert np.abs(flow_of(face["flow"]) - flow).max() <= np.abs(flow).max() / 200
    assert len(face["frames"]) + len(face["flow"]["data"]) < 30_000

    # Frames are pushed along the flow, without what hardly moves, as far as they are on the way to the apex.
    assert [face["course"][place] for place in (0, player.moments.apex)] == pytest.approx([0, 1])
    assert np.abs(flow_of(face["push"])).max() <= 1.01 * np.abs(flow_of(face["flow"])).max()


def test_the_time_axis_names_onset_apex_and_offset_with_their_times(player, clips):
    row = clips.table.iloc[0]
    assert player.view.interval == pytest.approx(np.diff(player.moments.milliseconds).mean())
    apex = player.view.moments[player.moments.apex]
    assert apex["name"] == "apex"
    assert apex["text"] == f"frame {row['apex']} · {(row['apex'] - row['onset']) * 5:.0f} ms · apex"
    assert [player.view.moments[place]["name"] for place in (0, -1)] == ["onset", "offset"]


def test_overlays_say_their_scale(player):
    player.overlay = "arrows"
    assert "times as long as the motion" in written(player)
    player.overlay = "magnitude"
    assert f"up to {player.view.faces[0]['largest']:.2f} px of 48" in written(player)


@pytest.mark.parametrize(
    ("name", "value"),
    [("frame", 4), ("magnify", 7.5), ("overlay", "magnitude"), ("loop", False), ("speed", 0.3)],
)
def test_the_player_and_the_page_are_one_state(player, name, value):
    before = getattr(player, name)
    setattr(player.view, name, value)
    assert getattr(player, name) == value
    setattr(player, name, before)
    assert getattr(player.view, name) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [("frame", 8), ("frame", -1), ("magnify", 40), ("magnify", 0.5), ("speed", 0), ("speed", 2), ("overlay", "mood")],
)
def test_what_is_out_of_range_is_refused_and_changes_nothing(player, name, value):
    before = getattr(player, name)
    with pytest.raises(traitlets.TraitError, match=str(value)):
        setattr(player, name, value)
    assert getattr(player, name) == getattr(player.view, name) == before


def test_showing_another_clip_begins_at_its_onset(player, clips):
    seen = []
    player.observe(lambda change: seen.append(change.new), "clip_id")
    ids = clips.table["clip_id"]
    for place, show in ((3, player.show), (3, player.show), (2, lambda one: setattr(player, "clip_id", one))):
        player.frame = 5
        show(ids[place])
        assert (player.clip_id, player.frame) == (ids[place], 0)
        assert np.abs(strip(player.view.faces[0]) - clips.frames[place]).mean() < 3
    assert seen == [ids[3], ids[2]]
    with pytest.raises(ValueError, match="'nobody'"):
        player.show("nobody")
    with pytest.raises(traitlets.TraitError, match="'nobody'"):
        player.clip_id = "nobody"


def test_what_the_clips_lack_is_named_and_the_rest_plays(clips):
    still = ClipPlayer(dataclasses.replace(clips, flow=None))
    assert list(titles(still)) == ["none"]
    assert "no flow" in written(still)
    assert still.view.faces[0]["push"] is None
    player = ClipPlayer(dataclasses.replace(clips, frames=None))
    assert "no frames" in written(player)
    assert (player.overlay, list(titles(player))) == ("magnitude", ["arrows", "magnitude"])
    assert player.view.faces[0]["frames"] is None
    with pytest.raises(traitlets.TraitError, match="these clips have no frames"):
        player.overlay = "none"


def test_flow_that_is_a_colour_picture_is_not_taken_for_pixels(clips):
    coloured = dataclasses.replace(clips, flow=np.zeros((6, 48, 48, 3), np.float32), recipe={"coding": "hsv"})
    player = ClipPlayer(coloured)
    assert list(titles(player)) == ["none"]
    assert "coded as colours" in written(player)
    assert "nothing can be played" in written(ClipPlayer(dataclasses.replace(coloured, frames=None)))
    with pytest.raises(ValueError, match="empty"):
        ClipPlayer(Clips(clips.frames[:0], clips.flow[:0], clips.table.iloc[:0]))


def kept_of(clips, *, rates=(0.5, 0.25)):
    """A grid of 4 x 4 of which the upper half, then the upper quarter is kept."""
    masks = np.zeros((len(clips), len(rates), 4, 4), dtype=bool)
    for scale, rate in enumerate(rates):
        masks[:, scale, : round(4 * rate)] = True
    mix = np.tile(np.float32([0.7, 0.3]), (len(clips), 1))
    scores = np.zeros((len(clips), 4, 4), np.float32)
    return KeptTokens(masks, scores, mix, clips.table, keep_rates=rates, kept_shares=rates)


def attribution_of(clips, *, parts=("frames", "flow"), frames=None):
    """Each frame has one patch, positive in even frames and negative in odd ones."""
    n, t, h, w, _ = clips.frames.shape if frames is None else (len(clips), frames, 48, 48, 3)
    heat = np.zeros((n, t, h, w, 3), np.float32)
    for frame in range(t):
        heat[:, frame, 4 * frame : 4 * frame + 4, 10:14] = (-1) ** frame
    flow = np.ones((n, h, w, 2), np.float32)
    given = {"frames": heat, "flow": flow}
    made = {name: given[name] if name in parts else None for name in given}
    return Attribution(**made, table=clips.table, target="happiness", branch="both", method="saliency")


def test_kept_positions_are_sent_at_each_keep_rate(clips):
    player = ClipPlayer(clips, kept=kept_of(clips), overlay="kept")
    assert player.view.keep_rates == [0.5, 0.25]
    masks = [np.frombuffer(one["mask"], np.uint8).reshape(4, 4) for one in player.view.faces[0]["kept"]]
    assert [mask.any(axis=1).sum() for mask in masks] == [2, 1]
    assert "8 of 16 positions kept at rate 0.5" in written(player)
    assert "weight 0.70" in written(player)
    player.keep_rate = 0.25
    assert "4 of 16" in written(player)
    with pytest.raises(traitlets.TraitError, match=r"0\.9.*0\.5, 0\.25"):
        player.keep_rate = 0.9


def test_an_attribution_is_sent_frame_by_frame_with_its_sign(clips):
    player = ClipPlayer(clips, attribution=attribution_of(clips), overlay="attribution")
    heat = player.view.faces[0]["heat"]["frames"]
    values = np.frombuffer(heat["data"], np.int8).reshape(8, heat["height"], heat["width"]).astype(int)
    for frame, sign in ((0, 1), (1, -1), (4, 1)):
        row, column = np.unravel_index((sign * values[frame]).argmax(), values[frame].shape)
        assert sign * values[frame].min() > -10
        assert (row, column) == (pytest.approx(4 * frame + 1.5, abs=2), pytest.approx(11.5, abs=2))
    assert "happiness by saliency, this frame: red raises it, blue lowers it" in written(player)
    player.attributed = "flow"
    assert "one map for the whole clip" in written(player)


def test_an_overlay_is_there_only_where_it_was_given(clips):
    assert "kept" not in titles(ClipPlayer(clips))
    with pytest.raises(traitlets.TraitError, match=r"kept=medn\.diagnose\.kept_tokens"):
        ClipPlayer(clips, overlay="kept")
    assert ClipPlayer(clips, attribution=attribution_of(clips, parts=("flow",))).attributed == "flow"


@pytest.mark.parametrize("overlay", ["kept", "attribution"])
def test_a_clip_that_a_record_lacks_is_named_and_still_plays(clips, overlay):
    some = clips.select(clips.table["clip_id"][:2])
    player = ClipPlayer(clips, kept=kept_of(some), attribution=attribution_of(some), overlay=overlay)
    missing = clips.table["clip_id"].iloc[4]
    player.show(missing)
    assert f"{missing} is not among the 2 clips" in written(player)
    assert player.view.faces[0]["frames"]


def test_an_attribution_of_other_frames_is_not_drawn(clips):
    player = ClipPlayer(clips, attribution=attribution_of(clips, frames=5), overlay="attribution")
    assert "5 frames" in written(player)
    assert "frames" not in player.view.faces[0]["heat"]


def test_ten_thousand_clips_are_found_by_typing(clips):
    table = pd.DataFrame({"clip_id": [f"c{i:05d}" for i in range(10_000)], "subject": "s"})
    player = ClipPlayer(Clips(np.broadcast_to(clips.frames[:1], (10_000, *clips.frames.shape[1:])), None, table))
    (box,) = (one for one in parts(player) if isinstance(one, ipywidgets.Combobox))
    box.value = "c09999"
    assert player.clip_id == "c09999"
    box.value = "nobody"
    assert (player.clip_id, box.value) == ("c09999", "c09999")
    assert any("nobody" in one.value for one in parts(player) if isinstance(one, ipywidgets.HTML))
