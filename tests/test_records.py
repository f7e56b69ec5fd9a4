"""The records: what is saved comes back, rows follow their clip_id, and every refusal says what is wrong."""

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medn_lab.records import (
    Attribution,
    BranchFeatures,
    ClipIndex,
    Clips,
    DecouplingReport,
    Embedding,
    History,
    KeptTokens,
    Parts,
    Predictions,
    Truth,
    au_columns,
    check_table,
    frame_numbers,
    normalise_text,
    positions,
    read_parts,
    write_parts,
)

IDS = ["c0", "c1", "c2"]
WRITTEN_BY_0_1_0 = Path(__file__).with_name("written_by_0_1_0") / "records.zip"


def a_table() -> pd.DataFrame:
    """Three clips of two subjects with every trap of a spreadsheet: 01, an empty text, NA as a word, an unknown AU."""
    return pd.DataFrame(
        {
            "clip_id": IDS,
            "dataset": "casme2",
            "subject": ["01", "01", "02"],
            "onset": [10, 20, 30],
            "apex": [15.0, np.nan, 35.0],
            "fps": 200.0,
            "emotion": ["surprise", "", "NA"],
            "action_units": ["4", "L4+R10", "?"],
            "AU4": [1.0, np.nan, 0.0],
            "score": [0.1, 1 / 3, 2.0**-40],
            "take": ["007", "1e5", "010"],
        }
    )


def some_problems() -> pd.DataFrame:
    return pd.DataFrame(
        {"clip_id": ["c1", "gone"], "field": "apex", "found": ["/", "0"], "done": "none", "kept": [True, False]}
    )


def a_truth() -> Truth:
    random = np.random.default_rng(0)
    return Truth(
        table=a_table()[["clip_id", "subject"]],
        displacement=random.normal(size=(3, 4, 5, 2)).astype(np.float16),
        au_masks=random.random((2, 2, 4, 5)) > 0.5,
        cue_mask=random.random((2, 4, 5)) > 0.5,
        cue_course=random.normal(size=(3, 6)).astype(np.float32),
        subjects=("01", "02"),
        aus=("AU4", "AU12"),
    )


def some_clips(**changes: object) -> Clips:
    random = np.random.default_rng(1)
    frames = random.integers(0, 256, (3, 6, 4, 5, 3), dtype=np.uint8)
    flow = random.normal(size=(3, 4, 5, 2)).astype(np.float32)
    recipe = {"flow": "dis", "size": 64, "mask": True}
    return dataclasses.replace(Clips(frames, flow, a_table(), recipe, problems=some_problems()), **changes)


def some_predictions() -> Predictions:
    random = np.random.default_rng(2)
    logits, au_logits = (random.normal(size=(3, width)).astype(np.float32) for width in (2, 1))
    return Predictions(
        logits, a_table(), ("surprise", "others"), au_logits, ("AU4",), np.array([0, 0, 1]), "own", {"name": "tiny"}
    )


def records() -> dict[str, object]:
    plane = np.random.default_rng(3).normal(size=(3, 2)).astype(np.float32)
    report = {"measure": ["linear_cka"], "value": [0.1], "null_mean": [np.nan], "p": [1 / 3], "direction": ["lower"]}
    epochs = pd.DataFrame({"epoch": [1, 2], "seconds": 0.5, "loss": [1.5, 1 / 3], "accuracy": [0.5, 0.75]})
    flow = np.ones((3, 4, 5, 2), np.float32)
    figures = {"method": "umap", "seed": 0}, {"motion": 0.9}, {"motion": 0.8}
    masks = np.random.default_rng(4).random((3, 2, 4, 4)) > 0.5
    rates = {"keep_rates": (0.5, 0.25), "kept_shares": (0.5, 0.25)}
    return {
        "index": ClipIndex(a_table(), some_problems(), {"root": "casme2", "coding": "2019"}),
        "clips": some_clips(),
        "synthetic": some_clips(truth=a_truth()),
        "flow": some_clips(frames=None),
        "frames": some_clips(flow=None),
        "predictions": some_predictions(),
        "logits": Predictions(plane, a_table(), ("a", "b")),
        "features": BranchFeatures(plane, None, plane + 1, a_table(), source={"name": "tiny", "weights": "ab12"}),
        "embedding": Embedding(plane, plane * 2, None, a_table(), *figures, layers={"gate": plane + 2}),
        "attribution": Attribution(None, flow, a_table(), "surprise", "motion", "occlusion", {"mass": 0.5}),
        "kept": KeptTokens(masks, plane[:, :1, None] * np.ones((4, 4), np.float32), plane, a_table(), **rates),
        "report": DecouplingReport(pd.DataFrame(report), {"name": "tiny"}),
        "history": History(epochs, {"seed": 0, "size": [4, 5]}, "stopped"),
    }


