"""Action Units: every notation by hand, what holds for any text, and one definition of an AU set in every room."""

import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_records import table_of
from written_sets import TINY, shared_set

from medn_lab import diagnose, evaluate, records, view
from medn_lab.data import compare_codings, join_indexes, prepare, read_casme2
from medn_lab.records import ClipIndex, au_codings, au_doubt, au_set_text, au_sets, au_table, parse_action_units

# The set without sides, with sides, whether something is in doubt: how it is written. A spreadsheet makes a date of
# 4-5; its midnight, 00:00:00, must not pass for the 0 of a face without movement.
NOTATIONS = {
    ("12", "L12", False): ["L12", "12L", "L 12", "左12", "L12 + 61", "12(L)", "12C（左）"],
    ("12", "12", False): ["12", "12C", "A12", "１２", 12],
    (None, None, True): [
        "12 or 14", "12或14", "4?", "4？", "4+ref(7)", "4+?", "4and7", "maybe 4", "not 4", "4／7", "(R6 or R12) + R15",
        "4 vs 7", "4 oder 7", "4 rather than 7", "4 or nothing", "4 or smile", "4 absent", "4+ref 7", "4.7", 4.7,
        "5月4日", "4²",
    ],
    ("4+7", "4+7", False): [
        "4，7", "4、7", "4；７", "４＋７", "=4+7", "AU4+7(k)", "AU：4、AU 7", "[4,7]", "AU_4+AU-7", "4 and 7",
        "4+7 (k)", "4.0+7.0",
    ],
    ("4", "4", False): ["4", " 4 \n", "（4）", "LR4", "[4]", '"4"', 4.0],
    ("10", "10", False): ["10A/B", "10A or B", "10 A/B"],
    ("4", None, True): ["L4 or R4", "4 left"],
    ("4", "L4+R4", False): ["L4+R4"],
    ("1+2", "R1+R2", False): ["R2 + R1"],
    ("4+10", "4+R10", False): ["4+R10"],
    ("1+2+10", "1+2+L10", False): ["A1B+A2C+L10D"],
    ("23+28", "23+28", False): ["T23+B28"],
    ("23", "L23", False): ["LB23C"],
    ("14+17", "R14+17", False): ["R14+17+soft focus"],
    ("12", "R12", False): ["AU12 (right)"],
    ("12", None, True): ["U12", "12-L"],
    ("4+29", "4+29", False): ["4+AD29"],
    (None, None, False): [
        "07. Apr", "12. Mai", "April 7", "4-juil.", "4-May", "2014-04-05 00:00:00", "04/05/2014", "5.4.2014",
        "00:00:00", "0?", "?", "", "soft focus", "(R6 or R12", None, np.nan,
    ],
    ("0", "0", False): ["0"],
}  # fmt: skip


def texts_of(table, **options):
    return [None if aus is None else au_set_text(aus) for aus in au_sets(table, **options)]


@pytest.mark.parametrize(("meaning", "texts"), NOTATIONS.items())
def test_a_notation_has_its_au_set_in_a_bare_table_and_in_the_columns_of_a_reader(meaning, texts):
    dropped, kept, doubt = meaning
    bare, coded, n = pd.DataFrame({"action_units": pd.Series(texts, dtype=object)}), au_codings(texts), len(texts)
    for table in (bare, coded):
        assert texts_of(table) == [dropped] * n
        assert texts_of(table, keep_side=True) == [kept] * n
    assert (au_doubt(bare, keep_side=True) != "").tolist() == [doubt] * n
    assert (au_doubt(bare) != "").tolist() == [doubt and dropped is None] * n
    assert (~coded["action_units_doubt"].isin(["", "unknown"])).tolist() == [doubt] * n
    assert coded["action_units_coded"].tolist() == ["" if pd.isna(text) else str(text) for text in texts]
    assert (au_table(texts, aus=[4, 5, 7, 12]).isna() == (dropped is None)).all(axis=None)
    for text, column in zip(texts, coded["action_units"], strict=True):
        read = parse_action_units(text)
        assert (read.certain, read.known) == (dropped is not None, dropped is not None or doubt), text
        assert not read.certain or column == (str(read) or "0") == dropped


