"""Flow and head motion against planted displacements, and the recipes that turn flow into the network's input."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses, mostly_slow
from PIL import Image

from medn_lab import data
from medn_lab.data import FlowRecipe, face_mask, flow_colours, optical_flow, optical_strain, prepare, register
from medn_lab.records import ClipIndex
from medn_lab.synthme import Identity, draw_face, move_face


def skin(height, width, seed=0):
    noise = np.random.default_rng(seed).standard_normal((height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5) + 2.0 * cv2.GaussianBlur(noise[::-1], (0, 0), 5)
    return (smooth - smooth.min()) / np.ptp(smooth) * 255


def bump(height, width, peak=1.5):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    strength = peak * np.exp(-((x - width * 0.4) ** 2 + (y - height * 0.6) ** 2) / (2 * (0.12 * width) ** 2))
    return np.stack([strength, -0.5 * strength], axis=-1).astype(np.float32)


def shift(height, width, x, y):
    return np.broadcast_to(np.float32([x, y]), (height, width, 2))


def pair(field, seed=0):
    """Onset and apex: skin, and the same moved by a field."""
    image = skin(*field.shape[:2], seed)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    back = field
    for _ in range(8):  # the apex samples the onset where each point came from
        back = cv2.remap(field, x - back[..., 0], y - back[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    moved = cv2.remap(image, x - back[..., 0], y - back[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return image.astype(np.uint8), moved.astype(np.uint8)


@pytest.mark.parametrize("method", ["dis", "farneback", "tvl1_skimage"])
def test_flow_of_a_shifted_face_is_the_shift(method):
    flow = optical_flow(*pair(shift(96, 96, 1.5, -0.75)), method=method)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(np.median(flow[16:-16, 16:-16], axis=(0, 1)), [1.5, -0.75], atol=0.1)


def test_dis_reads_a_local_displacement_to_a_tenth_of_it():
    field = bump(256, 256)
    error = np.linalg.norm(optical_flow(*pair(field)) - field, axis=-1).mean()
    assert error / np.linalg.norm(field, axis=-1).mean() < 0.15


def test_flow_is_in_pixels_of_the_size_of_the_result_also_where_it_is_not_square():
    frames = pair(bump(128, 128))
    whole, half = optical_flow(*frames), optical_flow(*frames, size=64)
    np.testing.assert_allclose(half, whole.reshape(64, 2, 64, 2, 2).mean(axis=(1, 3)) / 2, atol=1e-5)
    flow = optical_flow(*pair(shift(64, 128, 2.0, 1.0)), size=32)
    np.testing.assert_allclose(np.median(flow, axis=(0, 1)), [0.5, 0.5], atol=0.05)


def test_mask_silences_the_background_and_keeps_it_out_of_the_face():
    field = np.zeros((128, 128, 2), np.float32)
    field[:, 64:, 0] = 2.0  # the background slides, the face is still
    frames, face = pair(field), np.zeros((128, 128), bool)
    face[:, :56] = True
    flow, whole = optical_flow(*frames, mask=face, blur=4.0), optical_flow(*frames, blur=4.0)
    assert np.abs(flow[:, 56:]).max() == 0
    assert np.abs(flow[:, 50:56]).mean() < np.abs(whole[:, 50:56]).mean() + 1e-6


def test_flow_of_two_equal_frames_is_zero_and_of_colours_that_of_their_grey():
    image = skin(64, 64).astype(np.uint8)
    assert np.abs(optical_flow(image, image)).max() < 1e-3
    frames = pair(bump(64, 64))
    in_colour = optical_flow(*(np.repeat(frame[..., None], 3, axis=2) for frame in frames))
    np.testing.assert_allclose(in_colour, optical_flow(*frames), atol=1e-4)


def test_threads_do_not_disturb_each_other():
    pairs = [pair(bump(96, 96), seed) for seed in range(4)]
    with ThreadPoolExecutor(len(pairs)) as pool:
        together = list(pool.map(lambda frames: optical_flow(*frames), pairs))
    np.testing.assert_array_equal(together, [optical_flow(*frames) for frames in pairs])


def test_bad_flow_input_is_named():
    image = np.zeros((64, 64), np.uint8)
    for frames, options, fact in (
        ((image, image[:32]), {}, r"\(32, 64\)"),
        ((image[:8, :8], image[:8, :8]), {}, r"\(8, 8\).*16 px"),
        ((image, image), {"method": "horn"}, "'horn'.*dis, farneback"),
    ):
        assert_refuses(optical_flow, *frames, **options, match=fact)


# --- what the network gets of it ------------------------------------------------------------------------------------


def test_colours_are_the_direction_and_strain_is_the_stretch():
    field = np.zeros((1, 3, 2), np.float32)
    field[0, 0, 0], field[0, 1, 0] = 2, -1
    np.testing.assert_allclose(flow_colours(field)[0], [[1, 0, 0], [0, 0.5, 0.5], [0, 0, 0]], atol=1e-2)
    assert flow_colours(np.zeros((2, 2, 2), np.float32)).max() == 0
    y, x = np.mgrid[:8, :8].astype(np.float32)
    for still in (shift(8, 8, 3, -1), np.stack([-0.1 * y, 0.1 * x], -1)):  # a shift and a turn
        np.testing.assert_allclose(optical_strain(still), 0, atol=1e-6)
    np.testing.assert_allclose(optical_strain(np.stack([0.2 * x, 0.1 * y], -1)), np.hypot(0.2, 0.1), rtol=1e-5)


def test_recipes_survive_json_and_earlier_versions_and_refuse_nonsense():
    for name in ("default", "hsv_tvl1", "uv_strain_28", "uv_strain_48"):
        recipe = FlowRecipe.named(name)
        assert FlowRecipe(**json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert "align" not in FlowRecipe().to_dict()  # 0.1.0 had no such field
    assert_refuses(FlowRecipe.named, "best", match=r"'best'.*default")
    for name, value in {"size": 300, "n_frames": 1, "method": "x", "coding": "x", "align": "nose"}.items():
        assert_refuses(FlowRecipe, **{name: value}, match=name)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A clip of two frames of a drawn face."""
    folder, face = tmp_path_factory.mktemp("clip"), draw_face(Identity(3, 0), size=100)
    for number, actions in enumerate(({}, {"AU12": 1.2}), 1):
        Image.fromarray(move_face(face, actions)).save(folder / f"{number}.png")
    row = {"clip_id": "a", "subject": "1", "frames_folder": str(folder), "onset": 1, "apex": 2, "offset": 2}
    return ClipIndex(pd.DataFrame([row]))


