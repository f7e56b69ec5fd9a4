"""Every notation of the data sets by hand: the AU set that it means, what is in doubt, and what holds for any text."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import assert_refuses

from medn_lab.records import au_codings, au_doubt, au_set_text, au_sets, au_table, parse_action_units

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
    ("12", None, True): ["U12"],
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
        assert_refuses(parse, ["12"], alternatives="second", match="'common', not 'second'")


def test_what_was_written_is_kept_by_its_parts():
    (prefix,), (suffix,) = (parse_action_units(text).mentions for text in ("A12", "12A"))
    assert (prefix.asymmetric, prefix.intensity, suffix.asymmetric, suffix.intensity) == (True, "", False, "A")
    read = parse_action_units("A9E+ref(10)")
    assert (read.units, read.disputed) == (("9",), (10,))
    assert [str(unit) for unit in read.mentions] == ["A9E", "ref(10)"]
    read = parse_action_units("(R6 or R12")
    assert (read.units, read.known, read.junk) == ((), False, ("(R6 or R12",))
    coded = au_codings(["L12(C)+1 A", "12 or L14", "4?", "12+?", "R6A/B", "?", "4 or 7+?"])
    assert coded["action_units"].tolist() == ["1+12", "12 or 14", "4?", "12+?", "6", "", "(4 or 7)+?"]
    assert coded["action_units_sided"].tolist() == ["1+L12", "12 or L14", "4?", "12+?", "R6", "", "(4 or 7)+?"]
    assert coded["action_units_intensity"].tolist() == ["12C+1A", "", "", "", "6A/B", "", ""]
    doubts = ["", "12 and 14 disputed", "4 disputed", "there may be more", "", "unknown"]
    assert coded["action_units_doubt"].tolist() == [*doubts, "4 and 7 disputed; there may be more"]


def test_au_columns_hold_what_is_there_absent_and_unknown():
    nan, texts = np.nan, ["?", "0", "12+?", "12", "12 or 14", "12A+ref(4)", "4?", "4and7", "4 and so on"]
    table = au_table(texts, aus=[4, 12, 14], alternatives="first")
    np.testing.assert_array_equal(table.to_numpy(), [
        [nan, nan, nan], [0, 0, 0], [nan, 1, nan], [0, 1, 0], [0, 1, nan], [nan, 1, 0], [1, 0, 0], [1, nan, nan],
        [1, 0, 0],
    ])  # fmt: skip
    for rule, numbers in {"leave_out": [4, 10], "first": [4, 10, 12], "all": [4, 10, 12, 14]}.items():
        found = au_table(["4+R10", "L12 or 14", "61"], alternatives=rule)
        assert found.columns.tolist() == [f"AU{number}" for number in numbers]


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
    parts = st.lists(inner, min_size=2, max_size=3)
    return st.builds(lambda parts, sign: f"({sign.join(parts)})", parts, signs)


@settings(max_examples=50)
@given(st.recursive(units, joined, max_leaves=6))
def test_an_expression_reads_back_as_itself_and_the_rules_are_nested(text):
    read = parse_action_units(text)
    again = parse_action_units(str(read.parsed))
    assert (again.parsed, again.units, again.disputed) == (read.parsed, read.units, read.disputed)
    assert read.junk == ()
    assert parse_action_units(str(read)).units == read.units
    numbers = {rule: set(parse_action_units(text, alternatives=rule).numbers) for rule in ("first", "all", "common")}
    assert numbers["common"] <= numbers["first"] <= numbers["all"]