def test_an_alternative_becomes_what_the_rule_says():
    for text, first, everything, common, disputed in (
        ("L12 or L14", "12", "12+14", "", (12, 14)),
        ("(R6 or R12) + R15", "6+15", "6+12+15", "15", (6, 12)),
        ("4/7+12", "4+12", "4+7+12", "12", (4, 7)),
        ("1+2 or 1+4", "1+2", "1+2+4", "1", (2, 4)),
    ):
        rules = {"first": first, "leave_out": first, "all": everything, "common": common}
        assert {rule: str(parse_action_units(text, alternatives=rule)) for rule in rules} == rules
        assert parse_action_units(text).disputed == disputed
    for parse in (parse_action_units, au_table, au_codings):
        assert_refuses(parse, ["12"], alternatives="second", match="common.*'second'")


def test_what_was_written_is_kept_by_its_parts():
    (prefix,), (suffix,) = (parse_action_units(text).mentions for text in ("A12", "12A"))
    assert (prefix.asymmetric, prefix.intensity, suffix.asymmetric, suffix.intensity) == (True, "", False, "A")
    read = parse_action_units("A9E+ref(10)")
    assert (read.units, read.disputed, [*map(str, read.mentions)]) == (("9",), (10,), ["A9E", "ref(10)"])
    assert parse_action_units("(R6 or R12").junk == ("(R6 or R12",)
    coded = au_codings(["L12(C)+1 A", "12 or L14", "4?", "12+?", "R6A/B", "?", "4 or 7+?"])
    assert coded["action_units"].tolist() == ["1+12", "12 or 14", "4?", "12+?", "6", "", "(4 or 7)+?"]
    assert coded["action_units_sided"].tolist() == ["1+L12", "12 or L14", "4?", "12+?", "R6", "", "(4 or 7)+?"]
    assert coded["action_units_intensity"].tolist() == ["12C+1A", "", "", "", "6A/B", "", ""]
    doubts = ["", "12 and 14 disputed", "4 disputed", "there may be more", "", "unknown"]
    assert coded["action_units_doubt"].tolist() == [*doubts, "4 and 7 disputed; there may be more"]


def test_au_columns_hold_what_is_there_absent_and_unknown():
    nan, texts = np.nan, ["?", "0", "12+?", "12", "12 or 14", "12A+ref(4)", "4?", "4and7", "4 and so on"]
    np.testing.assert_array_equal(au_table(texts, aus=[4, 12, 14], alternatives="first"), [
        [nan, nan, nan], [0, 0, 0], [nan, 1, nan], [0, 1, 0], [0, 1, nan], [nan, 1, 0], [1, 0, 0], [1, nan, nan],
        [1, 0, 0],
    ])  # fmt: skip
    for rule, columns in {"leave_out": ["AU4", "AU10"], "all": ["AU4", "AU10", "AU12", "AU14"]}.items():
        assert au_table(["4+R10", "L12 or 14", "61"], alternatives=rule).columns.tolist() == columns


def test_au_columns_and_a_column_of_any_type_give_the_set():
    table = pd.DataFrame({"clip_id": list("abcd"), "AU04": [1, 0, np.nan, 1], "AU12": [1, 0, 1, 0]})
    assert texts_of(table) == ["4+12", "0", None, "4"]
    assert texts_of(table.assign(action_units=["7", "", "?", None])) == ["7", "0", None, "4"]
    assert_refuses(au_sets, table[["clip_id"]], match="action_units; it has clip_id")
    for value in (0.3, "yes"):
        assert_refuses(au_sets, pd.DataFrame({"AU4": [1, value, 0]}), match="AU")
    sided = pd.DataFrame({"action_units": ["1+2", "12", "4 or 7"], "side": ["Left ", "both", "R"]})  # as in SynthME
    assert texts_of(sided, keep_side=True) == ["L1+L2", "12", None]
    for column, sets in (
        ([[4, 7], [4], {12}], ["4+7", "4", "12"]),
        (pd.array([4, None, 12], dtype="Int64"), ["4", None, "12"]),
        (pd.Categorical(["4", None, "7+4"]), ["4", None, "4+7"]),
    ):
        assert texts_of(pd.DataFrame({"action_units": pd.Series(column), 5: 1})) == sets