def flow_of(index, recipe):
    return prepare(index, recipe=recipe, crop="none", progress=False).flow[0]


def test_a_recipe_gives_its_channels_and_a_third_of_the_flow_outside_the_face(index):
    flow = flow_of(index, FlowRecipe.named("uv_strain_28"))
    assert flow.shape == (28, 28, 3)
    np.testing.assert_allclose(flow[..., 2], optical_strain(flow[..., :2]), atol=1e-6)
    whole = FlowRecipe(n_frames=2, register=False, size=100, compute_size=100, outside=1.0, blur=0.0)
    third = dataclasses.replace(whole, outside=1 / 3)
    face, whole, part = face_mask(100), flow_of(index, whole), flow_of(index, third)
    np.testing.assert_allclose(part[face == 1], whole[face == 1])
    np.testing.assert_allclose(part[face == 0], whole[face == 0] / 3, rtol=1e-5)
    colours, plain = flow_of(index, dataclasses.replace(third, coding="hsv")), flow_colours(part)
    assert 0 <= colours.min() < colours.max() == 1
    assert colours[face < 0.5].max() <= 3 * plain[face < 0.5].mean() + 1e-6
    np.testing.assert_allclose(colours[face >= 0.5], plain[face >= 0.5])


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
    return data.registration_error(found, planted=planted, mask=face.mask)


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
    assert_refuses(register, flat, onset=flat[:50], match=r"\(96, 96\).*\(50, 96\)")


@pytest.mark.slow
def test_the_apex_is_spotted_where_the_expression_is_strongest(face, onset):
    strength = np.concatenate([np.linspace(0, 1, 8), np.linspace(1, 0.1, 14)[1:]])
    box = data.find_face(onset)
    frames = [data.crop_face(noisy(move_face(face, {"AU12": 1.3 * s}), k), box=box) for k, s in enumerate(strength)]
    position, confidence = data.spot_apex(frames)
    assert abs(position - 7) <= 2
    assert confidence > 0.6


def test_spotting_in_a_still_sequence_is_unsure(onset):
    frames = [noisy(onset[64:192, 64:192], seed) for seed in range(6)]
    assert data.spot_apex(frames)[1] < 0.6


def test_results_repeat_whatever_images_came_before(face, onset):
    still, apex = (cv2.resize(image, (64, 64)) for image in (onset, move_face(face, {"AU12": 1.2})))
    before = register(apex, onset=still).matrix, optical_flow(still, apex)
    for side in (16, 24, 40, 128):  # too small for the estimator's scales: OpenCV chooses others, and keeps them
        tiny = [cv2.cvtColor(cv2.resize(image, (side, side)), cv2.COLOR_RGB2GRAY) for image in (still, apex)]
        register(tiny[1], onset=tiny[0])
        optical_flow(*tiny)
    np.testing.assert_array_equal(register(apex, onset=still).matrix, before[0])
    np.testing.assert_array_equal(optical_flow(still, apex), before[1])
