"""Flow is checked against planted displacements."""

import threading

import numpy as np
import pytest

from medn_lab.data import optical_flow
from medn_lab.data.frames import cv2


def skin(height, width, seed=0):
    noise = np.random.default_rng(seed).standard_normal((height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5) + 2.0 * cv2.GaussianBlur(noise[::-1], (0, 0), 5)
    return (smooth - smooth.min()) / np.ptp(smooth) * 255


def bump(height, width, peak=1.5):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    strength = peak * np.exp(-((x - width * 0.4) ** 2 + (y - height * 0.6) ** 2) / (2 * (0.12 * width) ** 2))
    return np.stack([strength, -0.5 * strength], axis=-1).astype(np.float32)


def moved(image, field):
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    back = field
    for _ in range(8):  # the apex samples the onset where each point came from
        back = cv2.remap(field, x - back[..., 0], y - back[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.remap(image, x - back[..., 0], y - back[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def relative_error(flow, field):
    return np.linalg.norm(flow - field, axis=-1).mean() / np.linalg.norm(field, axis=-1).mean()


@pytest.mark.parametrize("method", ["dis", "farneback", "tvl1_skimage"])
def test_flow_of_a_shifted_face_is_the_shift(method):
    image = skin(96, 96)
    field = np.broadcast_to(np.float32([1.5, -0.75]), (96, 96, 2))
    flow = optical_flow(image.astype(np.uint8), moved(image, field).astype(np.uint8), method=method)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(np.median(flow[16:-16, 16:-16], axis=(0, 1)), [1.5, -0.75], atol=0.1)


def test_dis_reads_a_local_displacement_to_a_tenth_of_it():
    image, field = skin(256, 256), bump(256, 256)
    flow = optical_flow(image.astype(np.uint8), moved(image, field).astype(np.uint8))
    assert relative_error(flow, field) < 0.15


def test_flow_is_in_pixels_of_the_size_asked_for():
    image, field = skin(128, 128), bump(128, 128)
    pair = image.astype(np.uint8), moved(image, field).astype(np.uint8)
    whole, half = optical_flow(*pair), optical_flow(*pair, size=64)
    assert half.shape == (64, 64, 2)
    np.testing.assert_allclose(half, whole.reshape(64, 2, 64, 2, 2).mean(axis=(1, 3)) / 2, atol=1e-5)


def test_flow_of_a_frame_that_is_not_square_keeps_x_and_y_apart():
    image = skin(64, 128)
    field = np.broadcast_to(np.float32([2.0, 1.0]), (64, 128, 2))
    pair = image.astype(np.uint8), moved(image, field).astype(np.uint8)
    flow = optical_flow(*pair, size=(32, 32))
    np.testing.assert_allclose(np.median(flow, axis=(0, 1)), [0.5, 0.5], atol=0.05)
    np.testing.assert_array_equal(flow, optical_flow(*pair, size=32))


def test_mask_silences_the_background_and_keeps_it_out_of_the_face():
    image = skin(128, 128)
    field = np.zeros((128, 128, 2), np.float32)
    field[:, 64:, 0] = 2.0  # the background slides, the face is still
    pair = image.astype(np.uint8), moved(image, field).astype(np.uint8)
    face = np.zeros((128, 128), bool)
    face[:, :56] = True
    flow = optical_flow(*pair, mask=face, blur=4.0)
    assert np.abs(flow[:, 56:]).max() == 0
    assert np.abs(flow[:, 50:56]).mean() < np.abs(optical_flow(*pair, blur=4.0)[:, 50:56]).mean() + 1e-6
    np.testing.assert_allclose(optical_flow(*pair, mask=np.full((128, 128), 0.5)), optical_flow(*pair) / 2, atol=1e-5)


def test_flow_of_two_equal_frames_is_zero():
    image = skin(64, 64).astype(np.uint8)
    assert np.abs(optical_flow(image, image)).max() < 1e-3
    assert np.abs(optical_flow(np.zeros_like(image), np.zeros_like(image))).max() == 0


def test_colour_frames_give_the_flow_of_their_grey():
    image, field = skin(64, 64), bump(64, 64)
    pair = image.astype(np.uint8), moved(image, field).astype(np.uint8)
    in_colour = optical_flow(*(np.repeat(frame[..., None], 3, axis=2) for frame in pair))
    np.testing.assert_allclose(in_colour, optical_flow(*pair), atol=1e-4)


def test_threads_do_not_disturb_each_other():
    pairs = [
        (skin(96, 96, s).astype(np.uint8), moved(skin(96, 96, s), bump(96, 96)).astype(np.uint8)) for s in range(8)
    ]
    alone = [optical_flow(*pair) for pair in pairs]
    together = [None] * len(pairs)

    def work(place):
        together[place] = optical_flow(*pairs[place])

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(pairs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_bad_flow_input_gets_a_sentence():
    image = np.zeros((64, 64), np.uint8)
    with pytest.raises(ValueError, match="both must have one shape"):
        optical_flow(image, image[:32])
    with pytest.raises(ValueError, match="must be uint8"):
        optical_flow(image.astype(float), image.astype(float))
    with pytest.raises(ValueError, match="8x8 px are too small"):
        optical_flow(image[:8, :8], image[:8, :8])
    with pytest.raises(ValueError, match="at the frames' resolution"):
        optical_flow(image, image, mask=np.ones((32, 32)))
    with pytest.raises(ValueError, match="there are dis, farneback"):
        optical_flow(image, image, method="horn")
    with pytest.raises(ValueError, match=r"grey .* or RGB"):
        optical_flow(image[..., None], image[..., None])


def test_tvl1_of_contrib_works_or_says_which_wheel_to_install():
    image = skin(64, 64).astype(np.uint8)
    if hasattr(cv2, "optflow") and hasattr(cv2.optflow, "DualTVL1OpticalFlow_create"):
        assert optical_flow(image, image, method="tvl1").shape == (64, 64, 2)
    else:
        with pytest.raises(ImportError, match=r"opencv-contrib-python.*tvl1_skimage"):
            optical_flow(image, image, method="tvl1")