PARTS = (["", "L", "R", "A", "T", "B", "LT"], range(1, 47), ["", "A", "E", "A/B"], ["", "?"])
units = st.tuples(*map(st.sampled_from, PARTS)).map(lambda parts: "{}{}{}{}".format(*parts))
signs = st.sampled_from(["+", " or ", "/", " + "])


def joined(inner):
    return st.builds(lambda sign, parts: f"({sign.join(parts)})", signs, st.lists(inner, min_size=2, max_size=3))


@settings(max_examples=50)
@given(st.recursive(units, joined, max_leaves=6))
def test_an_expression_reads_back_as_itself_and_the_rules_are_nested(text):
    read = parse_action_units(text)
    again = parse_action_units(str(read.parsed))
    assert (again.parsed, again.units, again.disputed, read.junk) == (read.parsed, read.units, read.disputed, ())
    assert parse_action_units(str(read)).units == read.units
    numbers = {rule: set(parse_action_units(text, alternatives=rule).numbers) for rule in ("first", "all", "common")}
    assert numbers["common"] <= numbers["first"] <= numbers["all"]


def test_pairs_counted_by_hand():
    table = table_of(
        ("1", "L12", "happiness"), ("1", "12", "disgust"), ("2", "12C", "happiness"), ("2", "12 or 14", "disgust"),
        ("3", "4", "disgust"), ("3", "4+ref(7)", "others"), ("4", "4，7", "others"), ("4", "7+4", "disgust"),
        ("5", "4?", "others"), ("5", "L12", "disgust"), ("6", "0", "others"), ("6", "0", "disgust"), ("7", "?", "x"),
    )  # fmt: skip
    pairs, kept = (diagnose.confusable_pairs(table, keep_side=side) for side in (False, True))
    columns = ["clip_a", "clip_b", "action_units"]
    assert pairs[columns].to_numpy().tolist() == [
        ["c0", "c1", "12"], ["c0", "c9", "12"], ["c1", "c2", "12"], ["c2", "c9", "12"], ["c6", "c7", "4+7"],
    ]  # fmt: skip
    assert kept[columns].to_numpy().tolist() == [["c1", "c2", "12"], ["c6", "c7", "4+7"], ["c0", "c9", "L12"]]
    assert pairs.attrs["n_doubtful"] == kept.attrs["n_doubtful"] == 3
    embedding = records.Embedding(None, None, np.eye(len(table), 2), table)
    figure = view.plot_embedding(embedding, colour_by="au_set").to_json()
    assert all(text in figure for text in ("AUs in doubt", "12 or 14", "AU12", "AUs unknown"))


def test_the_au_only_prediction_gives_doubtful_clips_no_vote_and_counts_them():
    table = table_of(
        ("1", "12", "happiness"), ("1", "4", "disgust"), ("1", "4", "disgust"),
        ("2", "12 or 14", "disgust"), ("2", "12 or 14", "disgust"), ("2", "4", "disgust"),
        ("3", "12", "happiness"), ("3", "4?", "happiness"),
    )  # fmt: skip
    floor = evaluate.au_only_floor(table)
    as_unknown = evaluate.au_only_floor(table.replace({"action_units": {"12 or 14": "?", "4?": "?"}}))
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
    table, columns = index.table.iloc[: len(SHEET)], list(records.CODING_COLUMNS)
    pd.testing.assert_frame_equal(table[columns], au_codings(SHEET)[columns], check_dtype=False)
    for au in ("AU4", "AU12"):  # in doubt is unknown
        assert np.flatnonzero(table[au].isna()).tolist() == [2, 4, 7, 9, 11]
    assert "4 clips with AUs in doubt" in repr(index)
    noted = index.problems[index.problems["field"] == "action_units"]
    assert noted["clip_id"].tolist() == table["clip_id"].iloc[[2, 4, 7, 9, 11, 12]].tolist()
    assert noted["kept"].all()
    rule = {"spreadsheet": tmp_path / "coding.csv", "alternatives": "all"}
    assert texts_of(read_casme2(root, **rule).table[: len(SHEET)]) == texts_of(au_codings(SHEET, alternatives="all"))
    prepared = prepare(index, tmp_path / "set", **SMALL)
    predictions = records.Predictions(np.zeros((len(index), 2)), prepared.table, ("disgust", "happiness"))
    stored = records.Predictions.load(predictions.save(tmp_path / "predictions"))
    for one in (prepared.table, ClipIndex.load(index.save(tmp_path / "index")).table, stored.to_frame()):
        pd.testing.assert_frame_equal(one[columns], index.table[columns], check_dtype=False)
        assert texts_of(one, keep_side=True) == texts_of(index.table, keep_side=True)
    # The set's flow is kept.
    loose = prepare(read_casme2(root, **rule | {"alternatives": "first"}), tmp_path / "set", **SMALL)
    assert (texts_of(prepared.table)[2], texts_of(loose.table)[2]) == (None, "12")
    np.testing.assert_array_equal(loose.flow, prepared.flow)


