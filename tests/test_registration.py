"""Head motion is planted, and must be taken out without taking the expression with it."""

import numpy as np
import pytest

from medn_lab.data import find_face, optical_flow, register, spot_apex
from medn_lab.data.crop import FaceBox, NoFaceError, crop_face, face_mask
from medn_lab.data.flow import dis_flow
from medn_lab.data.frames import cv2
from medn_lab.synthme import draw_face, draw_identity, move_face


@pytest.fixture(scope="module")
def face():
    return draw_face(draw_identity(3, 1), size=256)


def points(face, matrix):
    """Points of the face, moved by a matrix."""
    place = np.argwhere(face.mask > 0.5)[::53, ::-1].astype(float)
    return place, place @ matrix[:, :2].T + matrix[:, 2]


def residual(face, found, planted):
    start, moved = points(face, planted)
    back = moved @ found.matrix[:, :2].T + found.matrix[:, 2]
    return np.linalg.norm(back - start, axis=1).mean()


def noisy(image, seed):
    grain = np.random.default_rng(seed).normal(0, 1.5, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_head_motion_leaves_less_than_a_twentieth_of_a_pixel_beside_an_expression(face, seed):
    rng = np.random.default_rng(seed)
    onset = move_face(face, {})
    apex = move_face(face, {"AU12": 1.2, "AU4": 1.0})
    planted = cv2.getRotationMatrix2D((128, 128), rng.uniform(-1, 1), rng.uniform(0.995, 1.005))
    planted[:, 2] += rng.uniform(-4, 4, 2)
    moved = cv2.warpAffine(apex, planted, (256, 256), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    found = register(noisy(moved, seed), onset=noisy(onset, seed + 10), mask=face.mask)
    assert found.found
    assert residual(face, found, planted) < 0.05 * 2  # 0.05 px at the 128 px in which motion is counted


def test_the_refinement_beats_corners_alone(face):
    onset, corners, refined = move_face(face, {}), [], []
    for seed in range(4):
        planted = np.float64([[1, 0, 0.7 - 0.3 * seed], [0, 1, 0.4]])
        moved = cv2.warpAffine(onset, planted, (256, 256), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        pair = {"frame": noisy(moved, seed), "onset": noisy(onset, seed + 10), "mask": face.mask}
        corners.append(residual(face, register(**pair, refine=False), planted))
        refined.append(residual(face, register(**pair), planted))
    assert np.mean(refined) < np.mean(corners) / 2  # 0.01 px against 0.04 px


def test_registration_of_a_frame_with_itself_is_the_identity(face):
    onset = move_face(face, {})
    np.testing.assert_allclose(register(onset, onset=onset).matrix, np.eye(2, 3), atol=1e-3)


def test_registration_is_the_same_each_time(face):
    onset, apex = noisy(move_face(face, {}), 0), noisy(move_face(face, {"AU12": 1.0}), 1)
    np.testing.assert_array_equal(register(apex, onset=onset).matrix, register(apex, onset=onset).matrix)


def test_a_flat_frame_is_left_where_it_is():
    flat = np.full((96, 96), 120, np.uint8)
    found = register(flat, onset=flat)
    assert not found.found
    np.testing.assert_array_equal(found.matrix, np.eye(2, 3))
    with pytest.raises(ValueError, match="both must have one shape"):
        register(flat, onset=flat[:50])


def test_the_detector_finds_the_drawn_face_and_says_when_there_is_none(face):
    box = find_face(move_face(face, {}))
    eyes_to_chin = np.argwhere(face.mask > 0.5).mean(axis=0)
    assert abs(box.x + box.side / 2 - eyes_to_chin[1]) < 25
    assert 90 < box.side < 220
    with pytest.raises(NoFaceError, match=r"no face was found in a frame of 200x100 px.*crop='none'"):
        find_face(np.full((100, 200), 90, np.uint8))


def test_a_crop_has_the_box_also_beyond_the_edge():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    np.testing.assert_array_equal(crop_face(image, box=FaceBox(2, 3, 4)), image[3:7, 2:6])
    beyond = crop_face(image, box=FaceBox(-2, -2, 4))
    np.testing.assert_array_equal(beyond[2:, 2:], image[:2, :2])
    assert (beyond[:2, :2] == image[0, 0]).all()
    assert crop_face(image, box=FaceBox(0, 0, 10), size=5).shape == (5, 5)
    with pytest.raises(ValueError, match="lies outside the frame"):
        crop_face(image, box=FaceBox(30, 0, 4))


def test_a_box_around_landmarks_is_square_and_centred():
    box = FaceBox.of_landmarks(np.array([[10, 10], [30, 20], [20, 30]]), margin=1.5)
    assert (box.x, box.y, box.side) == (5.0, 5.0, 30.0)
    with pytest.raises(ValueError, match="landmarks must be"):
        FaceBox.of_landmarks(np.zeros((2, 2)))


def test_the_face_mask_is_one_inside_and_zero_in_the_corners():
    mask = face_mask(64)
    assert mask[32, 32] == 1
    assert mask[0, 0] == mask[-1, -1] == 0
    np.testing.assert_allclose(mask, mask[:, ::-1])


def test_the_apex_is_spotted_where_the_expression_is_strongest(face):
    strength = np.concatenate([np.linspace(0, 1, 8), np.linspace(1, 0.1, 14)[1:]])
    box = find_face(move_face(face, {}))
    frames = [crop_face(noisy(move_face(face, {"AU12": 1.3 * s}), k), box=box) for k, s in enumerate(strength)]
    spotted = spot_apex(frames)
    assert abs(spotted.position - 7) <= 2
    assert spotted.confidence > 0.6
    assert len(spotted.positions) == len(spotted.motion) == len(frames)


def test_spotting_in_a_still_sequence_is_unsure(face):
    frames = [noisy(move_face(face, {})[64:192, 64:192], seed) for seed in range(8)]
    assert spot_apex(frames).confidence < 0.6
    with pytest.raises(ValueError, match="at least 2 frames"):
        spot_apex(frames[:1])


def test_nothing_depends_on_the_images_that_were_looked_at_before(face):
    still, moved = (cv2.resize(move_face(face, actions), (64, 64)) for actions in ({}, {"AU12": 1.2}))
    before = register(moved, onset=still).matrix, optical_flow(still, moved)
    for side in (16, 24, 40, 128):  # too small for the estimator's scales: OpenCV chooses others, and keeps them
        tiny = [cv2.cvtColor(cv2.resize(image, (side, side)), cv2.COLOR_RGB2GRAY) for image in (still, moved)]
        dis_flow(*tiny, finest=1)
        optical_flow(*tiny)
    np.testing.assert_array_equal(register(moved, onset=still).matrix, before[0])
    np.testing.assert_array_equal(optical_flow(still, moved), before[1])
