"""ClipView: what is sent to the page of the viewing copy, and when."""

import asyncio
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sample_records import sample_clips

from medn_lab.records import ViewingCopy, frames_of_strip
from medn_lab.widgets.clip_view import ClipView


@pytest.fixture(scope="module")
def clips():
    plain = sample_clips(n=3, size=48)
    makers = tuple(lambda row=row: plain.frames[row].repeat(3, axis=1).repeat(3, axis=2) for row in range(3))
    return replace(plain, viewing=ViewingCopy(144, makers))


def sent(view: ClipView, place: int = 0) -> np.ndarray:
    face = view.faces[place]
    frames = frames_of_strip(face["frames"], n_frames=face["count"])
    assert frames.shape[1:3] == (face["height"], face["width"])
    return frames


def test_the_viewing_copy_takes_the_place_of_the_networks_frames(clips):
    view, plain = ClipView(clips), ClipView(replace(clips, viewing=None))
    names = clips.table["clip_id"].iloc[[2, 0]]
    for one in (view, plain):
        one.show(*names)
    assert sent(view, 1).shape == (8, 144, 144, 3)
    assert np.abs(sent(view).astype(float) - clips.viewing[2]).mean() < 4
    assert sent(plain).shape == (8, 48, 48, 3)
    assert "144 px (viewing copy)" in view.notes[-1]
    assert "48 px, as the network gets them" in plain.notes[-1]
    for name in ("flow", "push", "course", "gain", "largest"):  # in pixels of the network's frames, whatever is shown
        assert view.faces[0][name] == plain.faces[0][name]


def test_while_an_event_loop_runs_the_networks_frames_are_there_at_once_and_the_copy_follows(clips):
    async def looked_at():
        view = ClipView(clips)
        view.show(clips.table["clip_id"][0])
        at_once = sent(view).shape[1]
        view.show(clips.table["clip_id"][1])
        await asyncio.sleep(0.4)
        return at_once, view

    at_once, view = asyncio.run(looked_at())
    assert at_once == 48
    assert np.abs(sent(view).astype(float) - clips.viewing[1]).mean() < 4


def test_a_copy_that_cannot_be_read_leaves_the_networks_frames_and_a_sentence(clips):
    def broken():
        raise FileNotFoundError("viewing/000000.webp")

    view = ClipView(replace(clips, viewing=ViewingCopy(144, (broken,) * 3)))
    view.show(clips.table["clip_id"][0])
    assert sent(view).shape == (8, 48, 48, 3)
    assert "viewing/000000.webp" in view.notes[-1]


def test_a_long_clip_fits_into_one_picture(clips):
    frames = np.zeros((1, 130, 16, 16, 3), np.uint8)
    large = ViewingCopy(144, (lambda: np.zeros((130, 144, 144, 3), np.uint8),))  # 18,720 px: more than WebP can hold
    one = replace(clips.select(clips.table["clip_id"][:1]), frames=frames, viewing=large, flow=None)
    view = ClipView(one)
    view.show(one.table["clip_id"][0])
    assert sent(view).shape[1:3] == (126, 126)
    assert Image.open(io.BytesIO(view.faces[0]["frames"])).height <= 16383
