"""ClipPlayer and the view under it: its traits are its state, and what the page draws is what was sent."""

import asyncio
from dataclasses import replace

import ipywidgets
import numpy as np
import pandas as pd
import pytest
import traitlets
from page_contents import parts, text_of
from sample_records import sample_clips

from medn_lab.records import Attribution, Clips, KeptTokens, ViewingCopy, frames_of_strip
from medn_lab.widgets import ClipPlayer
from medn_lab.widgets.clip_view import ClipView


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=6)


@pytest.fixture
def player(clips):
    return ClipPlayer(clips)


def sent(view, place=0):
    """The frames of a face as the page decodes them, (t, h, w, 3)."""
    face = view.faces[place]
    frames = frames_of_strip(face["frames"], n_frames=face["count"]).astype(int)
    assert frames.shape[1:3] == (face["height"], face["width"])
    return frames


def flow_of(packed):
    """A flow as the page unpacks it, in pixels."""
    values = np.frombuffer(packed["data"], np.int8).astype(float) * packed["scale"]
    return values.reshape(packed["height"], packed["width"], 2)


def written(player):
    """The sentences under the face."""
    (face,) = player.view.faces
    kept = {one["rate"]: one["text"] for one in face["kept"]}
    heat = {part: one["text"] for part, one in face["heat"].items()}
    own = {"kept": kept.get(player.view.keep_rate), "attribution": heat.get(player.view.attributed)}.get(
        player.view.overlay
    )
    return " ".join(filter(None, [own or face["texts"].get(player.view.overlay, ""), *player.view.notes]))


def overlays(player):
    return [key for key, *_ in player.view.overlays]


def test_the_page_gets_the_frames_the_flow_and_the_times_of_the_clip(player, clips):
    (face,), moments, row = player.view.faces, player.view.moments, clips.table.iloc[0]
    assert np.abs(sent(player.view) - clips.frames[0]).mean() < 3
    assert np.abs(flow_of(face["flow"]) - clips.flow[0]).max() <= np.abs(clips.flow[0]).max() / 200
    assert len(face["frames"]) + len(face["flow"]["data"]) < 30_000
    apex = [one["name"] for one in moments].index("apex")
    assert moments[apex]["text"] == f"frame {row['apex']} · {(row['apex'] - row['onset']) * 5:.0f} ms · apex"
    assert [moments[place]["name"] for place in (0, -1)] == ["onset", "offset"]
    assert player.view.interval == pytest.approx((row["offset"] - row["onset"]) * 5 / 7)
    # Frames are pushed along the flow, without what hardly moves, as far as they are on the way to the apex.
    assert [face["course"][place] for place in (0, apex)] == pytest.approx([0, 1])
    assert np.abs(flow_of(face["push"])).max() <= 1.01 * np.abs(flow_of(face["flow"])).max()
    player.view.frame = 5
    player.show(clips.table["clip_id"][3])
    assert player.view.frame == player.view.frame == 0
    assert np.abs(sent(player.view) - clips.frames[3]).mean() < 3
    (face,) = player.view.faces
    for overlay, scale in (("arrows", f"{face['gain']:g} times"), ("magnitude", f"{face['largest']:.2f} px of 48")):
        player.view.overlay = overlay
        assert scale in written(player)


def test_what_the_clips_lack_is_named_and_the_rest_plays(clips):
    coloured = replace(clips, flow=np.zeros((6, 48, 48, 3), np.float32), recipe={"coding": "hsv"})
    for own, shown, said in (
        (replace(clips, flow=None), ["none"], "no flow"),
        (coloured, ["none"], "coded as colours"),
        (replace(clips, frames=None), ["arrows", "magnitude"], "no frames"),
        (replace(coloured, frames=None), [], "no frames"),
    ):
        player = ClipPlayer(own)
        assert overlays(player) == shown
        assert said in written(player)
        assert (player.view.faces[0]["frames"] is None) == (own.frames is None)
        assert (player.view.faces[0]["push"] is None) == (shown != ["none", "arrows", "magnitude"])
    with pytest.raises(traitlets.TraitError, match="no overlay"):
        ClipPlayer(replace(clips, frames=None)).view.overlay = "none"
    with pytest.raises(ValueError, match="empty"):
        ClipPlayer(Clips(clips.frames[:0], clips.flow[:0], clips.table.iloc[:0]))


def kept_of(clips):
    """A grid of 4 x 4 of which the upper half, then the upper quarter is kept."""
    masks = np.zeros((len(clips), 2, 4, 4), dtype=bool)
    masks[:, 0, :2], masks[:, 1, :1] = True, True
    mix, scores = np.tile(np.float32([0.7, 0.3]), (len(clips), 1)), np.zeros((len(clips), 4, 4), np.float32)
    return KeptTokens(masks, scores, mix, clips.table, keep_rates=(0.5, 0.25), kept_shares=(0.5, 0.25))


def attribution_of(clips, *, frames=8):
    """Each frame has one patch, positive in even frames and negative in odd ones."""
    heat = np.zeros((len(clips), frames, 48, 48, 3), np.float32)
    for frame in range(frames):
        heat[:, frame, 4 * frame : 4 * frame + 4, 10:14] = (-1) ** frame
    flow = np.ones((len(clips), 48, 48, 2), np.float32)
    return Attribution(heat, flow, clips.table, target="happiness", branch="both", method="saliency")


