"""Numbers in frame names, bit depths, frame rates and headers of videos as people have them."""

import numpy as np
import pytest
from PIL import Image
from written_sets import written

from medn_lab.data import FlowRecipe, list_frames, prepare, read_casme2, read_clip, read_image
from medn_lab.data.frames import FrameNameError, cv2, frame_number
from medn_lab.records import ClipIndex

TINY = FlowRecipe(name="tiny", size=16, compute_size=32, n_frames=4, register=False)


@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [
        ("f{:03d}_30fps.png", range(1, 10)),
        ("{:04d}_640x480.jpg", range(95, 105)),
        ("sub01_{}_cam2.bmp", [3, 9, 46]),
        ("006_{:05d}.jpg", [5562, 5563, 5570]),
        ("2019-03-07 s{}_v1.tif", range(8, 12)),
    ],
)
def test_the_run_of_digits_that_varies_is_the_frames_number(tmp_path, pattern, numbers):
    for number in numbers:
        (tmp_path / pattern.format(number)).touch()
    assert list(list_frames(tmp_path)) == list(numbers)


def test_of_two_runs_that_vary_the_one_that_counts_frames_is_taken(tmp_path):
    for number in range(1, 6):
        (tmp_path / f"frame{number}_{33 * number}ms.png").touch()
    assert list(list_frames(tmp_path)) == [1, 2, 3, 4, 5]


def test_a_random_code_in_each_name_is_no_frame_number(tmp_path):
    codes = ("8e1f0ac9", "77ab12", "1c9d33", "abf001", "9e9e9e", "12ab34", "77777a")
    for number, code in enumerate(codes, start=4):
        (tmp_path / f"frame_{number:04d}_jpg.rf.{code}.jpg").touch()
    assert list(list_frames(tmp_path)) == list(range(4, 11))


def test_a_single_name_has_its_number_and_a_unit_is_none():
    names = ("img7.png", "a_12_200fps.jpg", "x_1080px_3.png", "25fps.png", "no.png")
    assert [frame_number(name) for name in names] == [7, 12, 3, 25, None]


@pytest.mark.parametrize("names", [("img3.png", "img03.png"), ("img3.png", "img3.jpg"), ("s1_img3.png", "s2_img3.png")])
def test_two_files_of_one_number_are_named(tmp_path, names):
    for name in (*names, *(names[0].replace("3", other) for other in "4567")):
        (tmp_path / name).touch()
    with pytest.raises(FrameNameError) as error:
        list_frames(tmp_path)
    assert all(name in str(error.value) for name in names)


def test_a_clash_in_a_data_set_leaves_its_clip_out_and_says_so(tmp_path):
    written(tmp_path, "casme2", size=64, fps=15)
    whole = read_casme2(tmp_path)
    folder = whole.table["frames_folder"].iloc[0]
    name = next(iter(list_frames(folder).values()))
    name.with_suffix(".bmp").write_bytes(name.read_bytes())
    index = read_casme2(tmp_path)
    assert len(index) == len(whole) - 1
    row = index.problems[index.problems["clip_id"] == whole.table["clip_id"].iloc[0]].iloc[-1]
    assert not row["kept"]
    assert name.name in row["found"]
    with pytest.raises(ValueError, match="are both frame"):
        prepare(ClipIndex(whole.table.iloc[:1]), recipe=TINY, progress=False)


# --- bit depths -----------------------------------------------------------------------------------------------------


def ramp(number: int) -> np.ndarray:
    """A picture in [0, 1] that brightens with time; white only in the last of four."""
    return np.linspace(0, 0.7 + 0.1 * number, 64 * 64).reshape(64, 64)


def deep(folder, bits: int, kind: str) -> None:
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.{kind}"), np.rint(ramp(number) * (2**bits - 1)).astype(np.uint16))


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_deep_frames_are_as_bright_as_they_were_with_one_scale_a_clip(tmp_path, bits, kind):
    deep(tmp_path, bits, kind)
    clip = read_clip(tmp_path, apex=2, recipe=TINY, crop="none")
    brightest = clip.frames[0].max(axis=(1, 2, 3))
    np.testing.assert_allclose(brightest, 255 * np.array([0.7, 0.8, 0.9, 1.0]), atol=8)
    said = clip.problems["found"].str.contains(str(2**bits - 1)).tolist()
    assert said == ([] if bits == 16 else [True])