def assert_same(one: object, other: object) -> None:
    """Equal in type and content, arrays bit by bit, tables with their types."""
    assert type(one) is type(other)
    for name in (field.name for field in dataclasses.fields(one)):
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, pd.DataFrame):
            pd.testing.assert_frame_equal(a, b, check_dtype=False, check_exact=True)
        elif isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
        elif dataclasses.is_dataclass(a):
            assert_same(a, b)
        elif name == "layers":
            np.testing.assert_equal(dict(a), dict(b))
        else:
            assert a == b, name


@pytest.mark.parametrize(("name", "record"), records().items(), ids=records())
def test_every_record_is_frozen_comes_back_and_replaces_only_its_own_kind(name, record, tmp_path):
    kind = type(record).__name__
    for _ in range(2):
        assert_same(record, type(record).load(record.save(tmp_path / "deep" / "record")))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["record"]
    with pytest.raises(ValueError, match=rf"holds a {kind}, not a Other; load it with {kind}\.load"):
        read_parts(tmp_path / "deep" / "record", "Other")
    with pytest.raises(FileExistsError):
        write_parts(tmp_path / "deep" / "record", "Other", Parts())
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.table = None
    assert repr(record).startswith(kind)
    assert str(len(record.table)) in repr(record)
    assert len(repr(record)) < 600


@pytest.mark.parametrize(("name", "record"), records().items(), ids=records())
def test_every_record_that_version_0_1_0_wrote_loads(name, record, tmp_path):
    with zipfile.ZipFile(WRITTEN_BY_0_1_0) as archive:
        archive.extractall(tmp_path)
    assert_same(record, type(record).load(tmp_path / name))


def test_a_record_without_sums_and_with_a_truth_of_one_kind_of_cue_loads(tmp_path):
    clips, truth = some_clips(truth=a_truth()), a_truth()
    parts = read_parts(clips.save(tmp_path / "set"), "Clips")
    meta = {"truth": {"subjects": list(truth.subjects), "aus": list(truth.aus)}}
    arrays = {**parts.arrays, "truth_cue_mask": truth.cue_mask[:, 0]}
    folder = write_parts(tmp_path / "old", "Clips", dataclasses.replace(parts, arrays=arrays, meta=meta))
    head = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({k: v for k, v in head.items() if "sha256" not in k}))
    again = Clips.load(Clips.load(folder).select(["c2"]).save(tmp_path / "new"))
    np.testing.assert_array_equal(again.truth.cue_region("c2"), truth.cue_mask[1, 0])


