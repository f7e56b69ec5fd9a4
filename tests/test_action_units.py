"""Every notation of the data sets by hand: the AU set that it means, what is in doubt, and what holds for any text."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medn_lab.records import (
    CODING_COLUMNS,
    au_codings,
    au_doubt,
    au_set_text,
    au_sets,
    au_table,
    parse_action_units,
)

CODED = [
    # as written, set without sides, set with sides, whether something is in doubt
    ("L12", "12", "L12", False),
    ("12", "12", "12", False),
    ("12C", "12", "12", False),
    ("A12", "12", "12", False),
    ("１２", "12", "12", False),
    ("12 or 14", None, None, True),
    ("12或14", None, None, True),
    ("4，7", "4+7", "4+7", False),
    ("4、7", "4+7", "4+7", False),
    ("4；７", "4+7", "4+7", False),
    ("４＋７", "4+7", "4+7", False),
    ("4", "4", "4", False),
    (" 4 \n", "4", "4", False),
    ("4?", None, None, True),
    ("4？", None, None, True),
    ("（4）", "4", "4", False),
    ("4+ref(7)", None, None, True),
    ("4+?", None, None, True),
    ("4and7", None, None, True),
    ("maybe 4", None, None, True),
    ("not 4", None, None, True),
    ("10A/B", "10", "10", False),
    ("10A or B", "10", "10", False),
    ("4／7", None, None, True),
    ("L4 or R4", "4", None, True),
    ("L4+R4", "4", "L4+R4", False),
    ("LR4", "4", "4", False),
    ("R2 + R1", "1+2", "R1+R2", False),
    ("4+R10", "4+10", "4+R10", False),
    ("A1B+A2C+L10D", "1+2+10", "1+2+L10", False),
    ("T23+B28", "23+28", "23+28", False),
    ("LB23C", "23", "L23", False),
    ("4 left", "4", None, True),
    ("12L", "12", "L12", False),
    ("L 12", "12", "L12", False),
    ("左12", "12", "L12", False),
    ("(R6 or R12) + R15", None, None, True),
    ("R14+17+soft focus", "14+17", "R14+17", False),
    ("L12 + 61", "12", "L12", False),
    ("=4+7", "4+7", "4+7", False),
    ("AU1+AU2", "1+2", "1+2", False),
    ("AU4+7(k)", "4+7", "4+7", False),
    ("AU：4、AU 7", "4+7", "4+7", False),
    ("12(L)", "12", "L12", False),
    ("12C（左）", "12", "L12", False),
    ("AU12 (right)", "12", "R12", False),
    ("U12", "12", None, True),
    ("[4]", "4", "4", False),
    ("[4,7]", "4+7", "4+7", False),
    ('"4"', "4", "4", False),
    ("AU_4+AU-7", "4+7", "4+7", False),
    ("4+AD29", "4+29", "4+29", False),
    ("4 and 7", "4+7", "4+7", False),
    ("4+7 (k)", "4+7", "4+7", False),
    ("4 vs 7", None, None, True),
    ("4 oder 7", None, None, True),
    ("4 rather than 7", None, None, True),
    ("4 or nothing", None, None, True),
    ("4 or smile", None, None, True),
    ("4 absent", None, None, True),
    ("4+ref 7", None, None, True),
    ("4.7", None, None, True),
    (4.7, None, None, True),
    # A spreadsheet makes a date of 4-5; its midnight, 00:00:00, must not pass for the 0 of a face without movement.
    *((date, None, None, False) for date in ("07. Apr", "12. Mai", "April 7", "Okt 12", "4-juil.", "4-May")),
    *((date, None, None, False) for date in ("2014-04-05 00:00:00", "2014-04-05", "04/05/2014", "5.4.2014")),
    ("00:00:00", None, None, False),
    ("0?", None, None, False),
    ("10 A/B", "10", "10", False),
    ("0", "0", "0", False),
    ("?", None, None, False),
    ("", None, None, False),
    ("soft focus", None, None, False),
    ("(R6 or R12", None, None, False),
    ("5月4日", None, None, True),
    ("4²", None, None, True),
    (4.0, "4", "4", False),
    ("4.0+7.0", "4+7", "4+7", False),
    (12, "12", "12", False),
    (None, None, None, False),
    (np.nan, None, None, False),
]


def texts_of(table, **options):
    return [None if aus is None else au_set_text(aus) for aus in au_sets(table, **options)]


@pytest.mark.parametrize(("written_as", "dropped", "kept", "doubt"), CODED, ids=[str(row[0]) for row in CODED])
def test_a_notation_has_its_au_set_in_a_bare_table_and_in_the_columns_of_a_reader(written_as, dropped, kept, doubt):
    bare, coded = pd.DataFrame({"action_units": pd.Series([written_as], dtype=object)}), au_codings([written_as])
    for table in (bare, coded):
        assert texts_of(table) == [dropped]
        assert texts_of(table, keep_side=True) == [kept]
    assert bool(au_doubt(bare, keep_side=True)[0]) == doubt
    assert bool(au_doubt(bare)[0]) == (doubt and dropped is None)
    assert list(coded) == list(CODING_COLUMNS)
    assert (coded["action_units_doubt"][0] not in ("", "unknown")) == doubt
    assert coded["action_units_coded"][0] == ("" if pd.isna(written_as) else str(written_as))
    row = au_table([written_as], aus=[4, 5, 7, 12]).to_numpy()[0]
    read = parse_action_units(written_as)
    if dropped is None:
        assert np.isnan(row).all()
        assert not read.certain
    else:
        assert coded["action_units"][0] == dropped
        assert not np.isnan(row).any()
        assert (str(read) or "0", read.certain) == (dropped, True)
    assert read.known == (dropped is not None or doubt)


@pytest.mark.parametrize(
    ("text", "first", "everything", "common", "disputed"),
    [
        ("L12 or L14", "12", "12+14", "", (12, 14)),
        ("(R6 or R12) + R15", "6+15", "6+12+15", "15", (6, 12)),
        ("R14A or 17A or 24A", "14", "14+17+24", "", (14, 17, 24)),
        ("4/7+12", "4+12", "4+7+12", "12", (4, 7)),
        ("1+2 or 1+4", "1+2", "1+2+4", "1", (2, 4)),
    ],
)
def test_an_alternative_becomes_what_the_rule_says(text, first, everything, common, disputed):
    rules = {"first": first, "all": everything, "common": common}
    assert {rule: str(parse_action_units(text, alternatives=rule)) for rule in rules} == rules
    assert parse_action_units(text).disputed == disputed


def test_what_was_written_is_kept_by_its_parts():
    (prefix,), (suffix,) = (parse_action_units(text).mentions() for text in ("A12", "12A"))
    assert (prefix.asymmetric, prefix.intensity, suffix.asymmetric, suffix.intensity) == (True, "", False, "A")
    read = parse_action_units("A9E+ref(10)")
    assert (read.units, read.disputed) == (("9",), (10,))
    assert [str(unit) for unit in read.mentions()] == ["A9E", "ref(10)"]
    read = parse_action_units("(R6 or R12")
    assert (read.units, read.known, read.junk) == ((), False, ("(R6 or R12",))
    assert parse_action_units("L12 or R12").certain
    assert not parse_action_units("L12 or R12", side="keep").certain
    assert parse_action_units("12A or 12B").certain


def test_au_columns_hold_what_is_there_absent_and_unknown():
    nan = np.nan
    table = au_table(["?", "0", "12+?", "12"], aus=[4, 12], alternatives="first")
    np.testing.assert_array_equal(table.to_numpy(), [[nan, nan], [0, 0], [nan, 1], [0, 1]])
    table = au_table(["12 or 14", "12A+ref(24)", "4?"], aus=[4, 12, 14, 24], alternatives="first")
    np.testing.assert_array_equal(table.to_numpy(), [[0, 1, nan, 0], [0, 1, 0, nan], [1, 0, 0, 0]])
    table = au_table(["4and7", "4 and so on"], aus=[4, 7], alternatives="first")
    np.testing.assert_array_equal(table.to_numpy(), [[1, nan], [1, 0]])
    texts = ["4+R10", "L12 or 14", "61"]
    columns = {"leave_out": [4, 10], "first": [4, 10, 12], "all": [4, 10, 12, 14]}
    for rule, numbers in columns.items():
        assert au_table(texts, alternatives=rule).columns.tolist() == [f"AU{number}" for number in numbers]


def test_sides_intensities_and_doubt_stand_in_columns():
    coded = au_codings(["L12(C)+1 A", "12 or L14", "4?", "12+?", "R6A/B", "?", "4 or 7+?"])
    assert coded["action_units"].tolist() == ["1+12", "12 or 14", "4?", "12+?", "6", "", "(4 or 7)+?"]
    assert coded["action_units_sided"].tolist() == ["1+L12", "12 or L14", "4?", "12+?", "R6", "", "(4 or 7)+?"]
    assert coded["action_units_intensity"].tolist() == ["12C+1A", "", "", "", "6A/B", "", ""]
    doubts = ["", "12 and 14 disputed", "4 disputed", "there may be more", "", "unknown"]
    assert coded["action_units_doubt"].tolist() == [*doubts, "4 and 7 disputed; there may be more"]


def test_unknown_rules_are_refused():
    for options, choices in (({"side": "left"}, "keep"), ({"alternatives": "second"}, "common")):
        with pytest.raises(ValueError, match=f"'{choices}', not '{next(iter(options.values()))}'"):
            parse_action_units("4", **options)
    for coded in (au_table, au_codings):
        with pytest.raises(ValueError, match=r"'leave_out'.*not 'second'"):
            coded(["4"], alternatives="second")


def test_au_columns_give_the_set_where_there_is_no_text_and_all_are_known():
    table = pd.DataFrame({"clip_id": list("abcd"), "AU04": [1, 0, np.nan, 1], "AU12": [1, 0, 1, 0]})
    assert texts_of(table) == ["4+12", "0", None, "4"]
    assert texts_of(table.assign(action_units=["7", "", "?", None])) == ["7", "0", None, "4"]
    with pytest.raises(ValueError, match="action_units; it has clip_id"):
        au_sets(table[["clip_id"]])


@pytest.mark.parametrize(
    ("column", "sets"),
    [
        ([[4, 7], [4], {12}], ["4+7", "4", "12"]),
        (np.array([4.0, 12.0, np.nan]), ["4", "12", None]),
        (pd.array([4, None, 12], dtype="Int64"), ["4", None, "12"]),
        (pd.Categorical(["4", None, "7+4"]), ["4", None, "4+7"]),
        (pd.array(["4", "L12", None], dtype="string"), ["4", "12", None]),
    ],
    ids=["lists", "float", "Int64", "categorical", "string"],
)
def test_a_column_of_any_type_has_its_au_sets(column, sets):
    assert texts_of(pd.DataFrame({"action_units": pd.Series(column), 5: 1})) == sets


def test_au_columns_that_hold_something_else_are_refused():
    for value, dtype in product([0.3, 2, -1, "", "yes"], [object, None]):
        with pytest.raises(ValueError, match="AU"):
            au_sets(pd.DataFrame({"AU4": pd.Series([1, value, 0], dtype=dtype)}))


def test_a_column_of_sides_marks_the_aus_as_in_synthme():
    table = pd.DataFrame({"action_units": ["1+2", "12", "4 or 7"], "side": ["Left ", "both", "R"]})
    assert texts_of(table, keep_side=True) == ["L1+L2", "12", None]
    assert texts_of(table) == ["1+2", "12", None]


@given(st.text(alphabet="0123456789LRTBAUECDorefk+/(), ?-.x", max_size=30) | st.text(max_size=20))
def test_any_text_gives_a_result(text):
    read = parse_action_units(text, side="keep", alternatives="all")
    assert read.text == text
    assert set(read.numbers) <= {unit.number for unit in read.mentions()}
    assert read.known or not read.units


units = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "L", "R", "A", "T", "B", "LT"]),
    st.integers(1, 46),
    st.sampled_from(["", "A", "E", "A/B"]),
    st.sampled_from(["", "?"]),
)
expressions = st.recursive(
    units,
    lambda inner: st.builds(
        lambda parts, how: f"({how.join(parts)})",
        st.lists(inner, min_size=2, max_size=3),
        st.sampled_from(["+", " or ", "/", " + "]),
    ),
    max_leaves=6,
)


@given(expressions)
def test_an_expression_reads_back_as_itself_and_the_rules_are_nested(text):
    read = parse_action_units(text)
    again = parse_action_units(str(read.parsed))
    assert (again.parsed, again.units, again.disputed) == (read.parsed, read.units, read.disputed)
    assert read.junk == ()
    assert parse_action_units(str(read)).units == read.units
    numbers = {rule: set(parse_action_units(text, alternatives=rule).numbers) for rule in ("first", "all", "common")}
    assert numbers["common"] <= numbers["first"] <= numbers["all"]
