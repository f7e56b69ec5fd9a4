"""What the coder wrote reaches every room, and a doubt makes no pair: one definition of the same AU set."""

import numpy as np
import pandas as pd
from pair_tables import table_of
from test_action_units import texts_of
from written_sets import TINY, shared_set

from medn_lab.data import au_table, compare_codings, join_indexes, prepare, read_casme2
from medn_lab.diagnose import confusable_pairs
from medn_lab.evaluate import au_only_floor
from medn_lab.records import CODING_COLUMNS, ClipIndex, Embedding, Predictions, au_codings
from medn_lab.view import plot_embedding


def test_pairs_counted_by_hand():
    table = table_of(
        ("1", "L12", "happiness"), ("1", "12", "disgust"), ("2", "12C", "happiness"), ("2", "12 or 14", "disgust"),
        ("3", "4", "disgust"), ("3", "4+ref(7)", "others"), ("4", "4，7", "others"), ("4", "7+4", "disgust"),
        ("5", "4?", "others"), ("5", "L12", "disgust"), ("6", "0", "others"), ("6", "0", "disgust"), ("7", "?", "x"),
    )  # fmt: skip
    pairs, kept = (confusable_pairs(table, keep_side=side) for side in (False, True))
    columns = ["clip_a", "clip_b", "action_units"]
    assert pairs[columns].to_numpy().tolist() == [
        ["c0", "c1", "12"], ["c0", "c9", "12"], ["c1", "c2", "12"], ["c2", "c9", "12"], ["c6", "c7", "4+7"],
    ]  # fmt: skip
    assert kept[columns].to_numpy().tolist() == [["c1", "c2", "12"], ["c6", "c7", "4+7"], ["c0", "c9", "L12"]]
    assert pairs.attrs["n_doubtful"] == kept.attrs["n_doubtful"] == 3
    figure = plot_embedding(Embedding(None, None, np.eye(len(table), 2), table), colour_by="au_set").to_json()
    assert all(text in figure for text in ("AUs in doubt", "12 or 14", "AU12", "AUs unknown"))


def test_the_au_only_prediction_gives_doubtful_clips_no_vote_and_counts_them():
    table = table_of(
        ("1", "12", "happiness"), ("1", "4", "disgust"), ("1", "4", "disgust"),
        ("2", "12 or 14", "disgust"), ("2", "12 or 14", "disgust"), ("2", "4", "disgust"),
        ("3", "12", "happiness"), ("3", "4?", "happiness"),
    )  # fmt: skip
    floor = au_only_floor(table)
    as_unknown = au_only_floor(table.assign(action_units=table["action_units"].replace({"12 or 14": "?", "4?": "?"})))
    assert floor.predicted.tolist() == as_unknown.predicted.tolist()
    counts = [one.source[name] for one in (floor, as_unknown) for name in ("n_unknown", "n_doubtful")]
    assert (counts, floor.predicted[6]) == ([3, 3, 3, 0], "happiness")


SMALL = {"recipe": TINY, "crop": "none", "progress": False}
SHEET = ["L12", "12", "12 or 14", "4", "4+ref(7)", "4，7", "７、４", "4?", "R1+R2", "？", "0", "12+?", "L4 or R4"]


