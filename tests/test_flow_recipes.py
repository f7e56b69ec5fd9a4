"""The public tool's recipe: level eyes, the crop around five points, the outline, and what it does without them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medn_lab.data import FlowRecipe, flow_colours, prepare
from medn_lab.data.clip_input import flow_of_faces
from medn_lab.data.crop import level_eyes, transform_points
from medn_lab.data.frames import cv2
from medn_lab.records import ClipIndex
from medn_lab.synthme import draw_face, draw_identity, move_face

TOOL = {"align": "eyes", "coding": "hsv", "outside": 1 / 3}


def tilted_face(degrees=20.0):
    """A drawn face turned in its frame, and its eyes, nose tip and mouth corners."""
    face = draw_face(draw_identity(3, 0), size=200)
    marks = face.landmarks
    places = [marks.right["eye"], marks.left["eye"], marks.middle["nose_tip"]]
    places += [marks.right["mouth_corner"], marks.left["mouth_corner"]]
    points = (np.array(places) + 1) / 2 * 200 - 0.5
    turn = cv2.getRotationMatrix2D((100, 100), degrees, 1.0)
    frames = [
        cv2.warpAffine(move_face(face, actions), turn, (200, 200), borderMode=cv2.BORDER_REPLICATE)
        for actions in ({}, {"AU12": 1.2})
    ]
    return frames, points @ turn[:, :2].T + turn[:, 2]


def in_folder(frames, folder):
    folder.mkdir()
    for number, frame in enumerate(frames, 1):
        Image.fromarray(frame).save(folder / f"{number}.png")
    row = {"clip_id": "a", "dataset": "own", "subject": "1", "frames_folder": str(folder), "onset": 1, "apex": 2}
    return ClipIndex(pd.DataFrame([row | {"offset": 2, "cropped": True, "emotion": "", "action_units": ""}]))


@pytest.mark.parametrize("kind", [5, 68, 478])
def test_the_public_tools_recipe_makes_the_eyes_level(tmp_path, kind):
    frames, five = tilted_face()
    index = in_folder(frames, tmp_path / "clip")
    points = np.tile(five.mean(axis=0), (kind, 1))
    at = {
        5: [[0], [1], [2], [3], [4]],
        68: [range(36, 42), range(42, 48), [30], [48], [54]],
        478: [[33, 133], [263, 362], [1], [61], [291]],
    }
    for place, group in zip(five, at[kind], strict=True):
        points[list(group)] = place
    recipe = FlowRecipe(name="tool", size=64, compute_size=128, n_frames=2, register=False, **TOOL)
    made = prepare(index, recipe=recipe, landmarks={"a": points}, progress=False)
    assert len(made.problems) == 0
    upright = prepare(
        in_folder(tilted_face(0.0)[0], tmp_path / "upright"),
        recipe=recipe, landmarks={"a": tilted_face(0.0)[1]}, progress=False,
    )  # fmt: skip
    inside = slice(14, 50)
    difference = made.frames[0, 0, inside, inside].astype(float) - upright.frames[0, 0, inside, inside]
    assert np.abs(difference).mean() < 8
    boxed = prepare(index, recipe=dataclasses.replace(recipe, align="box"), crop="none", progress=False)
    tilted = boxed.frames[0, 0, inside, inside].astype(float) - upright.frames[0, 0, inside, inside]
    assert np.abs(tilted).mean() > 16


def test_a_crop_with_level_eyes_is_two_and_a_half_times_the_five_points():
    _, points = tilted_face(-15.0)
    matrix, outline = level_eyes(points, size=101)
    assert outline is None
    placed = transform_points(points, matrix)
    assert placed[0, 1] == pytest.approx(placed[1, 1])
    low, high = placed.min(axis=0), placed.max(axis=0)
    assert (high - low).max() == pytest.approx(100 / 2.5)
    np.testing.assert_allclose((low + high) / 2, [50, 50])
    np.testing.assert_array_equal(level_eyes(points[[1, 0, 2, 4, 3]], size=101)[0], matrix)  # the other eye first
    with pytest.raises(ValueError, match="must be two places"):
        level_eyes(np.zeros((5, 2)), size=64)


@pytest.mark.parametrize("landmarks", [None, {"a": np.array([[20.0, 60], [60, 60], [40, 90], [30, 20]])}])
def test_without_eye_positions_the_box_is_taken_and_said(tmp_path, landmarks):
    frames, _ = tilted_face(0.0)
    index = in_folder(frames, tmp_path / "clip")
    recipe = FlowRecipe(size=32, compute_size=64, n_frames=2, register=False, **TOOL)
    made = prepare(index, recipe=recipe, crop="none", landmarks=landmarks, progress=False)
    assert made.problems["field"].tolist() == ["landmarks"]
    assert "not made level" in made.problems["done"].iloc[0]
    box = dataclasses.replace(recipe, align="box")
    alike = prepare(index, recipe=box, crop="none", landmarks=landmarks, progress=False)
    np.testing.assert_array_equal(made.flow, alike.flow)


def test_outside_the_outline_flow_is_a_third_and_no_colour_is_far_above_the_mean():
    frames, _ = tilted_face(0.0)
    outline = np.zeros((200, 200), np.float32)
    outline[:, :100] = 1.0
    recipe = FlowRecipe(size=200, compute_size=200, outside=1 / 3, blur=0.0)
    whole = flow_of_faces(*frames, recipe=dataclasses.replace(recipe, outside=1.0), outline=outline)
    part = flow_of_faces(*frames, recipe=recipe, outline=outline)
    np.testing.assert_allclose(part[:, :100], whole[:, :100])
    np.testing.assert_allclose(part[:, 100:], whole[:, 100:] / 3, rtol=1e-5)
    colours = flow_of_faces(*frames, recipe=dataclasses.replace(recipe, coding="hsv"), outline=outline)
    assert colours[:, 100:].max() <= 3 * flow_colours(part)[:, 100:].mean() + 1e-6
    np.testing.assert_allclose(colours[:, :100], flow_colours(part)[:, :100])


def test_tvl1_is_scikit_images_where_opencv_has_none_and_the_recipe_says_so(tmp_path, monkeypatch):
    def lacking(onset, apex):
        raise ImportError("no contrib modules")

    monkeypatch.setattr("medn_lab.data.flow._tvl1", lacking)
    recipe = dataclasses.replace(FlowRecipe.named("hsv_tvl1"), size=32, compute_size=64, n_frames=2)
    with pytest.warns(UserWarning, match="scikit-image"):
        made = prepare(in_folder(tilted_face()[0], tmp_path / "clip"), recipe=recipe, progress=False)
    assert made.recipe["method"] == "tvl1_skimage"
    assert made.flow.shape == (1, 32, 32, 3)


def test_a_recipe_of_an_earlier_version_is_the_same_recipe():
    old = {name: value for name, value in dataclasses.asdict(FlowRecipe()).items() if name != "align"}
    assert FlowRecipe().to_dict() == old
    assert FlowRecipe.from_dict(old) == FlowRecipe()
    with pytest.raises(ValueError, match="align must be"):
        FlowRecipe(align="nose")