@pytest.mark.parametrize("white", [1.0, 255.0, 4095.0])
def test_fractions_are_read_by_their_largest_value(tmp_path, white):
    for number in range(4):
        Image.fromarray((ramp(number) * white).astype(np.float32)).save(tmp_path / f"{number}.tif")
    clip = read_clip(tmp_path, apex=2, recipe=TINY, crop="none")
    np.testing.assert_allclose(clip.frames[0].max(axis=(1, 2, 3)), 255 * np.array([0.7, 0.8, 0.9, 1.0]), atol=8)


def test_negative_values_are_kept_and_said(tmp_path):
    for number in range(4):
        Image.fromarray((2 * ramp(number) - 1).astype(np.float32)).save(tmp_path / f"{number}.tif")
    clip = read_clip(tmp_path, apex=2, recipe=TINY, crop="none")
    np.testing.assert_allclose(clip.frames[0].max(axis=(1, 2, 3)), 255 * np.array([0.7, 0.8, 0.9, 1.0]), atol=8)
    assert clip.frames[0].mean() == pytest.approx(255 * 0.425, abs=4)
    assert clip.problems["found"].tolist() == ["values from -1 to 1 in float32 files"]


def test_frames_that_lost_their_picture_are_said_to_be_black(tmp_path):
    for number in range(4):
        Image.fromarray((ramp(number) * 3).astype(np.uint8)).save(tmp_path / f"{number}.png")
    clip = read_clip(tmp_path, apex=2, recipe=TINY, crop="none")
    assert clip.problems["found"].str.contains("nearly black").tolist() == [True]


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK", "L", "LA", "1"])
def test_every_kind_of_picture_is_rgb(tmp_path, mode):
    picture = Image.fromarray(np.full((40, 60, 3), 255, np.uint8)).convert(mode)
    picture.save(tmp_path / ("1.jpg" if mode == "CMYK" else "1.png"))
    read = read_image(next(tmp_path.iterdir()))
    assert read.shape == (40, 60, 3)
    assert read.min() >= 253


@pytest.mark.parametrize("deep", [False, True])
def test_pictures_are_turned_upright(tmp_path, deep):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = np.zeros((40, 60), np.uint16 if deep else np.uint8)
    picture[:, :10] = 60000 if deep else 255
    Image.fromarray(picture).save(tmp_path / "1.png", exif=exif)
    read = read_image(tmp_path / "1.png")
    assert read.shape == (60, 40, 3)
    assert read[:8].min() > 200
    assert read[12:].max() == 0


@pytest.mark.parametrize("name", ["clip.v2", "clip"])
def test_a_clip_is_called_by_its_folder(tmp_path, monkeypatch, name):
    folder = tmp_path / name
    folder.mkdir()
    with pytest.raises(ValueError, match="no picture with a number in its name"):
        read_clip(folder)
    for number in range(4):
        Image.fromarray((255 * ramp(number)).astype(np.uint8)).save(folder / f"{number}.png")
    monkeypatch.chdir(folder)
    for path in (folder, "."):
        clip = read_clip(path, apex=np.float64(2), recipe=TINY, crop="none")
        assert clip.table[["clip_id", "apex"]].values.tolist() == [[name, 2]]


def test_an_onset_or_offset_that_is_not_there_is_said(tmp_path):
    for number in (2, 4, 6, 8):
        Image.fromarray((255 * ramp(number % 4)).astype(np.uint8)).save(tmp_path / f"{number}.png")
    clip = read_clip(tmp_path, onset=3, apex=6, offset=80, recipe=TINY, crop="none")
    assert clip.table[["onset", "offset"]].values.tolist() == [[4, 8]]
    said = clip.problems[clip.problems["field"].isin(["onset", "offset"])]
    assert said[["field", "found", "done"]].values.tolist() == [
        ["onset", "no frame 3", "4 taken"],
        ["offset", "no frame 80", "8 taken"],
    ]
    assert said["kept"].all()


# --- videos ---------------------------------------------------------------------------------------------------------


def video(path, count: int = 12) -> bytearray:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (96, 96))
    for number in range(count):
        writer.write(np.full((96, 96, 3), 60 + 10 * number, np.uint8))
    writer.release()
    return bytearray(path.read_bytes())


def with_header(path, *, rate: int = 25, frames: int = 12) -> None:
    content = video(path)
    stream, whole = content.index(b"strh") + 8, content.index(b"avih") + 8
    content[stream + 20 : stream + 28] = (1).to_bytes(4, "little") + rate.to_bytes(4, "little")
    for place in (stream + 32, whole + 16):
        content[place : place + 4] = frames.to_bytes(4, "little")
    path.write_bytes(content)


