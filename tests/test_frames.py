"""Numbers in frame names, bit depths, frame rates and headers of videos as people have them; the user's own clip."""

import shutil
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from written_sets import shared_set

from medn_lab.data import FlowRecipe, list_frames, prepare, read_casme2, read_clip, read_image
from medn_lab.data.frames import FrameNameError, UnreadableFrameError, frame_number
from medn_lab.records import ClipIndex

TINY = FlowRecipe(name="tiny", size=16, compute_size=32, n_frames=4, register=False)


def own(path, apex=2, **options):
    return read_clip(path, apex=apex, recipe=TINY, crop="none", **options)


# --- names ----------------------------------------------------------------------------------------------------------

CODES = ("8e1f0ac9", "77ab12", "1c9d33", "abf001", "9e9e9e", "12ab34", "77777a")


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        ([f"f{n:03d}_30fps.png" for n in range(1, 10)], range(1, 10)),
        ([f"{n:04d}_640x480.jpg" for n in range(95, 105)], range(95, 105)),
        ([f"sub01_{n}_cam2.bmp" for n in (3, 9, 46)], [3, 9, 46]),
        ([f"006_{n:05d}.jpg" for n in (5562, 5563, 5570)], [5562, 5563, 5570]),
        ([f"2019-03-07 s{n}_v1.tif" for n in range(8, 12)], range(8, 12)),
        ([f"frame{n}_{33 * n}ms.png" for n in range(1, 6)], range(1, 6)),  # of two that vary, the one that counts
        ([f"frame_{n:04d}_jpg.rf.{code}.jpg" for n, code in enumerate(CODES, 4)], range(4, 11)),  # random codes
        (["img9.png", "img46.png", "img100.png", ".img5.png", "Thumbs.db", "cover.png"], [9, 46, 100]),
    ],
)
def test_the_run_of_digits_that_counts_is_the_frames_number(tmp_path, names, numbers):
    for name in names:
        (tmp_path / name).touch()
    assert list(list_frames(tmp_path)) == list(numbers)


def test_a_single_name_has_its_number_and_a_unit_is_none():
    names = ("img7.png", "a_12_200fps.jpg", "x_1080px_3.png", "25fps.png", "no.png", "036_7_5_s.jpeg")
    assert [frame_number(name) for name in names] == [7, 12, 3, 25, None, 5]


@pytest.mark.parametrize("names", [("img3.png", "img03.png"), ("img3.png", "img3.jpg"), ("s1_img3.png", "s2_img3.png")])
def test_two_files_of_one_number_are_named(tmp_path, names):
    for name in (*names, *(names[0].replace("3", other) for other in "4567")):
        (tmp_path / name).touch()
    with pytest.raises(FrameNameError) as error:
        list_frames(tmp_path)
    assert all(name in str(error.value) for name in names)


def test_a_clash_in_a_data_set_leaves_its_clip_out_with_a_row(tmp_path):
    root = shutil.copytree(shared_set("casme2")[0], tmp_path / "set")
    whole = read_casme2(root)
    name = next(iter(list_frames(whole.table["frames_folder"].iloc[0]).values()))
    name.with_suffix(".bmp").write_bytes(name.read_bytes())
    index = read_casme2(root)
    assert len(index) == len(whole) - 1
    row = index.problems[index.problems["clip_id"] == whole.table["clip_id"].iloc[0]].iloc[-1]
    assert not row["kept"]
    assert name.name in row["found"]
    with pytest.raises(ValueError, match=name.name):
        prepare(ClipIndex(whole.table.iloc[:1]), recipe=TINY, progress=False)


# --- pictures -------------------------------------------------------------------------------------------------------


def ramp(number: int) -> np.ndarray:
    """A picture in [0, 1] that brightens with time; white only in the last of four."""
    return np.linspace(0, 0.7 + 0.1 * number, 64 * 64).reshape(64, 64)


def fill(folder, kind: str, scale: float, dtype, offset: float = 0.0, numbers=range(4)):
    for number in numbers:
        values = ramp(number % 4) * scale + offset
        values = values if np.dtype(dtype).kind == "f" else np.rint(values)
        assert cv2.imwrite(str(folder / f"{number}.{kind}"), values.astype(dtype))
    return folder


@pytest.mark.parametrize(
    ("kind", "scale", "dtype", "offset", "found"),
    [
        *((kind, 2**bits - 1, np.uint16, 0, str(2**bits - 1)) for bits in (10, 12, 14) for kind in ("png", "tif")),
        *((kind, 2**16 - 1, np.uint16, 0, None) for kind in ("png", "tif")),
        *(("tif", white, np.float32, 0, f"{white:g} in float32") for white in (1.0, 255.0, 4095.0)),
        ("tif", 2.0, np.float32, -1.0, "values from -1 to 1 in float32 files"),
    ],
)
def test_deep_frames_are_as_bright_as_they_were_with_one_scale_a_clip(tmp_path, kind, scale, dtype, offset, found):
    clip = own(fill(tmp_path, kind, scale, dtype, offset))
    np.testing.assert_allclose(clip.frames[0].max(axis=(1, 2, 3)), 255 * np.array([0.7, 0.8, 0.9, 1.0]), atol=8)
    assert clip.frames[0].mean() == pytest.approx(255 * 0.425, abs=4)
    assert clip.problems["found"].str.contains(str(found), regex=False).tolist() == [True] * (found is not None)


