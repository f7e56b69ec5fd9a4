"""Bad files and sets of another version get a sentence or a row of the problems, and harm no other clip."""

import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from written_sets import TINY, shared_set

from medn_lab.data import prepare, read_casme2, read_clip, read_dfme
from medn_lab.data.frames import UnreadableFrameError, cv2, read_image
from medn_lab.records import ClipIndex


def test_a_set_of_another_version_is_not_opened_in_its_stead(tmp_path, monkeypatch):
    index = read_casme2(shared_set("casme2")[0])
    index = ClipIndex(index.table.iloc[:2], index.problems, index.source)
    prepare(index, tmp_path / "set", recipe=TINY, progress=False)
    monkeypatch.setattr("medn_lab.data.prepared_set.PIPELINE", 99)
    with pytest.raises(FileExistsError, match="was prepared with another version of medn_lab; choose another folder"):
        prepare(index, tmp_path / "set", recipe=TINY, progress=False)


def test_a_video_with_no_face_says_so(tmp_path):
    path = tmp_path / "wall.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (96, 96))
    rng = np.random.default_rng(0)
    for _ in range(4):
        video.write(rng.integers(90, 110, (96, 96, 3), dtype=np.uint8))
    video.release()
    with pytest.raises(ValueError, match=r"wall.avi: no face was found in a frame of 96x96 px.*crop='none'"):
        read_clip(path)


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


def test_an_unreadable_frame_leaves_its_clip_out_and_no_other(tmp_path):
    root, told = shared_set("casme2")
    index = read_casme2(shutil.copytree(root, tmp_path / "data"))
    index = ClipIndex(index.table.iloc[:3], index.problems, index.source)
    row = index.table.iloc[1]
    apex = Path(row["frames_folder"]) / f"reg_img{int(row['apex'])}.png"
    assert apex.is_file()
    apex.write_bytes(b"not a picture at all")
    prepared = prepare(index, recipe=TINY, progress=False)
    assert prepared.table["clip_id"].tolist() == told["written_as"].iloc[[0, 2]].tolist()
    assert prepared.problems["found"].str.contains("is no picture").tolist() == [True]


def test_a_picture_of_another_depth_colour_or_length_is_read_as_what_it_shows(tmp_path):
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


def test_a_video_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    video = cv2.VideoWriter(str(tmp_path / "long.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (96, 96))
    for _ in range(12):
        video.write(np.full((96, 96, 3), 120, np.uint8))
    video.release()
    monkeypatch.setattr("medn_lab.data.frames.MOST_BYTES", 10 * 96 * 96 * 3)
    with pytest.raises(ValueError, match=r"long.avi has more than 10 frames of 96x96 px.*onset= and offset="):
        read_clip(tmp_path / "long.avi", crop="none")
    assert read_clip(tmp_path / "long.avi", onset=2, offset=8, crop="none", recipe=TINY).table["offset"].tolist() == [8]


@pytest.mark.parametrize("fps", ["0", "-30", "nan", "inf", "1e-320", "2014-01-02", ""])
def test_a_frame_rate_that_is_none_gives_way_to_the_data_sets_own(tmp_path, fps):
    root, _ = shared_set("dfme")
    table = pd.read_csv(root / "DFME_annotations.csv", dtype=str)
    table.loc[0, "fps"] = fps
    table.to_csv(tmp_path / "coding.csv", index=False)
    index = read_dfme(root, spreadsheet=tmp_path / "coding.csv")
    assert index.table["fps"].iloc[0] == 200
    assert (index.problems["field"] == "fps").sum() == (fps != "")
