"""MediaPipe's landmarker, played by a fake of the same names: where the crop goes, and what is said without it."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from medn_lab.data import FlowRecipe, NoFaceError, prepare
from medn_lab.data.face_finders import LandmarkModel, _landmarker
from medn_lab.data.frames import cv2
from medn_lab.records import ClipIndex

SMALL = FlowRecipe(name="small", size=16, compute_size=32, n_frames=2)
CORNERS = ((0.25, 0.25), (0.75, 0.25), (0.5, 0.75))


@pytest.fixture
def task(tmp_path):
    path = tmp_path / "face_landmarker.task"
    path.write_bytes(b"a model")
    return path


@pytest.fixture(autouse=True)
def no_landmarker_is_left_over():
    _landmarker.cache_clear()
    yield
    _landmarker.cache_clear()


@pytest.fixture
def mediapipe(monkeypatch):
    """The modules that MediaPipe 0.10 and later have, with a landmarker that always finds the same three points."""
    seen = SimpleNamespace(corners=CORNERS, opened=[], pictures=[])

    class FaceLandmarker:
        @classmethod
        def create_from_options(cls, options):
            if not options.base_options.model_asset_path.endswith("face_landmarker.task"):
                raise RuntimeError("Unable to open zip archive.")
            seen.opened.append(options.base_options.model_asset_path)
            return cls()

        def detect(self, picture):
            seen.pictures.append(picture.data)
            points = [SimpleNamespace(x=x, y=y, z=0.0) for x, y in seen.corners]
            return SimpleNamespace(face_landmarks=[points] if points else [])

    root, tasks, python, vision = (
        ModuleType(name)
        for name in ("mediapipe", "mediapipe.tasks", "mediapipe.tasks.python", "mediapipe.tasks.python.vision")
    )
    root.Image = lambda image_format, data: SimpleNamespace(image_format=image_format, data=data)
    root.ImageFormat = SimpleNamespace(SRGB=1)
    python.BaseOptions = lambda model_asset_path: SimpleNamespace(model_asset_path=model_asset_path)
    vision.FaceLandmarker = FaceLandmarker
    vision.FaceLandmarkerOptions = lambda base_options, num_faces: SimpleNamespace(base_options=base_options)
    for module in (root, tasks, python, vision):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return seen


@pytest.fixture
def index(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(0, 255, (80, 80, 3), dtype=np.uint8), (0, 0), 2)
    for number in range(1, 5):
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    row = {"clip_id": "a", "subject": "1", "onset": 1, "apex": 3, "offset": 4, "frames_folder": str(folder)}
    return ClipIndex(pd.DataFrame([row]))


def test_landmarks_are_pixels_of_the_frame(mediapipe, task):
    points = LandmarkModel.open(task).landmarks(np.zeros((40, 80, 3), np.uint8))
    np.testing.assert_array_equal(points, [[20, 10], [60, 10], [40, 30]])


def test_the_crop_is_the_one_of_the_same_landmarks_given_by_hand(mediapipe, task, index):
    by_hand = {"a": np.array(CORNERS) * 80}
    found = prepare(index, recipe=SMALL, landmarks=task, progress=False)
    np.testing.assert_array_equal(found.frames, prepare(index, recipe=SMALL, landmarks=by_hand, progress=False).frames)


def test_the_model_looks_once_a_clip_and_opens_once(mediapipe, task, index):
    prepare(index, recipe=SMALL, landmarks=task, progress=False)
    assert len(mediapipe.pictures) == len(index)
    assert mediapipe.opened == [str(task)]


def test_another_model_file_makes_another_set(mediapipe, task, index, tmp_path):
    prepare(index, tmp_path / "set", recipe=SMALL, landmarks=task, progress=False)
    task.write_bytes(b"another model")
    with pytest.raises(FileExistsError, match="was prepared with another crop or other landmarks"):
        prepare(index, tmp_path / "set", recipe=SMALL, landmarks=task, progress=False)


def test_a_frame_without_a_face_is_told_in_the_problems(mediapipe, task, index):
    mediapipe.corners = ()
    with pytest.raises(NoFaceError, match=r"face_landmarker.task found no face in a frame of 80x40 px"):
        LandmarkModel.open(task).landmarks(np.zeros((40, 80, 3), np.uint8))
    with pytest.raises(ValueError, match=r"none of 1 clips could be prepared.*found no face"):
        prepare(index, recipe=SMALL, landmarks=task, progress=False)


def test_without_mediapipe_the_error_has_the_line_that_installs_it(monkeypatch, task, index, tmp_path):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(ImportError, match=r"pip install 'medn-lab\[landmarks\]'.*built-in detector"):
        prepare(index, tmp_path / "set", recipe=SMALL, landmarks=task, progress=False)
    assert not list(tmp_path.glob(".set*"))


def test_a_model_that_is_not_there_or_no_model_gets_a_sentence(mediapipe, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no landmark model at .*none.task"):
        LandmarkModel.open(tmp_path / "none.task")
    (tmp_path / "broken.task").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"broken.task is no face landmarker that MediaPipe can read: Unable to open"):
        LandmarkModel.open(tmp_path / "broken.task")