@pytest.mark.parametrize("rate", [1000, 12800, 90000])
def test_a_header_with_a_rate_that_cannot_be_is_said_and_30_assumed(tmp_path, rate):
    with_header(tmp_path / "v.avi", rate=rate)
    clip = read_clip(tmp_path / "v.avi", apex=5, recipe=TINY, crop="none")
    assert clip.table["fps"].tolist() == [30]
    (row,) = clip.problems.to_dict("records")
    assert (row["field"], row["kept"]) == ("fps", True)
    assert str(rate) in row["found"]
    given = read_clip(tmp_path / "v.avi", apex=5, recipe=TINY, crop="none", fps=200)
    assert given.table["fps"].tolist() == [200]
    assert len(given.problems) == 0


@pytest.mark.parametrize("rate", ["0", "-25", "nan", "inf"])
def test_a_header_with_no_rate_at_all(tmp_path, monkeypatch, rate):
    video(tmp_path / "v.avi")
    real = cv2.VideoCapture

    class Headless:
        def __init__(self, path):
            self.video = real(path)

        def get(self, what):
            return float(rate) if what == cv2.CAP_PROP_FPS else self.video.get(what)

        def __getattr__(self, name):
            return getattr(self.video, name)

    monkeypatch.setattr(cv2, "VideoCapture", Headless)
    clip = read_clip(tmp_path / "v.avi", apex=5, recipe=TINY, crop="none")
    assert clip.table["fps"].tolist() == [30]
    assert clip.problems["field"].tolist() == ["fps"]


@pytest.mark.parametrize("fps", [0, -30, float("nan"), float("inf"), 90000, 1000, "30", np.float64("nan")])
def test_a_rate_that_cannot_be_is_refused_as_an_argument(tmp_path, fps):
    video(tmp_path / "v.avi")
    with pytest.raises(ValueError, match=r"fps is .*below 1000"):
        read_clip(tmp_path / "v.avi", fps=fps, crop="none")


def test_a_long_video_is_refused_by_its_header_before_a_frame_is_read(tmp_path, monkeypatch):
    video(tmp_path / "v.avi")
    monkeypatch.setattr("medn_lab.data.frames.MOST_BYTES", 10 * 96 * 96 * 3)
    with monkeypatch.context() as unread:
        unread.setattr(cv2, "cvtColor", lambda *_: pytest.fail("a frame was read"))
        with pytest.raises(ValueError, match=r"more than 10 frames of 96x96 px.*onset= and offset="):
            read_clip(tmp_path / "v.avi", crop="none")
        with pytest.raises(ValueError, match=r"more than 10 frames"):
            read_clip(tmp_path / "v.avi", onset=1, crop="none")
    window = read_clip(tmp_path / "v.avi", onset=2, apex=4, offset=11, crop="none", recipe=TINY)
    assert window.table[["onset", "offset"]].values.tolist() == [[2, 11]]
    assert abs(int(window.frames[0, 0].mean()) - 80) < 4


def test_a_video_that_was_cut_off_is_said(tmp_path):
    content = video(tmp_path / "v.avi")
    frames = content.index(b"movi")
    (tmp_path / "v.avi").write_bytes(content[: frames + (content.index(b"idx1") - frames) // 2])
    clip = read_clip(tmp_path / "v.avi", apex=2, recipe=TINY, crop="none")
    (row,) = clip.problems[clip.problems["field"] == "frames"].to_dict("records")
    assert row["found"] == f"{clip.table['offset'].iloc[0] + 1} of 12 frames that the video's header promises"
    assert row["kept"]
    part = read_clip(tmp_path / "v.avi", apex=1, offset=3, recipe=TINY, crop="none")
    assert len(part.problems) == 0


@pytest.mark.parametrize("frames", [0, 3, 10**6, 2**32 - 1])
def test_a_header_that_lies_about_its_frames_changes_nothing(tmp_path, monkeypatch, frames):
    with_header(tmp_path / "v.avi", frames=frames)
    assert read_clip(tmp_path / "v.avi", apex=5, recipe=TINY, crop="none").table["offset"].tolist() == [11]
    monkeypatch.setattr("medn_lab.data.frames.MOST_BYTES", 10 * 96 * 96 * 3)
    with pytest.raises(ValueError, match=r"more than 10 frames"):
        read_clip(tmp_path / "v.avi", crop="none")
