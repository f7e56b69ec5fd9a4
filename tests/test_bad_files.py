"""Bad files and sets of another version get a sentence or a row of the problems, and harm no other clip."""

from pathlib import Path

import numpy as np
import pytest
from written_sets import written

from medn_lab.data import FlowRecipe, prepare, read_casme2, read_clip
from medn_lab.data.frames import UnreadableFrameError, read_image
from medn_lab.data.opencv import cv2
from medn_lab.records import ClipIndex

TINY = FlowRecipe(name="tiny", size=16, compute_size=32, n_frames=2, register=False)


def test_a_set_of_another_version_is_not_opened_in_its_stead(tmp_path, monkeypatch):
    written(tmp_path / "data", "casme2", size=64, fps=15)
    index = read_casme2(tmp_path / "data")
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
    told = written(tmp_path / "data", "casme2", size=64, fps=15)
    index = read_casme2(tmp_path / "data")
    index = ClipIndex(index.table.iloc[:3], index.problems, index.source)
    row = index.table.iloc[1]
    apex = Path(row["frames_folder"]) / f"reg_img{int(row['apex'])}.png"
    assert apex.is_file()
    apex.write_bytes(b"not a picture at all")
    prepared = prepare(index, recipe=TINY, progress=False)
    assert prepared.table["clip_id"].tolist() == told["written_as"].iloc[[0, 2]].tolist()
    assert prepared.problems["found"].str.contains("is no picture").tolist() == [True]
