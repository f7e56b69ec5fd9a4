"""The records: what is saved comes back, rows follow their clip_id, and every refusal is a sentence."""

import dataclasses
import json

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
    Parts,
    Predictions,
    Truth,
    au_columns,
    check_table,
    frame_numbers,
    positions,
    read_parts,
    write_parts,
)

IDS = ["c0", "c1", "c2"]


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


def some_clips(*, truth: bool = False) -> Clips:
    random = np.random.default_rng(1)
    return Clips(
        frames=random.integers(0, 256, (3, 6, 4, 5, 3), dtype=np.uint8),
        flow=random.normal(size=(3, 4, 5, 2)).astype(np.float32),
        table=a_table(),
        recipe={"flow": "dis", "size": 64, "mask": True},
        truth=a_truth() if truth else None,
        problems=some_problems(),
    )


def some_predictions() -> Predictions:
    random = np.random.default_rng(2)
    return Predictions(
        logits=random.normal(size=(3, 2)).astype(np.float32),
        table=a_table(),
        classes=("surprise", "others"),
        au_logits=random.normal(size=(3, 1)).astype(np.float32),
        aus=("AU4",),
        fold=np.array([0, 0, 1]),
        protocol="synthme_5class",
        source={"name": "tiny"},
    )


def records() -> list:
    random = np.random.default_rng(3)
    plane = random.normal(size=(3, 2)).astype(np.float32)
    report = {"measure": ["linear_cka"], "value": [0.1], "null_mean": [np.nan], "p": [1 / 3], "direction": ["lower"]}
    epochs = pd.DataFrame({"epoch": [1, 2], "seconds": 0.5, "loss": [1.5, 1 / 3], "accuracy": [0.5, 0.75]})
    return [
        ClipIndex(a_table(), some_problems(), {"root": "casme2", "coding": "2019"}),
        some_clips(),
        some_clips(truth=True),
        dataclasses.replace(some_clips(), frames=None),
        dataclasses.replace(some_clips(), flow=None),
        some_predictions(),
        Predictions(plane, a_table(), ("a", "b")),
        BranchFeatures(plane, None, plane + 1, a_table(), source={"name": "tiny", "weights": "ab12"}),
        Embedding(plane, plane * 2, None, a_table(), {"method": "umap", "seed": 0}, {"motion": 0.9}),
        Attribution(
            None, np.ones((3, 4, 5, 2), np.float32), a_table(), "surprise", "motion", "occlusion", {"mass": 0.5}
        ),
        DecouplingReport(pd.DataFrame(report), {"name": "tiny"}),
        History(epochs, {"seed": 0, "size": [4, 5]}, "stopped"),
    ]


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
        else:
            assert a == b, name


@pytest.mark.parametrize("record", records(), ids=lambda record: type(record).__name__)
class TestEveryRecord:
    def test_what_is_saved_comes_back(self, record, tmp_path):
        assert_same(record, type(record).load(record.save(tmp_path / "deep" / "record")))

    def test_it_is_frozen(self, record):
        with pytest.raises(dataclasses.FrozenInstanceError):
            record.table = None

    def test_its_repr_names_it_and_its_size_briefly(self, record):
        text = repr(record)
        count = len(record.table)
        assert text.startswith(type(record).__name__)
        assert str(count) in text
        assert len(text) < 600

    def test_it_replaces_its_own_kind_and_leaves_nothing_beside(self, record, tmp_path):
        record.save(tmp_path / "record")
        record.save(tmp_path / "record")
        assert [path.name for path in tmp_path.iterdir()] == ["record"]

    def test_another_kind_is_refused_with_the_call_to_make(self, record, tmp_path):
        record.save(tmp_path / "record")
        kind = type(record).__name__
        with pytest.raises(ValueError, match=rf"holds a {kind}, not a Other; load it with {kind}\.load"):
            read_parts(tmp_path / "record", "Other")


