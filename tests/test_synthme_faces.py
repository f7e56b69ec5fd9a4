"""Faces, the AUs that move them, and the portrait: things a detector, a ruler or an eye can check."""

import numpy as np
import pytest
from skimage import data

from medn_lab.data.crop import find_face
from medn_lab.synthme import AUS, draw_face, draw_identity, move_face, move_photo
from medn_lab.synthme.actions import MIDLINE_AUS, au_mask, time_course, unit_field
from medn_lab.synthme.photo import PORTRAIT_LANDMARKS


@pytest.fixture(scope="module")
def face():
    return draw_face(draw_identity(0, 0), size=128)


def test_a_face_detector_finds_the_faces():
    for number in range(12):
        person = draw_identity(11, number)
        box = find_face(move_face(draw_face(person, size=128)))
        centre = box.x + box.side / 2
        assert 50 < centre < 78, person.name


def test_a_face_is_the_same_picture_at_every_size():
    import cv2

    person = draw_identity(3, 1)
    large, small = (move_face(draw_face(person, size=size)) for size in (192, 96))
    shrunk = cv2.resize(large, (96, 96), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(shrunk - small).mean() < 4


def test_people_cover_the_range_of_skin():
    tones = [sum(draw_identity(0, number).skin) / 3 for number in range(24)]
    assert min(tones) < 80
    assert max(tones) > 200


@pytest.mark.parametrize("au", AUS)
def test_an_au_moves_both_sides_alike_and_one_side_alone(face, au):
    right, left = unit_field(face, au, "right"), unit_field(face, au, "left")
    np.testing.assert_allclose(right[:, ::-1] * (-1, 1), left, atol=2e-3)
    assert np.linalg.norm(left + right, axis=-1).max() == pytest.approx(1, abs=0.03)
    columns = np.arange(128)
    weight = np.linalg.norm(right, axis=-1).sum(axis=0)
    assert (columns * weight).sum() / weight.sum() < 64, "the subject's right lies on the left of the picture"


@pytest.mark.parametrize(
    ("au", "place", "way"),
    [
        ("AU12", "mouth_corner", (1, -1)),
        ("AU15", "mouth_corner", (0, 1)),
        ("AU20", "mouth_corner", (1, 0)),
        ("AU1", "brow_inner", (0, -1)),
        ("AU2", "brow_outer", (0, -1)),
        ("AU4", "brow_inner", (-1, 1)),
        ("AU5", "lid_upper", (0, -1)),
        ("AU6", "cheek", (0, -1)),
        ("AU7", "lid_lower", (0, -1)),
        ("AU9", "nose_wing", (0, -1)),
        ("AU10", "lip_top", (0, -1)),
    ],
)
def test_an_au_pulls_its_landmark_the_way_facs_says(face, au, place, way):
    x, y = face.landmarks.left[place]
    moved = unit_field(face, au, "left")[int((y + 1) * 64), int((x + 1) * 64)]
    for got, wanted in zip(moved, way, strict=True):
        assert got * wanted > 0.25 if wanted else abs(got) < 0.4


def test_masks_hold_most_of_the_motion_and_little_of_the_face(face):
    for au in AUS:
        mask = au_mask(face, au)
        length = sum(np.linalg.norm(unit_field(face, au, side), axis=-1) for side in ("right", "left"))
        assert length[mask].sum() > 0.7 * length.sum(), au
        assert mask.mean() < 0.25, au


def test_a_still_face_is_untouched_and_a_one_sided_smile_leaves_the_other_side(face):
    rest = move_face(face).astype(int)
    np.testing.assert_array_equal(rest, move_face(face, {"AU12": 0.0}))
    left = np.abs(move_face(face, {"12": 1.5}, side="left").astype(int) - rest).sum(axis=(0, 2))
    assert left[:56].sum() == 0
    assert left[72:].sum() > 0


def test_midline_aus_play_on_both_sides_whatever_is_said(face):
    for au in MIDLINE_AUS:
        np.testing.assert_array_equal(move_face(face, {au: 1.0}, side="left"), move_face(face, {au: 1.0}))


def test_a_blink_hides_the_iris(face):
    x, y = (int((v + 1) * 64) for v in face.landmarks.left["eye"])
    around = np.s_[y - 4 : y + 3, x - 4 : x + 5]
    opened, closed = (move_face(face, blink=b)[around].astype(float).mean(axis=-1) for b in (0.0, 1.0))
    assert opened.std() > 1.5 * closed.std()


def test_actions_rise_faster_than_they_fall_and_end_at_rest():
    numbers = np.arange(100, 181)
    course = time_course(numbers, onset=100, apex=130, offset=180)
    assert course[[0, 30, 80]].tolist() == [0.0, 1.0, 0.0]
    assert (np.diff(course[:31]) >= 0).all()
    assert (np.diff(course[30:]) <= 0).all()


def test_the_portrait_smiles_where_its_mouth_is():
    clip = move_photo(action_units="12", intensity="D")
    truth = clip.truth.displacement[0].astype(np.float32)
    length = np.linalg.norm(truth, axis=-1)
    moving = length > 0.1 * length.max()
    error = np.linalg.norm(clip.flow[0] - truth, axis=-1)[moving].sum() / length[moving].sum()
    assert error < 0.3
    row, column = np.unravel_index(length.argmax(), length.shape)
    assert clip.flow[0, row, column, 1] < -0.3, "corners of a smile rise"
    assert clip.table["action_units"].tolist() == ["12"]
    assert clip.truth.au_mask(clip.table["clip_id"][0], "AU12")[row, column]


def test_a_one_sided_smile_moves_the_subjects_left():
    flow = move_photo(action_units="L12", intensity="E", size=96).flow[0]
    assert np.linalg.norm(flow[:, 56:], axis=-1).sum() > 4 * np.linalg.norm(flow[:, :40], axis=-1).sum()


def test_the_detector_places_aus_near_the_landmarks():
    photo = data.astronaut()
    found, given = move_photo(photo, "4"), move_photo(photo, "4", landmarks=PORTRAIT_LANDMARKS)
    for clip in (found, given):
        row, column = np.unravel_index(np.linalg.norm(clip.flow[0], axis=-1).argmax(), (128, 128))
        assert 30 < row < 64
        assert 40 < column < 88


def test_a_cue_on_the_portrait_leaves_its_flow_alone():
    plain, flushed = move_photo(action_units="4"), move_photo(action_units="4", cue="flush")
    assert np.linalg.norm(plain.flow - flushed.flow, axis=-1).mean() < 0.02
    assert (flushed.frames[0, -1].astype(int) - plain.frames[0, -1])[..., 0].max() >= 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"photo": np.full((200, 200, 3), 127, np.uint8)}, "no face was found in the photo of 200x200 px"),
        (
            {"photo": np.zeros((200, 200), np.uint8)},
            r"must be RGB, \(h, w, 3\) uint8; this is uint8 of shape \(200, 200\)",
        ),
        ({"photo": np.zeros((200, 200, 3))}, "this is float64"),
        ({"photo": np.zeros((20, 200, 3), np.uint8)}, "at least 48 px a side"),
        ({"action_units": "12+smile"}, "'smile' is not understood"),
        ({"action_units": "46"}, "does not play AU '46'"),
        ({"intensity": "F"}, "intensity must be one of A, B, C, D, E; it is 'F'"),
        ({"cue": "blush"}, "no cue state 'blush'"),
        ({"size": 20}, "64 to 512 px; size is 20"),
        ({"landmarks": {"nose": (1, 2)}}, "landmarks lack eye_right, eye_left, mouth_right, mouth_left"),
    ],
)
def test_bad_photos_get_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        move_photo(**arguments)


def test_bad_sliders_get_a_sentence(face):
    with pytest.raises(ValueError, match="does not play AU 'AU99'"):
        move_face(face, {"AU99": 1.0})
    with pytest.raises(ValueError, match="side must be both, left or right; it is 'up'"):
        move_face(face, {}, side="up")
    with pytest.raises(ValueError, match="32 to 1024 px; size is 8"):
        draw_face(draw_identity(0, 0), size=8)
