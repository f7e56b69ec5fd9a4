"""What the coder wrote reaches every room, and a doubt makes no pair: one definition of the same AU set."""

import shutil

import numpy as np
import openpyxl
import pandas as pd
import pytest
from pair_tables import table_of
from test_action_units import texts_of
from written_sets import TINY, shared_set

from medn_lab.data import au_table, compare_codings, join_indexes, prepare, read_casme2
from medn_lab.diagnose import confusable_pairs, confusable_sets, pair_separation, rank_pairs
from medn_lab.evaluate import au_only_floor, pair_auc
from medn_lab.records import CODING_COLUMNS, BranchFeatures, ClipIndex, Clips, Embedding, Predictions, au_codings
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
    assert counts == [3, 3, 3, 0]
    assert floor.predicted[6] == "happiness"
    assert floor.source["name"] == "AU-only floor"
    blind = au_only_floor(table.assign(action_units="12 or 14"))
    assert blind.source["name"] == "majority class (no AUs known)"


def test_pair_results_count_clips_in_doubt_and_change_with_sides():
    rng, classes = np.random.default_rng(0), ("fear", "happiness")
    rows = [(str(k // 4), ("L12", "12")[k % 2], classes[k % 2]) for k in range(21)]
    table = table_of(*rows, *(("6", text, "fear") for text in ("12 or 14", "12+ref(4)", "12?")))
    features = BranchFeatures(*rng.normal(size=(3, len(table), 4)), table)
    predictions = Predictions(rng.normal(size=(len(table), 2)), table, classes)
    for keep_side, n_pairs in ((False, 11 * 10), (True, 0)):
        ranked = rank_pairs(table, features=features, keep_side=keep_side)
        assert len(ranked) == n_pairs
        assert not {"c21", "c22", "c23"} & (set(ranked["clip_a"]) | set(ranked["clip_b"]))
        separated = pair_separation(table, features=features, keep_side=keep_side, n_resamples=20)
        for found in (confusable_sets(table, keep_side=keep_side), ranked, separated):
            assert "3 clips with AUs in doubt" in found.attrs["rule"]
            assert bool(found.attrs.get("none")) == keep_side
        found = pair_auc(predictions, keep_side=keep_side, n_resamples=20)
        assert (found.n_pairs, found.n_doubtful) == (n_pairs, 3)


SMALL = {"recipe": TINY, "crop": "none", "progress": False}
SHEET = ["L12", "12", "12 or 14", "4", "4+ref(7)", "4，7", "７、４", "4?", "R1+R2", "？", "0", "12+?", "L4 or R4"]


@pytest.fixture(scope="module")
def casme2(tmp_path_factory):
    source, faults = shared_set("casme2")
    root = shutil.copytree(source, tmp_path_factory.mktemp("coded") / "set")
    [path] = root.glob("*.xlsx")
    book = openpyxl.load_workbook(path)
    column = next(cell.column for cell in book.active[1] if cell.value == "Action Units")
    for row, text in enumerate(SHEET, start=2):
        book.active.cell(row, column).value = text
    for row in range(len(SHEET) + 2, len(faults) + 2):
        book.active.cell(row, column).value = "25"
    book.save(path)
    return root


def test_what_the_coder_wrote_survives_the_reader_prepare_the_disk_and_predictions(casme2, tmp_path):
    index = read_casme2(casme2)
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
    every = read_casme2(casme2, alternatives="all").table.iloc[: len(SHEET)]
    assert texts_of(every) == ["12", "12", "12+14", "4", "4", "4+7", "4+7", "4", "1+2", None, "0", "12", "4"]
    prepared = prepare(index, tmp_path / "set", **SMALL)
    loaded = Clips.load(prepared.save(tmp_path / "copy"))
    again = ClipIndex.load(index.save(tmp_path / "index"))
    predictions = Predictions(np.zeros((len(index), 2)), loaded.table, ("disgust", "happiness"))
    stored = Predictions.load(predictions.save(tmp_path / "predictions"))
    for one in (prepared.table, loaded.table, again.table, stored.to_frame()):
        pd.testing.assert_frame_equal(one[columns], index.table[columns], check_dtype=False)
        assert texts_of(one, keep_side=True) == texts_of(index.table, keep_side=True)
    loose = prepare(read_casme2(casme2, alternatives="first"), tmp_path / "set", **SMALL)  # the set's flow is kept
    assert (texts_of(prepared.table)[2], texts_of(loose.table)[2]) == (None, "12")
    np.testing.assert_array_equal(loose.flow, prepared.flow)


def test_two_codings_differ_in_sides_and_doubt(casme2):
    index = read_casme2(casme2)
    ids = index.table["clip_id"]
    other = index.table.assign(**au_codings(["12", "L12", "12", "R4", "4+ref(7)", *["25"] * (len(index) - 5)]))
    found = compare_codings(index, ClipIndex(other))
    first = found[found["clip_id"].isin(ids[:5])]
    assert list(first[["clip_id", "field", "a", "b"]].itertuples(index=False, name=None)) == [
        (ids[0], "action_units_sided", "L12", "12"),
        (ids[1], "action_units_sided", "12", "L12"),
        (ids[2], "action_units", "12 or 14", "12"),
        (ids[3], "action_units_sided", "4", "R4"),
    ]


@pytest.mark.parametrize(
    ("a", "b", "n_differences"),
    [("(1+2) or 4", "1 or (2+4)", 1), ("12 or 14", "12?+14?", 1), ("12 or 14", "14 or 12", 0)],
)
def test_codings_in_doubt_differ_unless_their_alternatives_are_the_same(a, b, n_differences):
    plain = pd.DataFrame({"clip_id": ["x"], "subject": "1", "dataset": "d"})
    both = [ClipIndex(pd.concat([plain, au_codings([text]), au_table([text])], axis=1)) for text in (a, b)]
    assert len(compare_codings(*both)) == n_differences


def test_joined_indexes_keep_doubt_as_doubt():
    def one(name, ids, texts):
        table = pd.DataFrame({"clip_id": ids, "subject": "1", "dataset": name})
        return ClipIndex(pd.concat([table, au_codings(texts), au_table(texts)], axis=1))

    joined = join_indexes([one("x", list("abc"), ["4", "4 or 7", "?"]), one("y", ["d"], ["12"])]).table
    assert texts_of(joined) == ["4", None, None, "12"]
    nan = np.nan
    np.testing.assert_array_equal(joined[["AU4", "AU12"]], [[1, 0], [nan, nan], [nan, nan], [0, 1]])
    assert joined["action_units_doubt"].tolist() == ["", "4 and 7 disputed", "unknown", ""]