class TestTables:
    def test_texts_that_look_like_numbers_or_gaps_stay_texts(self, tmp_path):
        table = Clips.load(some_clips().save(tmp_path / "set")).table
        assert list(table["subject"]) == ["01", "01", "02"]
        assert list(table["emotion"]) == ["surprise", "", "NA"]
        assert list(table["action_units"]) == ["4", "L4+R10", "?"]
        assert list(table["take"]) == ["007", "1e5", "010"], "a column that only the user knows"

    def test_an_unknown_au_stays_unknown(self, tmp_path):
        table = Clips.load(some_clips().save(tmp_path / "set")).table
        np.testing.assert_array_equal(table["AU4"], [1.0, np.nan, 0.0])

    def test_a_table_without_rows_keeps_its_columns(self, tmp_path):
        empty = ClipIndex(a_table().iloc[:0])
        again = ClipIndex.load(empty.save(tmp_path / "index"))
        assert list(again.table.columns) == list(a_table().columns)
        assert len(again) == 0

    def test_subjects_given_as_numbers_become_text_at_once(self):
        index = ClipIndex(pd.DataFrame({"clip_id": [7, 8], "subject": [1, 2]}))
        assert list(index.table["clip_id"]) == ["7", "8"]
        assert list(index.table["subject"]) == ["1", "2"]

    def test_the_callers_table_is_not_touched(self):
        mine = a_table().set_index(pd.Index([5, 6, 7]))
        clips = dataclasses.replace(some_clips(), table=mine)
        clips.table.loc[0, "emotion"] = "changed"
        assert list(mine.index) == [5, 6, 7]
        assert list(clips.table.index) == [0, 1, 2]
        assert mine["emotion"].iloc[0] == "surprise"

    def test_duplicate_clips_are_refused(self):
        table = a_table().assign(clip_id=["a", "b", "a"])
        with pytest.raises(ValueError, match="1 clip_ids more than once, such as 'a'"):
            ClipIndex(table)

    @pytest.mark.parametrize("nameless", ["", "  ", None, np.nan])
    def test_a_clip_without_an_id_is_refused(self, nameless):
        with pytest.raises(ValueError, match="rows without a clip_id"):
            check_table(pd.DataFrame({"clip_id": ["a", nameless]}), owner="Clips")

    def test_a_missing_column_is_named_with_those_there_are(self):
        with pytest.raises(ValueError, match="the table of ClipIndex lacks subject; it has clip_id, fps"):
            ClipIndex(pd.DataFrame({"clip_id": ["a"], "fps": [200]}))
        with pytest.raises(ValueError, match="lacks clip_id; it has no columns"):
            check_table(pd.DataFrame(), owner="Clips")

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
        target = write_parts(tmp_path_factory.mktemp("csv") / "record", "Any", Parts(tables={"rows": table}))
        again = read_parts(target, "Any").tables["rows"]
        assert list(again["emotion"]) == [text for text, _ in rows]
        np.testing.assert_array_equal(again["value"].to_numpy(float), [number for _, number in rows])