class TestTables:
    def test_texts_stay_texts_and_unknown_aus_unknown(self, tmp_path):
        table = Clips.load(some_clips().save(tmp_path / "set")).table
        assert list(table["subject"]) == ["01", "01", "02"]
        assert list(table["emotion"]) == ["surprise", "", "NA"]
        assert list(table["action_units"]) == ["4", "L4+R10", "?"]
        assert list(table["take"]) == ["007", "1e5", "010"], "a column that only the user knows"
        np.testing.assert_array_equal(table["AU4"], [1.0, np.nan, 0.0])

    def test_a_table_without_rows_keeps_its_columns(self, tmp_path):
        again = ClipIndex.load(ClipIndex(a_table().iloc[:0]).save(tmp_path / "index"))
        assert list(again.table.columns) == list(a_table().columns)
        assert len(again) == 0

    def test_ids_become_text_and_the_callers_table_is_not_touched(self):
        mine = pd.DataFrame({"clip_id": [7, 8], "subject": [1, 2], "emotion": "fear"}, index=[5, 6])
        index = ClipIndex(mine)
        assert index.table[["clip_id", "subject"]].to_numpy().tolist() == [["7", "1"], ["8", "2"]]
        index.table.loc[0, "emotion"] = "changed"
        assert list(mine.index) == [5, 6]
        assert list(index.table.index) == [0, 1]
        assert mine["emotion"].iloc[0] == "fear"

    @pytest.mark.parametrize(
        ("table", "facts"),
        [
            ({"clip_id": ["a", "b", "a"], "subject": "1"}, "1 clip_ids more than once, such as 'a'"),
            *(({"clip_id": ["a", nameless], "subject": "1"}, "clip_id") for nameless in ("", "  ", None, np.nan)),
            ({"clip_id": ["a"], "fps": [200]}, "lacks subject; it has clip_id, fps"),
            ({}, "lacks clip_id, subject; it has no columns"),
            ({"clip_id": ["a"], "subject": "1", "AU12": ["yes"]}, "AU12 .*'yes'"),
        ],
    )
    def test_a_table_that_does_not_name_its_clips_is_refused(self, table, facts):
        with pytest.raises(ValueError, match=facts):
            check_table(pd.DataFrame(table), owner="Clips", required=("clip_id", "subject"))

    def test_au_columns_are_au_and_a_number(self):
        columns = ["AU", "AU1", "AU12", "AUC", "au4", "xAU4"]
        assert au_columns(pd.DataFrame(columns=columns)) == ["AU1", "AU12"]

    @given(
        st.lists(
            st.tuples(st.text(st.characters(exclude_categories=["C"]), max_size=8), st.floats(allow_infinity=False)),
            min_size=1,
            max_size=5,
        )
    )
    def test_any_text_and_any_number_survive_the_csv(self, tmp_path_factory, rows):
        table = pd.DataFrame(rows, columns=["emotion", "value"])
        folder = write_parts(tmp_path_factory.mktemp("csv") / "rows", "Rows", Parts(tables={"rows": table}))
        again = read_parts(folder, "Rows").tables["rows"]
        assert list(again["emotion"]) == [text for text, _ in rows]
        np.testing.assert_array_equal(again["value"].to_numpy(float), [number for _, number in rows])

    @pytest.mark.parametrize(
        ("written", "plain"),
        [
            ("４，７", "4,7"), ("４、７", "4,7"), ("４；７", "4;7"), ("Ｌ１２＋Ｒ１４", "L12+R14"),
            ("（6／12）？", "(6/12)?"),
            ("disgust\u00a0", "disgust"), ("\ufeffSubject", "Subject"), ("On\u200bset\u3000Frame", "Onset Frame"),
            ("ＡＵ", "AU"), ("2–3", "2-3"), ("a\r\n b", "a b"), (4, "4"),
            (None, ""), (np.nan, ""), (np.float32("nan"), ""), (pd.NA, ""), (pd.NaT, ""),
        ],
    )  # fmt: skip
    def test_full_width_and_typographic_signs_become_plain_ones(self, written, plain):
        assert normalise_text(written) == plain
        assert normalise_text(plain) == plain


