"""Head motion is planted, and must be taken out without taking the expression with it."""

import cv2
import numpy as np
import pytest
from slow_cases import mostly_slow

from medn_lab.data import crop_face, find_face, optical_flow, register, registration_error, spot_apex
from medn_lab.synthme import Identity, draw_face, move_face


@pytest.fixture(scope="module")
def face():
    return draw_face(Identity(3, 1), size=256)


@pytest.fixture(scope="module")
def onset(face):
    return move_face(face, {})


def noisy(image, seed):
    grain = np.random.default_rng(seed).normal(0, 1.5, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def left_of(planted, frame, onset, face, seed):
    """The error in pixels that registration leaves of a planted motion."""
    apex = cv2.warpAffine(frame, planted, (256, 256), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    found = register(noisy(apex, seed), onset=noisy(onset, seed + 10), mask=face.mask)
    assert found.found
    return registration_error(found, planted=planted, mask=face.mask)


@pytest.mark.parametrize("seed", mostly_slow(range(3)))
def test_head_motion_leaves_less_than_a_twentieth_of_a_pixel_under_an_expression(face, onset, seed):
    rng = np.random.default_rng(seed)
    planted = cv2.getRotationMatrix2D((128, 128), rng.uniform(-1, 1), rng.uniform(0.995, 1.005))
    planted[:, 2] += rng.uniform(-4, 4, 2)
    expression = move_face(face, {"AU12": 1.2, "AU4": 1.0})
    assert left_of(planted, expression, onset, face, seed) < 0.1  # 0.05 px at the 128 px in which motion is counted
    planted = np.float64([[1, 0, 0.7 - 0.3 * seed], [0, 1, 0.4]])
    assert left_of(planted, onset, onset, face, seed) < 0.02  # corners alone leave 0.04 px


def test_a_frame_on_itself_is_the_identity_and_a_flat_one_stays_where_it_is(onset):
    np.testing.assert_allclose(register(onset, onset=onset).matrix, np.eye(2, 3), atol=1e-3)
    flat = np.full((96, 96), 120, np.uint8)
    found = register(flat, onset=flat)
    assert not found.found
    np.testing.assert_array_equal(found.matrix, np.eye(2, 3))
    with pytest.raises(ValueError, match=r"\(96, 96\).*\(50, 96\)"):
        register(flat, onset=flat[:50])


@pytest.mark.slow
def test_the_apex_is_spotted_where_the_expression_is_strongest(face, onset):
    strength = np.concatenate([np.linspace(0, 1, 8), np.linspace(1, 0.1, 14)[1:]])
    box = find_face(onset)
    frames = [crop_face(noisy(move_face(face, {"AU12": 1.3 * s}), k), box=box) for k, s in enumerate(strength)]
    position, confidence = spot_apex(frames)
    assert abs(position - 7) <= 2
    assert confidence > 0.6


def test_spotting_in_a_still_sequence_is_unsure(onset):
    frames = [noisy(onset[64:192, 64:192], seed) for seed in range(6)]
    assert spot_apex(frames)[1] < 0.6


def test_results_repeat_whatever_images_came_before(face, onset):
    still, apex = (cv2.resize(image, (64, 64)) for image in (onset, move_face(face, {"AU12": 1.2})))
    before = register(apex, onset=still).matrix, optical_flow(still, apex)
    for side in (16, 24, 40, 128):  # too small for the estimator's scales: OpenCV chooses others, and keeps them
        tiny = [cv2.cvtColor(cv2.resize(image, (side, side)), cv2.COLOR_RGB2GRAY) for image in (still, apex)]
        register(tiny[1], onset=tiny[0])
        optical_flow(*tiny)
    np.testing.assert_array_equal(register(apex, onset=still).matrix, before[0])
    np.testing.assert_array_equal(optical_flow(still, apex), before[1])