class TestSelection:
    def test_rows_follow_the_ids_in_the_order_named(self):
        clips = some_clips(truth=True)
        chosen = clips.select(["c2", "c0"])
        assert list(chosen.table["clip_id"]) == ["c2", "c0"]
        np.testing.assert_array_equal(chosen.frames, clips.frames[[2, 0]])
        np.testing.assert_array_equal(chosen.flow, clips.flow[[2, 0]])
        np.testing.assert_array_equal(chosen.truth.displacement, clips.truth.displacement[[2, 0]])
        np.testing.assert_array_equal(chosen.truth.cue_course, clips.truth.cue_course[[2, 0]])
        assert list(chosen.truth.table["clip_id"]) == ["c2", "c0"]

    def test_a_shuffled_truth_is_joined_by_clip_id(self):
        truth = a_truth()
        order = [2, 0, 1]
        shuffled = dataclasses.replace(
            truth,
            table=truth.table.iloc[order],
            displacement=truth.displacement[order],
            cue_course=truth.cue_course[order],
        )
        chosen = dataclasses.replace(some_clips(), truth=shuffled).select(["c1"])
        np.testing.assert_array_equal(chosen.truth.displacement[0], truth.displacement[1])

    def test_the_problems_of_other_clips_are_left_behind(self):
        assert list(some_clips().select(["c1", "c2"]).problems["clip_id"]) == ["c1"]
        assert len(some_clips().select(["c0"]).problems) == 0

    def test_one_id_is_one_clip_not_its_letters(self):
        assert len(some_clips().select("c1")) == 1

    def test_where_takes_a_value_or_several(self):
        clips = some_clips()
        assert list(clips.where(subject="01").table["clip_id"]) == ["c0", "c1"]
        assert list(clips.where(subject=["01", "02"], emotion="NA").table["clip_id"]) == ["c2"]
        assert list(clips.where(AU4=1).table["clip_id"]) == ["c0"]

    def test_another_table_reorders_and_drops_clips_by_id(self):
        clips = some_clips()
        kept = clips.table.iloc[[2, 1]].assign(label=["x", "y"])
        relabelled = clips.with_table(kept)
        np.testing.assert_array_equal(relabelled.frames, clips.frames[[2, 1]])
        assert list(relabelled.table["label"]) == ["x", "y"]

    def test_results_select_like_clips(self):
        predictions = some_predictions()
        chosen = predictions.select(["c2", "c1"])
        np.testing.assert_array_equal(chosen.logits, predictions.logits[[2, 1]])
        np.testing.assert_array_equal(chosen.fold, [1, 0])
        assert dataclasses.replace(predictions, au_logits=None).select(["c1"]).au_logits is None

    def test_nothing_selected_is_a_sentence(self):
        clips = some_clips()
        with pytest.raises(ValueError, match="the selection is empty: name at least one clip_id of the 3"):
            clips.select([])
        with pytest.raises(ValueError, match="the selection is empty: none of 3 clips has emotion='fear'"):
            clips.where(emotion="fear")

    def test_unknown_names_are_a_sentence(self):
        clips = some_clips()
        with pytest.raises(
            ValueError, match="1 of 2 clips are not in these Clips, such as 'x'; its ids look like 'c0'"
        ):
            clips.select(["c0", "x"])
        with pytest.raises(ValueError, match="no column 'mood'; there are clip_id, dataset"):
            clips.where(mood="good")
        with pytest.raises(ValueError, match="1 of 1 clips are not in an index, such as 'x'; it has no clips"):
            positions(pd.DataFrame({"clip_id": []}), ["x"], owner="an index")

    def test_a_clip_named_twice_is_refused(self):
        with pytest.raises(ValueError, match="more than once, such as 'c0'"):
            some_clips().select(["c0", "c0"])


class TestShapes:
    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"frames": None, "flow": None}, "Clips need frames, flow or both; neither was given"),
            (
                {"frames": np.zeros((3, 6, 4, 5), np.uint8)},
                r"frames must be \(n, t, h, w, 3\); these are \(3, 6, 4, 5\)",
            ),
            ({"frames": np.zeros((3, 6, 4, 5, 3))}, "frames must be uint8 from 0 to 255; these are float64"),
            ({"flow": np.zeros((3, 4, 5, 4))}, r"flow must be \(n, h, w, 2 or 3\); this is \(3, 4, 5, 4\)"),
            (
                {"flow": np.zeros((2, 4, 5, 2))},
                "Clips: flow has 2 rows but the table 3; both must come from the same clips",
            ),
        ],
    )
    def test_clips_of_a_wrong_shape_are_refused(self, changes, sentence):
        with pytest.raises(ValueError, match=sentence):
            dataclasses.replace(some_clips(), **changes)

    def test_scores_must_match_their_names(self):
        with pytest.raises(ValueError, match=r"logits are \(3, 2\) but there are 1 classes"):
            dataclasses.replace(some_predictions(), classes=("a",))
        with pytest.raises(ValueError, match=r"au_logits are \(3, 1\) but there are 2 AUs"):
            dataclasses.replace(some_predictions(), aus=("AU1", "AU2"))

    def test_an_embedding_needs_a_map(self):
        with pytest.raises(ValueError, match="an Embedding needs at least one map; none was given"):
            Embedding(None, None, None, a_table())

    def test_problems_need_their_columns(self):
        with pytest.raises(ValueError, match="the problems of a ClipIndex lack done, kept"):
            ClipIndex(a_table(), some_problems()[["clip_id", "field", "found"]])

    def test_the_size_is_that_of_whichever_input_there_is(self):
        assert some_clips().size == (4, 5)
        assert dataclasses.replace(some_clips(), frames=None).size == (4, 5)


