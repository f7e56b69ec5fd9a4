"""ClipPlayer and the view under it: its traits are its state, and what the page draws is what was sent."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
import traitlets
from cases import assert_refuses
from page_contents import control, text_of
from sample_records import sample_clips

from medn_lab.records import Attribution, Clips, KeptTokens, ViewingCopy, frames_of_strip
from medn_lab.view import images
from medn_lab.view.rows import au_set_texts
from medn_lab.widgets import ClipPlayer, panel
from medn_lab.widgets.clip_view import ClipView


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=6)


def frames_in(face):
    """The frames of a face as the page decodes them, (t, h, w, 3)."""
    frames = frames_of_strip(face["frames"], n_frames=face["count"]).astype(int)
    assert frames.shape[1:3] == (face["height"], face["width"])
    return frames


def flow_of(packed):
    """A flow as the page unpacks it, in pixels."""
    values = np.frombuffer(packed["data"], np.int8).astype(float) * packed["scale"]
    return values.reshape(packed["height"], packed["width"], 2)


def written(view):
    """The sentences under the face, as the page writes them."""
    (face,) = view.faces
    maps = {"kept": {one["rate"]: one for one in face["kept"]}.get(view.keep_rate)}
    own = (maps | {"attribution": face["heat"].get(view.attributed)}).get(view.overlay)
    text = own["text"] if own else face["texts"].get(view.overlay, "")
    text = text.replace("{gain}", f"{face['gain']:g}").replace("{largest}", f"{face['largest']:.2f}")
    return " ".join([text, *view.notes])


def test_the_page_gets_the_frames_the_flow_and_the_times_of_the_clip(clips):
    player, row = ClipPlayer(clips, magnify=4), clips.table.iloc[0]
    view, (face,), moments = player.view, player.view.faces, player.view.moments
    assert np.abs(frames_in(face) - clips.frames[0]).mean() < 3
    assert np.abs(flow_of(face["flow"]) - clips.flow[0]).max() <= np.abs(clips.flow[0]).max() / 200
    assert len(face["frames"]) + len(face["flow"]["data"]) < 30_000
    apex = [one["name"] for one in moments].index("apex")
    assert moments[apex]["text"] == f"frame {row['apex']} · {(row['apex'] - row['onset']) * 5:.0f} ms · apex"
    assert [moments[place]["name"] for place in (0, -1)] == ["onset", "offset"]
    assert view.interval == pytest.approx((row["offset"] - row["onset"]) * 5 / 7)
    # Frames are pushed along the flow, without what hardly moves, as far as they are on the way to the apex.
    assert [face["course"][place] for place in (0, apex)] == pytest.approx([0, 1])
    assert np.abs(flow_of(face["push"])).max() <= 1.01 * np.abs(flow_of(face["flow"])).max()
    view.frame = 5
    player.show(clips.table["clip_id"][3])
    assert (view.frame, view.magnify) == (0, 4)
    (face,) = view.faces
    assert np.abs(frames_in(face) - clips.frames[3]).mean() < 3
    for view.overlay, fact in (("arrows", f"{face['gain']:g} times"), ("magnitude", f"{face['largest']:.2f} px of 48")):
        assert fact in written(view)
    refused = {"frame": 99, "magnify": 99.0, "speed": float("nan"), "keep_rate": 0.5, "attributed": "x"}
    for name, value in refused.items():
        before = getattr(view, name)
        assert_refuses(setattr, view, name, value, match=name, error=traitlets.TraitError)
        assert getattr(view, name) == before
    with pytest.raises(ValueError, match="no overlay 'kept' here; there are none, magnitude, arrows"):
        view.overlay = "kept"
    assert_refuses(ClipPlayer, Clips(clips.frames[:0], clips.flow[:0], clips.table.iloc[:0]), match="empty")


def test_what_the_clips_lack_is_named_and_the_rest_plays(clips):
    coloured = replace(clips, flow=np.zeros((6, 48, 48, 3), np.float32), recipe={"coding": "hsv"})
    for own, shown, fact in (
        (replace(clips, flow=None), ["none"], "no flow"), (coloured, ["none"], "coded as colours"),
        (replace(clips, frames=None), ["magnitude", "arrows"], "no frames"),
        (replace(coloured, frames=None), [], "no frames"),
    ):  # fmt: skip
        view = ClipPlayer(own).view
        assert [traits["overlay"] for traits, *_ in view.overlays] == shown
        assert (fact in written(view), view.faces[0]["frames"] is None) == (True, own.frames is None)


def test_kept_positions_and_attributions_are_sent_with_their_scales(clips):
    masks, heat = np.zeros((6, 2, 4, 4), dtype=bool), np.ones((6, 8, 48, 48, 3), np.float32)
    masks[:, 0, :2] = masks[:, 1, :1] = True
    mix, given = np.tile(np.float32([0.7, 0.3]), (6, 1)), {"keep_rates": (0.5, 0.25), "kept_shares": (0.5, 0.25)}
    kept = KeptTokens(masks, np.zeros((6, 4, 4), np.float32), mix, clips.table, **given)
    maps = Attribution(heat, np.ones((6, 48, 48, 2), np.float32), clips.table, "happiness", "both", "saliency")
    view = ClipPlayer(clips, kept=kept, attribution=maps).view
    (face,), view.overlay = view.faces, "kept"
    sent = [np.frombuffer(one["mask"], np.uint8).reshape(4, 4) for one in face["kept"]]
    assert [mask.any(axis=1).sum() for mask in sent] == [2, 1]
    for view.keep_rate, facts in ((0.5, ("8 of 16 positions", "rate 0.5", "weight 0.70")), (0.25, ("4 of 16",))):
        assert all(fact in written(view) for fact in facts)
    view.overlay = "attribution"
    for view.attributed, fact in (("frames", "happiness by saliency, this frame: red"), ("flow", "onset to apex")):
        assert fact in written(view)
    some, missing = clips.table["clip_id"][:2], clips.table["clip_id"].iloc[4]
    for own, fact, clip_id in (
        (replace(maps, frames=heat * np.resize([1, -1], (48, 1))), "red is positive", None),
        (replace(maps, frames=heat[:, :5]), "no map of", None),  # of clips with fewer frames
        (maps.select(some), f"no map of {missing}", missing),
    ):
        view = ClipPlayer(clips, kept=kept.select(some), attribution=own, clip_id=clip_id).view
        view.overlay = "attribution"
        assert fact in written(view)
    view.overlay = "kept"
    assert f"no kept tokens of {missing}" in written(view)


def test_a_viewing_copy_takes_the_place_of_the_networks_frames(clips, monkeypatch):
    ids = clips.table["clip_id"]
    makers = tuple(lambda row=row: clips.frames[row].repeat(3, axis=1).repeat(3, axis=2) for row in range(6))
    large = replace(clips, viewing=ViewingCopy(144, makers))
    view, plain = ClipView(large), ClipView(clips)
    for one, fact in ((view, "144 px (viewing copy)"), (plain, "48 px, as the network gets them")):
        one.show(*ids.iloc[[2, 0]])
        assert fact in one.notes[-1]
    assert frames_in(view.faces[1]).shape == (8, 144, 144, 3)
    assert np.abs(frames_in(view.faces[0]) - large.viewing[2]).mean() < 4
    for name in ("flow", "push", "course", "gain", "largest"):  # in pixels of the network's frames
        assert view.faces[0][name] == plain.faces[0][name]
    coded, encode = [], images.to_webp
    monkeypatch.setattr(images, "to_webp", lambda pixels, **how: coded.append(pixels) or encode(pixels, **how))
    assert frames_in(view.packed(ids[0])["face"]).shape == (8, 128, 128, 3)  # of a written page
    assert (len(coded), frames_in(plain.packed(ids[0])["face"]).shape) == (1, (8, 48, 48, 3))

    async def looked_at():
        view.show(ids[0])
        at_once = frames_in(view.faces[0]).shape[1]
        view.show(ids[1])
        await asyncio.sleep(0.25)
        return at_once, np.abs(frames_in(view.faces[0]) - large.viewing[1]).mean() < 4

    assert asyncio.run(looked_at()) == (48, True)

    def broken():
        raise FileNotFoundError("viewing/000000.webp")

    long = ViewingCopy(144, (lambda: np.zeros((130, 144, 144, 3), np.uint8),))  # WebP holds at most 16383 rows
    of_long = replace(clips.select(ids[:1]), frames=np.zeros((1, 130, 16, 16, 3), np.uint8), viewing=long)
    for own, side, fact in (
        (replace(clips, viewing=ViewingCopy(144, (broken,) * 6)), 48, "viewing/000000.webp"),
        (of_long, 126, "144 px (viewing copy)"),
    ):
        view = ClipView(own)
        view.show(ids[0])
        assert (frames_in(view.faces[0]).shape[1], fact in view.notes[-1]) == (side, True)


def test_a_clip_is_chosen_from_a_list_with_aus_and_emotion_and_of_many_clips_by_its_id(clips, monkeypatch):
    player, names = ClipPlayer(clips), list(clips.table["clip_id"])
    texts, listed = zip(*control(player, "clip").options, strict=True)
    assert list(listed) == names
    for text, label, aus in zip(texts, clips.table["label"], au_set_texts(clips.table), strict=True):
        assert {label, aus} <= set(text.split(" · "))
    control(player, "clip").value = names[2]
    assert player.clip_id == names[2]
    monkeypatch.setattr(panel, "_MOST_NAMES", 3)
    many = ClipPlayer(clips)
    control(many, "clip").value = names[1]
    assert many.clip_id == names[1]
    control(many, "clip").value = "nobody"
    assert (many.clip_id, control(many, "clip").value) == (names[1], names[1])
    assert "nobody" in text_of(many)