def test_frames_that_lost_their_picture_are_reported_as_black(tmp_path):
    assert "nearly black" in own(fill(tmp_path, "png", 3, np.uint8)).problems["found"].item()


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK", "L", "LA", "1"])
def test_every_kind_of_picture_is_rgb(tmp_path, mode):
    picture = Image.fromarray(np.full((40, 60, 3), 255, np.uint8)).convert(mode)
    picture.save(tmp_path / ("1.jpg" if mode == "CMYK" else "1.png"))
    read = read_image(next(tmp_path.iterdir()))
    assert read.shape == (40, 60, 3)
    assert read.min() >= 253


@pytest.mark.parametrize("white", [np.uint8(255), np.uint16(60000)])
def test_pictures_are_turned_upright(tmp_path, white):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = np.zeros((40, 60), white.dtype)
    picture[:, :10] = white
    Image.fromarray(picture).save(tmp_path / "1.png", exif=exif)
    read = read_image(tmp_path / "1.png")
    assert read.shape == (60, 40, 3)
    assert read[:8].min() > 200
    assert read[12:].max() == 0


def test_a_file_that_is_no_picture_is_named_with_what_is_wrong(tmp_path):
    good = cv2.imencode(".png", np.zeros((20, 20, 3), np.uint8))[1].tobytes()
    files = {"empty.png": b"", "half.png": good[: len(good) // 2], "words.jpg": b"not a picture at all"}
    said = {"empty.png": "is empty", "half.png": "is truncated after", "words.jpg": "is no picture that OpenCV can"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableFrameError, match=f"{name} {said[name]}"):
            read_image(tmp_path / name)
    with pytest.raises(UnreadableFrameError, match=r"none.png cannot be opened"):
        read_image(tmp_path / "none.png")


def test_a_picture_in_colour_of_another_depth_or_length_is_read_as_what_it_shows(tmp_path):
    rgb = np.full((20, 30, 3), (200, 100, 50), np.uint8)
    picture = Image.fromarray(rgb)
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    picture.save(tmp_path / "moving.png", save_all=True, append_images=[Image.fromarray(255 - rgb)], duration=50)
    picture.save(tmp_path / "pages.tif", save_all=True, append_images=[Image.fromarray(255 - rgb)])
    cv2.imwrite(str(tmp_path / "deep.png"), rgb[..., ::-1].astype(np.uint16) * 257)
    for path in tmp_path.iterdir():
        assert np.abs(read_image(path).astype(int) - rgb).max() <= 2, path.name


def test_a_picture_that_would_fill_the_memory_or_is_damaged_is_refused(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(20_001 * 50), 9)  # a small file: what it claims is enough
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    with pytest.raises(UnreadableFrameError, match=r"bomb.png claims to have .*100,000,000 pixels; it is not read"):
        read_image(tmp_path / "bomb.png")
    whole = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8))[1].tobytes()
    place = len(whole) // 2
    (tmp_path / "flipped.png").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(UnreadableFrameError, match=r"flipped.png is damaged: a checksum in it is wrong"):
        read_image(tmp_path / "flipped.png")


# --- the user's own clip --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["clip.v2", "clip"])
def test_a_clip_is_called_by_its_folder(tmp_path, monkeypatch, name):
    folder = tmp_path / name
    folder.mkdir()
    with pytest.raises(ValueError, match="no picture with a number"):
        read_clip(folder)
    fill(folder, "png", 255, np.uint8)
    monkeypatch.chdir(folder)
    for path in (folder, "."):
        clip = own(path, np.float64(2))
        assert clip.table[["clip_id", "apex", "apex_confidence"]].values.tolist() == [[name, 2, 1]]


def test_an_onset_or_offset_that_is_not_there_is_reported(tmp_path):
    clip = own(fill(tmp_path, "png", 255, np.uint8, numbers=(2, 4, 6, 8)), 6, onset=3, offset=80)
    assert clip.table[["onset", "offset"]].values.tolist() == [[4, 8]]
    rows = clip.problems[clip.problems["field"].isin(["onset", "offset"])]
    assert rows[["field", "found", "done"]].values.tolist() == [
        ["onset", "no frame 3", "4 taken"],
        ["offset", "no frame 80", "8 taken"],
    ]
    assert rows["kept"].all()