class TestTruth:
    def test_masks_are_those_of_the_clips_own_face(self):
        truth = a_truth()
        np.testing.assert_array_equal(truth.au_mask("c2", "AU12"), truth.au_masks[1, 1])
        np.testing.assert_array_equal(truth.cue_region("c1"), truth.cue_mask[0, 0])

    def test_a_record_of_version_0_1_has_one_kind_of_cue_and_still_loads(self, tmp_path):
        from medn_lab.records.storage import Parts, write_parts

        clips, truth = some_clips(truth=True), a_truth()
        arrays = {"frames": clips.frames, "flow": clips.flow, "truth_cue_mask": truth.cue_mask[:, 0]}
        arrays |= {f"truth_{name}": getattr(truth, name) for name in ("displacement", "au_masks", "cue_course")}
        tables = {"clips": clips.table, "problems": clips.problems, "truth": truth.table}
        meta = {"truth": {"subjects": list(truth.subjects), "aus": list(truth.aus)}}
        write_parts(tmp_path / "old", "Clips", Parts(arrays, tables, {"recipe": {}}, meta))
        back = Clips.load(tmp_path / "old")
        np.testing.assert_array_equal(back.truth.cue_region("c2"), truth.cue_mask[1, 0])
        again = Clips.load(back.select(["c2"]).save(tmp_path / "new"))
        np.testing.assert_array_equal(again.truth.cue_region("c2"), truth.cue_mask[1, 0])

    def test_an_unknown_au_is_a_sentence(self):
        with pytest.raises(ValueError, match="no mask for 'AU9'; there are AU4, AU12"):
            a_truth().au_mask("c0", "AU9")


class TestScores:
    def test_probabilities_are_the_softmax(self):
        logits = np.log(np.array([[1.0, 3.0], [1.0, 1.0], [9.0, 1.0]]))
        predictions = Predictions(logits, a_table(), ("a", "b"))
        np.testing.assert_allclose(predictions.probabilities, [[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]])
        assert list(predictions.predicted) == ["b", "a", "a"], "on a tie the earlier class"

    def test_extreme_scores_neither_overflow_nor_warn(self):
        far = np.array([[1e4, -1e4]] * 3, dtype=np.float32)
        predictions = Predictions(far, a_table(), ("a", "b"), au_logits=far, aus=("AU1", "AU2"))
        np.testing.assert_array_equal(predictions.probabilities[0], [1, 0])
        np.testing.assert_array_equal(predictions.au_probabilities[0], [1, 0])

    def test_au_probabilities_are_the_logistic_function(self):
        logits = np.log(np.array([[1 / 3], [1.0], [4.0]]))
        predictions = dataclasses.replace(some_predictions(), au_logits=logits)
        np.testing.assert_allclose(predictions.au_probabilities, [[0.25], [0.5], [0.8]])

    def test_the_frame_of_predictions_joins_table_and_scores(self):
        frame = some_predictions().to_frame()
        assert list(frame["clip_id"]) == IDS
        np.testing.assert_allclose(frame["p_surprise"] + frame["p_others"], 1, rtol=1e-6)


