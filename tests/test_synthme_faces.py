"""Faces, the AUs that move them, the portrait and the studio, checked by a detector, a ruler and the table."""

import cv2
import numpy as np
import pytest
from skimage import data
from slow_cases import mostly_slow

from medn_lab import synthme
from medn_lab.records import Clips, frame_numbers
from medn_lab.synthme import AUS, Identity, draw_face, face_studio, move_face, move_photo, photo_studio

QUIET = {"noise": 0.0, "drift": 0.0}
PULLS = {
    "AU12": ("mouth_corner", (1, -1)), "AU4": ("brow_inner", (-1, 1)), "AU5": ("lid_upper", (0, -1)),
    "AU15": ("mouth_corner", (0, 1)), "AU20": ("mouth_corner", (1, 0)), "AU1": ("brow_inner", (0, -1)),
    "AU2": ("brow_outer", (0, -1)), "AU6": ("cheek", (0, -1)), "AU7": ("lid_lower", (0, -1)),
    "AU9": ("nose_wing", (0, -1)), "AU10": ("lip_top", (0, -1)),
}  # fmt: skip
"""A landmark of the left side that an AU moves, and which way."""


@pytest.fixture(scope="module")
def studio() -> synthme.FaceStudio:
    return face_studio(identity_seed=3)


@pytest.fixture(scope="module")
def large() -> tuple[synthme.Face, synthme.FaceStudio]:
    return draw_face(Identity(0, 0), size=128), face_studio(size=128, n_frames=2)


def displacement(clip: Clips) -> np.ndarray:
    return clip.truth.displacement[0].astype(float)


def length(field: np.ndarray) -> np.ndarray:
    return np.linalg.norm(field, axis=-1)


def test_a_face_is_the_same_picture_at_every_size_and_people_cover_the_range_of_skin():
    large, small = (move_face(draw_face(Identity(3, 1), size=size)) for size in (192, 96))
    assert np.abs(cv2.resize(large, (96, 96), interpolation=cv2.INTER_AREA).astype(float) - small).mean() < 4
    tones = [sum(Identity(0, number).skin) / 3 for number in range(24)]
    assert min(tones) < 80 < 200 < max(tones)


@pytest.mark.parametrize("au", mostly_slow(sorted(AUS, key=lambda au: au not in ("AU4", "AU12", "AU17")), quick=3))
def test_an_au_moves_its_landmark_as_facs_says_both_sides_alike_and_one_side_alone_within_its_mask(large, au):
    face, studio = large
    both = studio({"aus": {au: 1.0}, **QUIET})
    field = displacement(both)
    difference = np.abs(field[:, ::-1] * (-1, 1) - field)[np.minimum(face.mask, face.mask[:, ::-1]) == 1]
    assert np.quantile(difference, 0.98) < 2e-3, "all but the lids' edges, which differ between the eyes"
    assert length(field).max() == pytest.approx(1, abs=0.03 if au != "AU5" else 0.35)
    mask = both.truth.au_mask(both.table["clip_id"][0], au)
    assert length(field)[mask].sum() > 0.7 * length(field).sum()
    assert mask.mean() < 0.25
    one_sided = studio({"aus": {au: 1.0}, "sides": {au: "right"}, **QUIET})
    weight = length(displacement(one_sided)).sum(axis=0)
    if au not in studio.one_sided:
        np.testing.assert_array_equal(one_sided.frames, both.frames)
    else:
        assert (np.arange(128) * weight).sum() / weight.sum() < 64, "the subject's right lies on the left"
        assert one_sided.table["clip_id"][0].endswith(f"-R{au[2:]}C-still")
    if au in PULLS:
        place, way = PULLS[au]
        column, row = (int((v + 1) * 64) for v in face.landmarks["left"][place])
        near = field[row - 3 : row + 4, column - 3 : column + 4].reshape(-1, 2)
        moved = near[length(near).argmax()]  # at a lid's edge the bare eye lies, which does not move
        assert all(got * wanted > 0.25 if wanted else abs(got) < 0.4 for got, wanted in zip(moved, way, strict=True))