class TestSelection:
    def test_rows_follow_the_ids_in_the_order_named(self):
        clips = some_clips(truth=a_truth())
        chosen = clips.select(["c2", "c0"])
        assert list(chosen.table["clip_id"]) == list(chosen.truth.table["clip_id"]) == ["c2", "c0"]
        for array in ("frames", "flow"):
            np.testing.assert_array_equal(getattr(chosen, array), getattr(clips, array)[[2, 0]])
        for array in ("displacement", "cue_course"):
            np.testing.assert_array_equal(getattr(chosen.truth, array), getattr(clips.truth, array)[[2, 0]])
        assert len(clips.select("c1")) == 1, "one id is one clip, not its letters"
        assert list(clips.select(["c1", "c2"]).problems["clip_id"]) == ["c1"], "problems of other clips stay behind"
        assert len(clips.select(["c0"]).problems) == 0

    def test_a_shuffled_truth_is_joined_by_clip_id(self):
        truth, order = a_truth(), [2, 0, 1]
        rows = {"displacement": truth.displacement[order], "cue_course": truth.cue_course[order]}
        shuffled = dataclasses.replace(truth, table=truth.table.iloc[order], **rows)
        chosen = some_clips(truth=shuffled).select(["c1"])
        np.testing.assert_array_equal(chosen.truth.displacement[0], truth.displacement[1])

    def test_where_takes_a_value_or_several(self):
        clips = some_clips()
        assert list(clips.where(subject="01").table["clip_id"]) == ["c0", "c1"]
        assert list(clips.where(subject=["01", "02"], emotion="NA").table["clip_id"]) == ["c2"]
        assert list(clips.where(AU4=1).table["clip_id"]) == ["c0"]

    def test_another_table_reorders_and_drops_clips_by_id(self):
        clips = some_clips()
        relabelled = clips.with_table(clips.table.iloc[[2, 1]].assign(label=["x", "y"]))
        np.testing.assert_array_equal(relabelled.frames, clips.frames[[2, 1]])
        assert list(relabelled.table["label"]) == ["x", "y"]

    @pytest.mark.parametrize("name", ["predictions", "logits", "features", "embedding", "attribution", "kept"])
    def test_results_select_like_clips(self, name):
        record = records()[name]
        chosen = record.select(["c2", "c1"])
        for field in dataclasses.fields(record):
            whole, part = getattr(record, field.name), getattr(chosen, field.name)
            if isinstance(whole, np.ndarray):
                np.testing.assert_array_equal(part, whole[[2, 1]])
            elif whole is None:
                assert part is None
        if name == "embedding":
            np.testing.assert_array_equal(chosen.maps["gate"], record.maps["gate"][[2, 1]])

    def test_an_empty_unknown_or_repeated_selection_is_refused(self):
        clips = some_clips()
        for call, facts in (
            (lambda: clips.select([]), "selection is empty.* 3"),
            (lambda: clips.where(emotion="fear"), "none of 3 clips has emotion='fear'"),
            (lambda: clips.select(["c0", "x"]), "1 of 2 clips are not in these Clips.*'x'.*'c0'"),
            (lambda: clips.where(mood="good"), "'mood'; there are clip_id, dataset"),
            (lambda: positions(pd.DataFrame({"clip_id": []}), ["x"], owner="an index"), "1 of 1 .* no clips"),
            (lambda: clips.select(["c0", "c0"]), "more than once, such as 'c0'"),
        ):
            with pytest.raises(ValueError, match=facts):
                call()


class TestShapes:
    @pytest.mark.parametrize(
        ("name", "changes", "facts"),
        [
            ("clips", {"frames": None, "flow": None}, "frames, flow or both"),
            ("clips", {"frames": np.zeros((3, 6, 4, 5), np.uint8)}, r"\(n, t, h, w, 3\).* \(3, 6, 4, 5\)"),
            ("clips", {"frames": np.zeros((3, 6, 4, 5, 3))}, "uint8 .* float64"),
            ("clips", {"flow": np.zeros((3, 4, 5, 4))}, r"\(n, h, w, 2 or 3\).* \(3, 4, 5, 4\)"),
            ("clips", {"flow": np.zeros((2, 4, 5, 2))}, "Clips: flow has 2 rows but the table 3"),
            ("predictions", {"classes": ("a",)}, r"logits are \(3, 2\) but there are 1 classes"),
            ("predictions", {"aus": ("AU1", "AU2")}, r"au_logits are \(3, 1\) but there are 2 AUs"),
            ("predictions", {"logits": np.array([[0.0, 1], [2, 3], [4, np.nan]])}, "logits of 1 of 3 .*'c2'"),
            ("predictions", {"au_logits": np.array([[0.0], [np.nan], [1]])}, "au_logits of 1 of 3 .*'c1'"),
            ("embedding", {"motion_xy": None, "emotion_xy": None, "layers": {}}, "at least one map"),
            ("embedding", {"layers": {"gate": np.zeros((2, 2))}}, r"gate map is \(2, 2\).*3 clips"),
            ("attribution", {"flow": None}, "frames, flow or both"),
            ("kept", {"keep_rates": (0.5,)}, r"1 keep rates.*\(3, 2, 4, 4\)"),
            ("index", {"problems": some_problems()[["clip_id", "field", "found"]]}, "lack done, kept"),
        ],
    )
    def test_what_does_not_fit_together_is_refused(self, name, changes, facts):
        with pytest.raises(ValueError, match=facts):
            dataclasses.replace(records()[name], **changes)

    def test_the_size_is_that_of_whichever_input_there_is(self):
        assert some_clips().size == some_clips(frames=None).size == (4, 5)

    def test_masks_are_those_of_the_clips_own_face(self):
        truth = a_truth()
        np.testing.assert_array_equal(truth.au_mask("c2", "AU12"), truth.au_masks[1, 1])
        np.testing.assert_array_equal(truth.cue_region("c1"), truth.cue_mask[0, 0])
        with pytest.raises(ValueError, match="'AU9'; there are AU4, AU12"):
            truth.au_mask("c0", "AU9")


