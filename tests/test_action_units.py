"""Every notation of the data sets, by hand; and what must hold for any text at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medn_lab.data import au_table, parse_action_units


@pytest.mark.parametrize(
    ("text", "dropped", "kept"),
    [
        ("4", "4", "4"),
        ("12+15", "12+15", "12+15"),
        ("L4", "4", "L4"),
        ("R2 + R1", "1+2", "R1+R2"),
        ("4+R10", "4+10", "4+R10"),
        ("A12", "12", "12"),
        ("12A", "12", "12"),
        ("A1B+A2C+L10D", "1+2+10", "1+2+L10"),
        ("10A/B", "10", "10"),
        ("10A or B", "10", "10"),
        ("T23+B28", "23+28", "23+28"),
        ("LB23C", "23", "L23"),
        ("L4+R4", "4", "L4+R4"),
        ("LR4", "4", "4"),
        ("R14+17+soft focus", "14+17", "R14+17"),
        ("L12 + 61", "12", "L12"),
        ("AU4+7(k)", "4+7", "4+7"),
        ("AU1+AU2", "1+2", "1+2"),
        (" 4 \n", "4", "4"),
        ("4,7", "4+7", "4+7"),
        (4.0, "4", "4"),
        ("0", "", ""),
    ],
)
def test_every_notation_gives_its_au_set(text, dropped, kept):
    assert str(parse_action_units(text)) == dropped
    assert str(parse_action_units(text, side="keep")) == kept
    assert parse_action_units(text).known


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
    assert str(parse_action_units(text)) == first
    assert str(parse_action_units(text, alternatives="all")) == everything
    assert str(parse_action_units(text, alternatives="common")) == common
    assert parse_action_units(text).disputed == disputed


def test_a_prefix_a_is_asymmetry_and_a_suffix_a_is_intensity():
    (prefix,) = parse_action_units("A12").mentions()
    (suffix,) = parse_action_units("12A").mentions()
    assert (prefix.asymmetric, prefix.intensity) == (True, "")
    assert (suffix.asymmetric, suffix.intensity) == (False, "A")


def test_a_reference_is_said_but_not_in_the_set():
    read = parse_action_units("A9E+ref(10)")
    assert read.units == ("9",)
    assert [str(unit) for unit in read.mentions()] == ["A9E", "ref(10)"]
    assert read.disputed == (10,)


def test_unknown_is_not_the_same_as_none():
    for nothing in ("?", "", None, float("nan"), "soft focus"):
        assert not parse_action_units(nothing).known
    table = au_table(["?", "0", "12+?", "12"], aus=[4, 12], alternatives="first")
    np.testing.assert_array_equal(table.to_numpy(), [[np.nan, np.nan], [0, 0], [np.nan, 1], [0, 1]])


def test_disputed_aus_are_neither_present_nor_absent():
    table = au_table(["12 or 14", "12A+ref(24)", "4?"], aus=[4, 12, 14, 24], alternatives="first")
    np.testing.assert_array_equal(table.to_numpy(), [[0, 1, np.nan, 0], [0, 1, 0, np.nan], [1, 0, 0, 0]])


def test_au_table_has_a_column_for_each_au_that_occurs():
    texts = ["4+R10", "L12 or 14", "61"]
    assert au_table(texts).columns.tolist() == ["AU4", "AU10"]
    assert au_table(texts, alternatives="first").columns.tolist() == ["AU4", "AU10", "AU12"]
    assert au_table(texts, alternatives="all").columns.tolist() == ["AU4", "AU10", "AU12", "AU14"]


def test_what_cannot_be_read_is_junk_and_never_half_a_set():
    read = parse_action_units("(R6 or R12")
    assert (read.units, read.known, read.junk) == ((), False, ("(R6 or R12",))


def test_unknown_rules_are_refused():
    with pytest.raises(ValueError, match="side must be"):
        parse_action_units("4", side="left")
    with pytest.raises(ValueError, match="alternatives must be"):
        parse_action_units("4", alternatives="second")


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
def test_what_was_said_reads_back_as_itself(text):
    read = parse_action_units(text)
    again = parse_action_units(str(read.said))
    assert (again.said, again.units, again.disputed) == (read.said, read.units, read.disputed)
    assert read.junk == ()
    assert parse_action_units(str(read)).units == read.units


@given(expressions)
def test_the_rules_are_nested(text):
    numbers = {rule: set(parse_action_units(text, alternatives=rule).numbers) for rule in ("first", "all", "common")}
    assert numbers["first"] <= numbers["all"]
    assert numbers["common"] <= numbers["first"]


@pytest.mark.parametrize(
    "text", ["2014-04-05 00:00:00", "2014-04-05", "4-May", "04/05/2014", "00:00:00", "0?", "5.4.2014"]
)
def test_a_date_or_a_doubt_is_not_read_as_no_action_unit(text):
    # A spreadsheet makes a date of 4-5; its midnight, 00:00:00, must not pass for the 0 of a face at rest.
    read = parse_action_units(text)
    assert (read.units, read.known) == ((), False)
    assert np.isnan(au_table([text], aus=[4, 5]).to_numpy()).all()


def test_what_cannot_be_read_and_has_a_digit_leaves_the_others_unknown():
    table = au_table(["4and7", "4 and so on"], aus=[4, 7], alternatives="first")
    np.testing.assert_array_equal(table.to_numpy(), [[1, np.nan], [1, 0]])
    assert parse_action_units("4.0+7.0").numbers == (4, 7)