def index_of(ids, texts, dataset="d", rule="leave_out"):
    table = pd.DataFrame({"clip_id": list(ids), "subject": "1", "dataset": dataset})
    return ClipIndex(pd.concat([table, *(read(texts, alternatives=rule) for read in (au_codings, au_table))], axis=1))


def test_two_codings_differ_in_sets_sides_doubt_and_clips():
    old = ["L12", "12", "12 or 14", "4", "4+ref(7)", "(1+2) or 4", "12 or 14", "12 or 14", "4+(12 or 14)", "4?+12"]
    new = ["12", "L12", "12", "R4", "4+ref(7)", "1 or (2+4)", "12?+14?", "14 or 12", "4+(14 or 12)", "12+4?"]
    found = compare_codings(index_of("abcdefghij", old), index_of("abcdefghij", new))
    sided = "action_units_sided"
    assert found[["clip_id", "field", "a", "b"]].values.tolist() == [
        ["a", sided, "L12", "12"], ["b", sided, "12", "L12"], ["c", "action_units", "12 or 14", "12"],
        ["d", sided, "4", "R4"], ["f", "action_units", "1+2 or 4", "1 or 2+4"],
        ["g", "action_units", "12 or 14", "12?+14?"],
    ]  # fmt: skip

    found = compare_codings(index_of(["a1", "b", "c"], ["4", "4", "4"]), index_of(["d", "A01", "c"], ["4", "7", "4"]))
    assert found.values.tolist() == [
        ["a1", "action_units", "4", "7"], ["b", "clip", "there", "not there"], ["d", "clip", "not there", "there"],
    ]  # fmt: skip


def test_joined_indexes_keep_doubt_as_doubt():
    index = join_indexes([index_of("abc", ["4", "4 or 7", "?"], "x"), index_of("d", ["12"], "y")])
    assert "4 clips of 2 subjects" in repr(index)  # each data set has its own subject 1
    joined = index.table
    assert texts_of(joined) == ["4", None, None, "12"]
    nan = np.nan
    np.testing.assert_array_equal(joined[["AU4", "AU12"]], [[1, 0], [nan, nan], [nan, nan], [0, 1]])
    assert joined["action_units_doubt"].tolist() == ["", "4 and 7 disputed", "unknown", ""]
    for rule, aus in {"first": ["4", "4", None], "common": ["4", None, None]}.items():
        joined = join_indexes([index_of("abc", ["4", "4 or 12", "ref(12)"], "x", rule), index_of("d", ["12"])]).table
        assert texts_of(joined) == texts_of(joined, keep_side=True) == [*aus, "12"]
        np.testing.assert_array_equal(joined["AU12"], [0, nan, nan, 1])
    padded = pd.DataFrame({"clip_id": ["e"], "subject": "1", "dataset": "z", "AU04": 1.0, "AU12": 0.0})
    joined = join_indexes([index_of("a", ["4"], "x"), ClipIndex(padded)]).table
    assert joined[records.au_columns(joined)].to_dict("list") == {"AU4": [1, 1], "AU12": [0, 0]}