class TestScores:
    def test_probabilities_are_the_softmax_and_those_of_aus_the_logistic_function(self):
        logits = np.log(np.array([[1.0, 3.0], [1.0, 1.0], [9.0, 1.0]]))
        predictions = Predictions(logits, a_table(), ("a", "b"), au_logits=logits, aus=("AU1", "AU2"))
        np.testing.assert_allclose(predictions.probabilities, [[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]])
        np.testing.assert_allclose(predictions.au_probabilities, [[0.5, 0.75], [0.5, 0.5], [0.9, 0.5]])
        assert list(predictions.predicted) == ["b", "a", "a"], "on a tie the earlier class"
        far = np.array([[1e4, -1e4]] * 3, dtype=np.float32)  # neither overflows nor warns
        predictions = Predictions(far, a_table(), ("a", "b"), au_logits=far, aus=("AU1", "AU2"))
        np.testing.assert_array_equal([predictions.probabilities[0], predictions.au_probabilities[0]], [[1, 0]] * 2)

    def test_the_frame_of_predictions_joins_table_and_scores(self):
        frame = some_predictions().to_frame()
        assert list(frame["clip_id"]) == IDS
        np.testing.assert_allclose(frame["p_surprise"] + frame["p_others"], 1, rtol=1e-6)

    def test_predictions_of_no_clips_have_a_repr(self):
        nothing = Predictions(np.zeros((0, 2)), pd.DataFrame({"clip_id": [], "label": []}), ("x", "y"))
        assert repr(nothing).startswith("Predictions: 0 clips")


class TestFrameNumbers:
    @given(st.integers(0, 3000), st.integers(0, 400), st.integers(0, 400), st.integers(2, 40))
    def test_they_run_from_onset_to_offset_without_stepping_back_and_meet_the_apex(self, onset, rise, fall, n):
        apex, offset = onset + rise, onset + rise + fall
        numbers = frame_numbers(onset, apex, offset, n)
        assert (len(numbers), numbers[0], numbers[-1]) == (n, onset, offset)
        assert (np.diff(numbers) >= 0).all()
        assert n == 2 or apex in numbers

    @given(st.integers(2, 30), st.integers(0, 50))
    def test_every_frame_of_a_short_clip_is_there(self, n, onset):
        np.testing.assert_array_equal(frame_numbers(onset, onset, onset + n - 1, n), np.arange(onset, onset + n))

    def test_the_spacing_is_even_but_for_the_apex(self):
        assert frame_numbers(0, 50, 100, 5).tolist() == [0, 25, 50, 75, 100]
        assert frame_numbers(0, 30, 100, 5).tolist() == [0, 30, 50, 75, 100]
        assert frame_numbers(7, 7, 7, 4).tolist() == [7, 7, 7, 7], "a clip of one frame repeats it"

    def test_fewer_than_two_frames_and_disorder_are_refused(self):
        with pytest.raises(ValueError, match=r"2 frames.* 1$"):
            frame_numbers(0, 1, 2, 1)
        with pytest.raises(ValueError, match=r"10.*30.*20"):
            frame_numbers(10, 30, 20, 8)