class TestOnTheDisk:
    def test_loaded_clips_stay_on_the_disk_and_are_read_only(self, tmp_path):
        clips = Clips.load(some_clips().save(tmp_path / "set"))
        assert isinstance(clips.frames, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            clips.frames[0] = 0

    def test_a_loaded_set_can_be_saved_over_itself(self, tmp_path):
        clips = some_clips()
        again = Clips.load(clips.save(tmp_path / "set")).select(["c2"])
        again.save(tmp_path / "set")
        np.testing.assert_array_equal(Clips.load(tmp_path / "set").frames, clips.frames[[2]])

    def test_saving_does_not_replace_what_is_not_a_record(self, tmp_path):
        mine = tmp_path / "mine"
        mine.mkdir()
        (mine / "thesis.txt").write_text("years of work")
        with pytest.raises(FileExistsError, match="is not a saved Clips; choose another path, nothing was written"):
            some_clips().save(mine)
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]
        assert (mine / "thesis.txt").read_text() == "years of work"

    def test_saving_does_not_replace_a_record_of_another_kind(self, tmp_path):
        some_predictions().save(tmp_path / "record")
        with pytest.raises(FileExistsError, match="is not a saved Clips"):
            some_clips().save(tmp_path / "record")

    def test_a_half_written_folder_does_not_load(self, tmp_path):
        folder = some_clips().save(tmp_path / "set")
        (folder / "record.json").unlink()
        with pytest.raises(FileNotFoundError, match=r"no saved Clips at .*set: it has no record\.json"):
            Clips.load(folder)

    def test_a_failed_save_leaves_the_old_folder_whole(self, tmp_path):
        folder = some_clips().save(tmp_path / "set")
        broken = Parts(arrays={"frames": np.array([object()])})
        with pytest.raises(ValueError, match="allow_pickle"):
            write_parts(folder, "Clips", broken)
        assert [path.name for path in tmp_path.iterdir()] == ["set"]
        assert_same(Clips.load(folder), some_clips())

    def test_a_newer_format_is_refused(self, tmp_path):
        folder = some_clips().save(tmp_path / "set")
        head = json.loads((folder / "record.json").read_text())
        (folder / "record.json").write_text(json.dumps({**head, "format": 99}))
        with pytest.raises(ValueError, match="has format 99, this version reads up to 1; upgrade medn_lab"):
            Clips.load(folder)

    def test_numpy_numbers_in_a_recipe_are_written_as_numbers(self, tmp_path):
        recipe = {"size": np.int64(64), "sigma": np.float32(0.5), "mean": np.arange(2)}
        clips = dataclasses.replace(some_clips(), recipe=recipe)
        again = Clips.load(clips.save(tmp_path / "set"))
        assert again.recipe == {"size": 64, "sigma": 0.5, "mean": [0, 1]}

    def test_what_json_cannot_hold_is_a_sentence(self, tmp_path):
        clips = dataclasses.replace(some_clips(), recipe={"model": object()})
        with pytest.raises(TypeError, match="metadata holds a object, which JSON cannot; give text, numbers or lists"):
            clips.save(tmp_path / "set")
        assert not list(tmp_path.iterdir())


class TestFrameNumbers:
    @given(st.integers(0, 3000), st.integers(0, 400), st.integers(0, 400), st.integers(2, 40))
    def test_they_run_from_onset_to_offset_without_stepping_back_and_meet_the_apex(self, onset, rise, fall, n):
        apex, offset = onset + rise, onset + rise + fall
        numbers = frame_numbers(onset, apex, offset, n)
        assert numbers.shape == (n,)
        assert numbers[0] == onset
        assert numbers[-1] == offset
        assert (np.diff(numbers) >= 0).all()
        assert n == 2 or apex in numbers

    @given(st.integers(2, 30), st.integers(0, 50))
    def test_every_frame_of_a_short_clip_is_there(self, n, onset):
        np.testing.assert_array_equal(frame_numbers(onset, onset, onset + n - 1, n), np.arange(onset, onset + n))

    def test_the_spacing_is_even_but_for_the_apex(self):
        assert frame_numbers(0, 50, 100, 5).tolist() == [0, 25, 50, 75, 100]
        assert frame_numbers(0, 30, 100, 5).tolist() == [0, 30, 50, 75, 100]

    def test_a_clip_of_one_frame_repeats_it(self):
        assert frame_numbers(7, 7, 7, 4).tolist() == [7, 7, 7, 7]

    def test_fewer_than_two_frames_and_disorder_are_sentences(self):
        with pytest.raises(ValueError, match="at least 2 frames, n_frames is 1"):
            frame_numbers(0, 1, 2, 1)
        with pytest.raises(ValueError, match="onset 10, apex 30, offset 20 are out of order"):
            frame_numbers(10, 30, 20, 8)