def video(path, count: int = 12, *, rate: int | None = None, frames: int = 12):
    """A video of 25 frames a second, or with another rate and number of frames in its header."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (96, 96))
    for number in range(count):
        writer.write(np.full((96, 96, 3), 60 + 10 * number, np.uint8))
    writer.release()
    content = bytearray(path.read_bytes())
    stream, whole = content.index(b"strh") + 8, content.index(b"avih") + 8
    if rate is not None:
        content[stream + 20 : stream + 28] = (1).to_bytes(4, "little") + rate.to_bytes(4, "little")
    for place in (stream + 32, whole + 16):
        content[place : place + 4] = frames.to_bytes(4, "little")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("rate", [1000, 12800, 90000])
def test_a_header_with_a_rate_that_cannot_be_is_reported_and_30_assumed(tmp_path, rate):
    path = video(tmp_path / "v.avi", rate=rate)
    clip = own(path, 5)
    assert clip.table["fps"].tolist() == [30]
    (row,) = clip.problems.to_dict("records")
    assert (row["field"], row["kept"]) == ("fps", True)
    assert str(rate) in row["found"]
    given = own(path, 5, fps=200)
    assert given.table["fps"].tolist() == [200]
    assert len(given.problems) == 0


@pytest.mark.parametrize("rate", ["0", "-25", "nan", "inf"])
def test_a_header_with_no_rate_at_all(tmp_path, monkeypatch, rate):
    path, real = video(tmp_path / "v.avi"), cv2.VideoCapture

    class Headless:
        def __init__(self, path):
            self.video = real(path)

        def get(self, what):
            return float(rate) if what == cv2.CAP_PROP_FPS else self.video.get(what)

        def __getattr__(self, name):
            return getattr(self.video, name)

    monkeypatch.setattr(cv2, "VideoCapture", Headless)
    clip = own(path, 5)
    assert clip.table["fps"].tolist() == [30]
    assert clip.problems["field"].tolist() == ["fps"]


@pytest.mark.parametrize("fps", [0, -30, float("nan"), float("inf"), 90000, 1000, "30", np.float64("nan")])
def test_a_rate_that_cannot_be_is_refused_as_an_argument(tmp_path, fps):
    with pytest.raises(ValueError, match=r"fps.*below 1000"):
        own(video(tmp_path / "v.avi"), fps=fps)


def test_a_long_video_is_refused_by_its_header_before_a_frame_is_read(tmp_path, monkeypatch):
    path = video(tmp_path / "v.avi")
    monkeypatch.setattr("medn_lab.data.frames.MOST_BYTES", 10 * 96 * 96 * 3)
    with monkeypatch.context() as unread:
        unread.setattr(cv2, "cvtColor", lambda *_: pytest.fail("a frame was read"))
        for onset in (None, 1):
            with pytest.raises(ValueError, match=r"10 frames of 96x96 px.*onset= and offset="):
                own(path, onset=onset)
    window = own(path, 4, onset=2, offset=11)
    assert window.table[["onset", "offset"]].values.tolist() == [[2, 11]]
    assert abs(int(window.frames[0, 0].mean()) - 80) < 4


def test_a_video_that_was_cut_off_is_reported(tmp_path):
    path = video(tmp_path / "v.avi")
    content = path.read_bytes()
    frames = content.index(b"movi")
    path.write_bytes(content[: frames + (content.index(b"idx1") - frames) // 2])
    clip = own(path)
    (row,) = clip.problems[clip.problems["field"] == "frames"].to_dict("records")
    assert row["found"].startswith(f"{clip.table['offset'].iloc[0] + 1} of 12 frames")
    assert row["kept"]
    assert len(own(path, 1, offset=3).problems) == 0


@pytest.mark.parametrize("frames", [0, 3, 10**6, 2**32 - 1])
def test_a_header_that_lies_about_its_frames_changes_nothing(tmp_path, monkeypatch, frames):
    path = video(tmp_path / "v.avi", frames=frames)
    assert own(path, 5).table["offset"].tolist() == [11]
    monkeypatch.setattr("medn_lab.data.frames.MOST_BYTES", 10 * 96 * 96 * 3)
    with pytest.raises(ValueError, match="10 frames"):
        own(path, 5)


def test_a_clip_that_cannot_be_read_is_named_with_the_fault(tmp_path):
    contents = {"notes.txt": b"hello", "broken.avi": b"RIFF"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileNotFoundError, match=r"none\.avi"):
        read_clip(tmp_path / "none.avi")
    with pytest.raises(ValueError, match=r"notes\.txt is no video"):
        read_clip(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match=r"broken\.avi has 0 readable frames"):
        read_clip(tmp_path / "broken.avi")
    fill(tmp_path, "png", 255, np.uint8)
    with pytest.raises(ValueError, match="apex 0"):
        own(tmp_path, 0)
    with pytest.raises(ValueError, match="no face was found"):
        read_clip(tmp_path)