def test_a_blink_hides_the_iris():
    clips = synthme.synthetic_clips(n_subjects=1, clips_per_subject=4, n_frames=2, noise=3, cue_strength=0, seed=3)
    blinks = clips.truth.table.query("blink_frame >= 0").iloc[0]
    x, y = (int((v + 1) * 64) for v in draw_face(Identity(3, 0), size=64).landmarks["left"]["eye"])
    frames = synthme.render_frames(clips, blinks["clip_id"], [0, blinks["blink_frame"]], size=128).astype(float)
    opened, closed = frames[:, y - 4 : y + 3, x - 4 : x + 5].mean(axis=-1)
    assert opened.std() > 1.5 * closed.std()


def test_an_action_grows_to_the_apex_and_ends_still():
    clip = face_studio(identity_seed=3, n_frames=18)({"aus": {"AU12": "E"}, **QUIET})
    numbers = frame_numbers(0, 28, 68, 18)
    moved = np.abs(clip.frames[0].astype(int) - clip.frames[0, 0]).mean(axis=(1, 2, 3))
    assert (moved[0], moved[-1], numbers[moved.argmax()]) == (0, 0, 28)
    assert (np.diff(moved) * np.where(numbers[1:] <= 28, 1, -1) >= 0).all()
    drawn = displacement(clip)
    strong = length(drawn) > 0.4
    assert length(drawn - clip.flow[0])[strong].mean() < 0.35 * length(drawn)[strong].mean()


def test_the_portrait_smiles_where_its_mouth_is_and_as_its_studio():
    clip = move_photo(action_units="12", intensity="D")
    truth = displacement(clip)
    moving = length(truth) > 0.1 * length(truth).max()
    assert length(clip.flow[0] - truth)[moving].sum() < 0.3 * length(truth)[moving].sum()
    row, column = np.unravel_index(length(truth).argmax(), moving.shape)
    assert clip.flow[0, row, column, 1] < -0.3, "corners of a smile rise"
    assert clip.truth.au_mask("photo-12", "AU12")[row, column]
    by_hand = photo_studio(size=128)({"aus": {"AU12": "D"}, "cue": "flush", **QUIET})
    # move_photo draws the peak from the middle half of the intensity's range.
    assert np.corrcoef(displacement(by_hand).ravel(), truth.ravel())[0, 1] > 0.999
    one_sided = length(move_photo(action_units="L12", intensity="E", size=64).flow[0])
    assert one_sided[:, 37:].sum() > 4 * one_sided[:, :27].sum(), "the subject's left"
    detected = move_photo(data.astronaut(), "4", size=64)
    assert (clip.recipe["landmarks"], detected.recipe["landmarks"]) == ("given", "detected")
    row, column = np.unravel_index(length(detected.flow[0]).argmax(), (64, 64))
    assert (15 < row < 32) & (20 < column < 44)


def test_noise_and_drift_are_two_controls_and_the_same_in_every_clip_of_a_studio(studio):
    states = QUIET, {"noise": 2, "drift": 0}, {"noise": 2, "drift": 0}, {"noise": 0, "drift": 4}
    still, grainy, again, drifting = map(studio, states)
    np.testing.assert_array_equal(grainy.frames, again.frames)
    assert (grainy.frames != face_studio(identity_seed=3, seed=1)(states[1]).frames).any()
    assert np.abs(grainy.frames.astype(int) - still.frames).mean() > 0.5
    head = [one.truth.table[["head_x_px128", "head_y_px128"]].abs().to_numpy().max() for one in (grainy, drifting)]
    assert head[0] == 0 < 0.03 < head[1]
    for frame in (still.frames[0, -1], drifting.frames[0, 0]):  # nothing has drifted yet
        np.testing.assert_array_equal(frame, still.frames[0, 0])


def test_a_clip_carries_what_the_table_allows(studio):
    smile = {"aus": {"AU12": "B", "AU6": "C"}, "cue": "pallor"}
    for state, label, given in (
        ({}, None, (np.nan, np.nan)),
        ({"aus": {"AU12": "B", "AU4": "C"}, "cue": "pallor"}, None, (np.nan, np.nan)),
        (smile | {"cue_strength": 0}, None, (0.42, 0.33)),
        (smile, "repression", (0.42, 1.0)),
    ):
        clip = studio(state)
        truth = clip.truth.table.iloc[0]
        assert clip.table.loc[0, ["label", "emotion"]].tolist() == [label, label or "unknown"]
        found = truth[["given_aus_happiness", "given_cue_repression"]].tolist()
        assert found == pytest.approx(given, nan_ok=True)
    assert truth["intensities"] == "6C+12B"
