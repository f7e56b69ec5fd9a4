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
    view, (face,) = player.view, player.view.faces
    kept = {one["rate"]: one["text"] for one in face["kept"]}
    heat = {part: one["text"] for part, one in face["heat"].items()}
    own = {"kept": kept.get(view.keep_rate), "attribution": heat.get(view.attributed)}.get(view.overlay)
    return " ".join(filter(None, [own or face["texts"].get(view.overlay, ""), *view.notes]))


def test_the_page_gets_the_frames_the_flow_and_the_times_of_the_clip(clips):
    player = ClipPlayer(clips)
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
    player.frame, player.magnify = 5, 4
    assert (player.view.frame, player.view.magnify, player.loop) == (5, 4, True)
    player.show(clips.table["clip_id"][3])
    assert player.view.frame == 0
    assert np.abs(sent(player.view) - clips.frames[3]).mean() < 3
    (face,) = player.view.faces
    for overlay, scale in (("arrows", f"{face['gain']:g} times"), ("magnitude", f"{face['largest']:.2f} px of 48")):
        player.view.overlay = overlay
        assert scale in written(player)
    state = {name: getattr(player.view, name) for name in player.view.trait_names()}
    refused = {"frame": 99, "overlay": "kept", "magnify": 99.0, "speed": float("nan"), "keep_rate": 0.5}
    for name, value in {**refused, "attributed": "flow"}.items():
        with pytest.raises(traitlets.TraitError, match=name):
            setattr(player.view, name, value)
        assert getattr(player.view, name) == state[name]
    with pytest.raises(ValueError, match="no overlay 'kept' here; there are none, arrows, magnitude"):
        ClipPlayer(clips, overlay="kept")


def test_what_the_clips_lack_is_named_and_the_rest_plays(clips):
    coloured = replace(clips, flow=np.zeros((6, 48, 48, 3), np.float32), recipe={"coding": "hsv"})
    for own, shown, said in (
        (replace(clips, flow=None), ["none"], "no flow"),
        (coloured, ["none"], "coded as colours"),
        (replace(clips, frames=None), ["arrows", "magnitude"], "no frames"),
        (replace(coloured, frames=None), [], "no frames"),
    ):
        player = ClipPlayer(own)
        assert [key for key, *_ in player.view.overlays] == shown
        assert said in written(player)
        assert (player.view.faces[0]["frames"] is None) == (own.frames is None)
    with pytest.raises(ValueError, match="empty"):
        ClipPlayer(Clips(clips.frames[:0], clips.flow[:0], clips.table.iloc[:0]))


def test_kept_positions_and_attributions_are_sent_with_their_scales(clips):
    masks = np.zeros((6, 2, 4, 4), dtype=bool)
    masks[:, 0, :2], masks[:, 1, :1] = True, True
    mix = np.tile(np.float32([0.7, 0.3]), (6, 1))
    given = {"keep_rates": (0.5, 0.25), "kept_shares": (0.5, 0.25)}
    kept = KeptTokens(masks, np.zeros((6, 4, 4), np.float32), mix, clips.table, **given)
    heat = np.zeros((6, 8, 48, 48, 3), np.float32)
    for frame in range(8):  # each frame has one patch, positive in even frames and negative in odd ones
        heat[:, frame, 4 * frame : 4 * frame + 4, 10:14] = (-1) ** frame
    how = {"target": "happiness", "branch": "both", "method": "saliency"}
    maps = Attribution(heat, np.ones((6, 48, 48, 2), np.float32), clips.table, **how)
    player = ClipPlayer(clips, kept=kept, attribution=maps, overlay="kept")
    (face,) = player.view.faces
    masks = [np.frombuffer(one["mask"], np.uint8).reshape(4, 4) for one in face["kept"]]
    assert [mask.any(axis=1).sum() for mask in masks] == [2, 1]
    for fact in ("8 of 16 positions kept at rate 0.5", "weight 0.70"):
        assert fact in written(player)
    player.view.keep_rate = 0.25
    assert "4 of 16" in written(player)
    player.view.overlay = "attribution"
    values = np.frombuffer(face["heat"]["frames"]["data"], np.int8).reshape(8, 48, 48).astype(int)
    for frame, sign in ((0, 1), (1, -1), (4, 1)):
        row, column = np.unravel_index((sign * values[frame]).argmax(), values[frame].shape)
        assert (row, column) == (pytest.approx(4 * frame + 1.5, abs=2), pytest.approx(11.5, abs=2))
        assert sign * values[frame].min() > -10
    assert "happiness by saliency, this frame: red raises it, blue lowers it" in written(player)
    player.view.attributed = "flow"
    assert "onset to apex" in written(player)
    cancels = replace(maps, frames=heat - heat[:, :, :, ::-1])
    assert "red is positive" in written(ClipPlayer(clips, attribution=cancels, overlay="attribution"))
    short = ClipPlayer(clips, attribution=replace(maps, frames=heat[:, :5]), overlay="attribution")  # of other clips
    assert "frames" not in short.view.faces[0]["heat"]
    some, missing = clips.table["clip_id"][:2], clips.table["clip_id"].iloc[4]
    player = ClipPlayer(clips, kept=kept.select(some), attribution=maps.select(some), clip_id=missing)
    for player.view.overlay in ("kept", "attribution"):
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


def test_a_viewing_copy_takes_the_place_of_the_networks_frames(clips):
    ids = clips.table["clip_id"]
    makers = tuple(lambda row=row: clips.frames[row].repeat(3, axis=1).repeat(3, axis=2) for row in range(6))
    large = replace(clips, viewing=ViewingCopy(144, makers))
    view, plain = ClipView(large), ClipView(clips)
    for one in (view, plain):
        one.show(*ids.iloc[[2, 0]])
    assert sent(view, 1).shape == (8, 144, 144, 3)
    assert np.abs(sent(view) - large.viewing[2]).mean() < 4
    assert "144 px (viewing copy)" in view.notes[-1]
    assert "48 px, as the network gets them" in plain.notes[-1]
    for name in ("flow", "push", "course", "gain", "largest"):  # in pixels of the network's frames
        assert view.faces[0][name] == plain.faces[0][name]

    async def looked_at():
        view.show(ids[0])
        at_once = sent(view).shape[1]
        view.show(ids[1])
        await asyncio.sleep(0.25)
        return at_once, sent(view)

    at_once, later = asyncio.run(looked_at())
    assert at_once == 48
    assert np.abs(later - large.viewing[1]).mean() < 4

    def broken():
        raise FileNotFoundError("viewing/000000.webp")

    view = ClipView(replace(clips, viewing=ViewingCopy(144, (broken,) * 6)))
    view.show(ids[0])
    assert sent(view).shape == (8, 48, 48, 3)
    assert "viewing/000000.webp" in view.notes[-1]
    long = ViewingCopy(144, (lambda: np.zeros((130, 144, 144, 3), np.uint8),))  # WebP holds at most 16383 rows
    view = ClipView(replace(clips.select(ids[:1]), frames=np.zeros((1, 130, 16, 16, 3), np.uint8), viewing=long))
    view.show(ids[0])
    assert sent(view).shape[1:3] == (126, 126)