def test_what_the_coder_wrote_survives_the_reader_prepare_the_disk_and_predictions(tmp_path):
    root = shared_set("casme2")[0]
    table = pd.read_excel(next(root.glob("*.xlsx")), dtype=str)
    table["Action Units"] = [*SHEET, *["25"] * (len(table) - len(SHEET))]
    table.to_csv(tmp_path / "coding.csv", index=False)
    index = read_casme2(root, spreadsheet=tmp_path / "coding.csv")
    table, columns = index.table.iloc[: len(SHEET)], list(CODING_COLUMNS)
    assert table["action_units_coded"].tolist() == SHEET
    wanted = ["12", "12", "12 or 14", "4", "4+ref(7)", "4+7", "4+7", "4?", "1+2", "", "0", "12+?", "4"]
    assert table["action_units"].tolist() == wanted
    assert table["action_units_sided"].tolist()[:2] == ["L12", "12"]
    assert texts_of(table, keep_side=True) == [
        "L12", "12", None, "4", None, "4+7", "4+7", None, "R1+R2", None, "0", None, None,
    ]  # fmt: skip
    unknown = table[["AU4", "AU12"]].isna()
    assert (unknown.any(axis=1) == unknown.all(axis=1)).all()
    assert np.flatnonzero(unknown.all(axis=1)).tolist() == [2, 4, 7, 9, 11]
    assert "4 clips with AUs in doubt" in repr(index)
    noted = index.problems[index.problems["field"] == "action_units"]
    assert noted["clip_id"].tolist() == table["clip_id"].iloc[[2, 4, 7, 9, 11, 12]].tolist()
    assert noted["kept"].all()
    rule = {"spreadsheet": tmp_path / "coding.csv", "alternatives": "all"}
    every = ["12", "12", "12+14", "4", "4", "4+7", "4+7", "4", "1+2", None, "0", "12", "4"]
    assert texts_of(read_casme2(root, **rule).table.iloc[: len(SHEET)]) == every
    prepared = prepare(index, tmp_path / "set", **SMALL)
    again = ClipIndex.load(index.save(tmp_path / "index"))
    predictions = Predictions(np.zeros((len(index), 2)), prepared.table, ("disgust", "happiness"))
    stored = Predictions.load(predictions.save(tmp_path / "predictions"))
    for one in (prepared.table, again.table, stored.to_frame()):
        pd.testing.assert_frame_equal(one[columns], index.table[columns], check_dtype=False)
        assert texts_of(one, keep_side=True) == texts_of(index.table, keep_side=True)
    loose = prepare(
        read_casme2(root, **rule | {"alternatives": "first"}), tmp_path / "set", **SMALL
    )  # the set's flow is kept
    assert (texts_of(prepared.table)[2], texts_of(loose.table)[2]) == (None, "12")
    np.testing.assert_array_equal(loose.flow, prepared.flow)


def index_of(ids, texts, dataset="d"):
    table = pd.DataFrame({"clip_id": list(ids), "subject": "1", "dataset": dataset})
    return ClipIndex(pd.concat([table, au_codings(texts), au_table(texts)], axis=1))


def test_two_codings_differ_in_sets_sides_and_doubt():
    old = ["L12", "12", "12 or 14", "4", "4+ref(7)", "(1+2) or 4", "12 or 14", "12 or 14", "4+(12 or 14)", "4?+12"]
    new = ["12", "L12", "12", "R4", "4+ref(7)", "1 or (2+4)", "12?+14?", "14 or 12", "4+(14 or 12)", "12+4?"]
    found = compare_codings(index_of("abcdefghij", old), index_of("abcdefghij", new))
    sided = "action_units_sided"
    assert found[["clip_id", "field", "a", "b"]].values.tolist() == [
        ["a", sided, "L12", "12"], ["b", sided, "12", "L12"], ["c", "action_units", "12 or 14", "12"],
        ["d", sided, "4", "R4"], ["f", "action_units", "1+2 or 4", "1 or 2+4"],
        ["g", "action_units", "12 or 14", "12?+14?"],
    ]  # fmt: skip


def test_codings_of_other_clips_are_listed():
    found = compare_codings(index_of("ab", ["4", "4"]), index_of("a", ["4"]))
    assert found.values.tolist() == [["b", "clip", "there", "not there"]]


def test_joined_indexes_keep_doubt_as_doubt():
    joined = join_indexes([index_of("abc", ["4", "4 or 7", "?"], "x"), index_of("d", ["12"], "y")]).table
    assert texts_of(joined) == ["4", None, None, "12"]
    nan = np.nan
    np.testing.assert_array_equal(joined[["AU4", "AU12"]], [[1, 0], [nan, nan], [nan, nan], [0, 1]])
    assert joined["action_units_doubt"].tolist() == ["", "4 and 7 disputed", "unknown", ""]
