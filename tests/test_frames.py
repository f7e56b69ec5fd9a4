"""Numbers in frame names, bit depths, frame rates and headers of videos as people have them; the user's own clip."""

import cv2
import numpy as np
import pytest
from PIL import Image
from refusals import assert_refuses

from medn_lab.data import FlowRecipe, list_frames, read_clip, read_image
from medn_lab.data.frames import ClipError

TINY = FlowRecipe(name="tiny", size=16, compute_size=32, n_frames=4, register=False)


def own(path, apex=2, **options):
    return read_clip(path, apex=apex, recipe=TINY, crop="none", **options)


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        ([f"f{n:03d}_30fps.png" for n in range(1, 10)], range(1, 10)),
        ([f"006_{n:05d}.jpg" for n in (5562, 5563, 5570)], [5562, 5563, 5570]),
        (["img9.png", "img46.png", "img100.png", ".img5.png", "Thumbs.db", "cover.png"], [9, 46, 100]),
    ],
)
def test_the_last_number_without_a_unit_is_the_frames(tmp_path, names, numbers):
    for name in names:
        (tmp_path / name).touch()
    assert list(list_frames(tmp_path)) == list(numbers)


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
        assert np.abs(read_image(path).astype(int) - rgb).max() <= 2, path.name
    exif, grey = Image.Exif(), np.zeros((40, 60), np.uint8)
    exif[0x0112], grey[:, :10] = 6, 255
    Image.fromarray(grey).save(tmp_path / "turned.png", exif=exif)
    turned = read_image(tmp_path / "turned.png")
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
        assert_refuses(read_image, tmp_path / name, match=name, error=ClipError)


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
    assert clip.table["fps"].tolist() == [30]
    assert clip.problems[["field", "kept"]].values.tolist() == [["fps", True]]
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