def test_kept_positions_are_sent_at_each_keep_rate(clips):
    player = ClipPlayer(clips, kept=kept_of(clips), overlay="kept")
    masks = [np.frombuffer(one["mask"], np.uint8).reshape(4, 4) for one in player.view.faces[0]["kept"]]
    assert [mask.any(axis=1).sum() for mask in masks] == [2, 1]
    assert "8 of 16 positions kept at rate 0.5" in written(player)
    assert "weight 0.70" in written(player)
    player.view.keep_rate = 0.25
    assert "4 of 16" in written(player)
    with pytest.raises(traitlets.TraitError, match=r"0\.9.*0\.5, 0\.25"):
        player.view.keep_rate = 0.9


def test_an_attribution_is_sent_frame_by_frame_with_its_sign(clips):
    player = ClipPlayer(clips, attribution=attribution_of(clips), overlay="attribution")
    heat = player.view.faces[0]["heat"]["frames"]
    values = np.frombuffer(heat["data"], np.int8).reshape(8, heat["height"], heat["width"]).astype(int)
    for frame, sign in ((0, 1), (1, -1), (4, 1)):
        row, column = np.unravel_index((sign * values[frame]).argmax(), values[frame].shape)
        assert sign * values[frame].min() > -10
        assert (row, column) == (pytest.approx(4 * frame + 1.5, abs=2), pytest.approx(11.5, abs=2))
    assert "happiness by saliency, this frame: red raises it, blue lowers it" in written(player)
    player.view.attributed = "flow"
    assert "onset to apex" in written(player)
    player = ClipPlayer(clips, attribution=attribution_of(clips, frames=5), overlay="attribution")  # of other clips
    assert "no map" in written(player)
    assert "frames" not in player.view.faces[0]["heat"]


def test_an_overlay_that_was_not_given_or_lacks_a_clip_is_named_and_the_clip_plays(clips):
    with pytest.raises(traitlets.TraitError, match="no overlay"):
        ClipPlayer(clips, overlay="kept")
    some, missing = clips.select(clips.table["clip_id"][:2]), clips.table["clip_id"].iloc[4]
    player = ClipPlayer(clips, kept=kept_of(some), attribution=attribution_of(some), clip_id=missing)
    for overlay in ("kept", "attribution"):
        player.view.overlay = overlay
        assert f"of {missing}" in written(player)
    assert player.view.faces[0]["frames"]


def test_ten_thousand_clips_are_found_by_typing(clips):
    table = pd.DataFrame({"clip_id": [f"c{i:05d}" for i in range(10_000)], "subject": "s"})
    player = ClipPlayer(Clips(np.broadcast_to(clips.frames[:1], (10_000, *clips.frames.shape[1:])), None, table))
    (box,) = parts(player, ipywidgets.Combobox)
    for typed in ("c09999", "nobody"):
        box.value = typed
        assert (player.clip_id, box.value) == ("c09999", "c09999")
    assert "nobody" in text_of(player)


class TestViewingCopy:
    @pytest.fixture(scope="class")
    @staticmethod
    def large(clips):
        makers = tuple(lambda row=row: clips.frames[row].repeat(3, axis=1).repeat(3, axis=2) for row in range(6))
        return replace(clips, viewing=ViewingCopy(144, makers))

    def test_it_takes_the_place_of_the_networks_frames(self, large, clips):
        view, plain = ClipView(large), ClipView(clips)
        for one in (view, plain):
            one.show(*clips.table["clip_id"].iloc[[2, 0]])
        assert sent(view, 1).shape == (8, 144, 144, 3)
        assert np.abs(sent(view) - large.viewing[2]).mean() < 4
        assert "144 px (viewing copy)" in view.notes[-1]
        assert "48 px, as the network gets them" in plain.notes[-1]
        for name in ("flow", "push", "course", "gain", "largest"):  # in pixels of the network's frames
            assert view.faces[0][name] == plain.faces[0][name]

    def test_while_an_event_loop_runs_it_follows_the_networks_frames(self, large):
        async def looked_at():
            view = ClipView(large)
            view.show(large.table["clip_id"][0])
            at_once = sent(view).shape[1]
            view.show(large.table["clip_id"][1])
            await asyncio.sleep(0.25)
            return at_once, view

        at_once, view = asyncio.run(looked_at())
        assert at_once == 48
        assert np.abs(sent(view) - large.viewing[1]).mean() < 4

    def test_one_that_cannot_be_read_is_named_and_a_long_one_fits_into_a_picture(self, clips):
        def broken():
            raise FileNotFoundError("viewing/000000.webp")

        first = clips.table["clip_id"][0]
        view = ClipView(replace(clips, viewing=ViewingCopy(144, (broken,) * 6)))
        view.show(first)
        assert sent(view).shape == (8, 48, 48, 3)
        assert "viewing/000000.webp" in view.notes[-1]
        long = ViewingCopy(144, (lambda: np.zeros((130, 144, 144, 3), np.uint8),))  # WebP holds at most 16383 rows
        view = ClipView(replace(clips.select([first]), frames=np.zeros((1, 130, 16, 16, 3), np.uint8), viewing=long))
        view.show(first)
        assert sent(view).shape[1:3] == (126, 126)
