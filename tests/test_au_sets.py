"""What the coder wrote reaches every rule, and a doubt makes no pair: right values on real notations."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_tables import table_of
from sample_records import sample_clips, sample_features, sample_predictions
from written_sets import written

from medn_lab.data import au_table, compare_codings, parse_action_units, prepare, read_casme2
from medn_lab.data.readers.composite import join_indexes
from medn_lab.diagnose import confusable_pairs, confusable_sets, decoupling_report, leakage, pair_separation, rank_pairs
from medn_lab.evaluate import (
    au_detection,
    au_only_floor,
    evaluation_summary,
    pair_auc,
)
from medn_lab.records import (
    CODING_COLUMNS,
    BranchFeatures,
    ClipIndex,
    Clips,
    Predictions,
    au_codings,
    au_doubt,
    au_set_text,
    au_sets,
)
from medn_lab.view import plot_evaluation
from medn_lab.view.colouring import colouring
from medn_lab.view.rows import au_set_texts, hover_texts
from medn_lab.widgets.filters import filter_counts, filter_values
from medn_lab.widgets.partners import confusable_partner, same_au_set

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
    ("4?", None, None, True),
    ("4？", None, None, True),
    ("（4）", "4", "4", False),
    ("4+ref(7)", None, None, True),
    ("4+?", None, None, True),
    ("4and7", None, None, True),
    ("maybe 4", None, None, True),
    ("not 4", None, None, True),
    ("10A/B", "10", "10", False),
    ("4／7", None, None, True),
    ("L4 or R4", "4", None, True),
    ("4 left", "4", None, True),
    ("12L", "12", "L12", False),
    ("L 12", "12", "L12", False),
    ("左12", "12", "L12", False),
    ("(R6 or R12) + R15", None, None, True),
    ("R14+17+soft focus", "14+17", "R14+17", False),
    ("L12 + 61", "12", "L12", False),
    ("=4+7", "4+7", "4+7", False),
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
    ("07. Apr", None, None, False),
    ("12. Mai", None, None, False),
    ("April 7", None, None, False),
    ("Okt 12", None, None, False),
    ("4-juil.", None, None, False),
    ("10 A/B", "10", "10", False),
    ("0", "0", "0", False),
    ("?", None, None, False),
    ("", None, None, False),
    ("5月4日", None, None, True),
    ("4²", None, None, True),
    (4.0, "4", "4", False),
    (12, "12", "12", False),
    (None, None, None, False),
    (np.nan, None, None, False),
]


def texts_of(table, **options):
    return [None if aus is None else au_set_text(aus) for aus in au_sets(table, **options)]


@pytest.mark.parametrize(("written_as", "dropped", "kept", "doubt"), CODED, ids=[str(row[0]) for row in CODED])
def test_a_bare_table_of_any_notation_has_its_au_sets(written_as, dropped, kept, doubt):
    table = pd.DataFrame({"action_units": pd.Series([written_as], dtype=object)})
    assert texts_of(table) == [dropped]
    assert texts_of(table, keep_side=True) == [kept]
    assert bool(au_doubt(table, keep_side=True)[0]) == doubt
    assert bool(au_doubt(table)[0]) == (doubt and dropped is None)


@pytest.mark.parametrize(("written_as", "dropped", "kept", "doubt"), CODED, ids=[str(row[0]) for row in CODED])
def test_the_columns_of_a_reader_mean_what_the_text_means(written_as, dropped, kept, doubt):
    coded = au_codings([written_as])
    assert list(coded) == list(CODING_COLUMNS)
    assert texts_of(coded) == [dropped]
    assert texts_of(coded, keep_side=True) == [kept]
    assert (coded["action_units_doubt"][0] not in ("", "unknown")) == doubt
    assert coded["action_units_coded"][0] == ("" if pd.isna(written_as) else str(written_as))
    if dropped is not None:
        assert coded["action_units"][0] == dropped
    row = au_table([written_as], aus=[4, 7, 12]).to_numpy()[0]
    assert np.isnan(row).all() if dropped is None else not np.isnan(row).any()


def test_sides_intensities_and_doubt_stand_in_columns():
    coded = au_codings(["L12(C)+1 A", "12 or L14", "4?", "12+?", "R6A/B", "?", "4 or 7+?"])
    assert coded["action_units"].tolist() == ["1+12", "12 or 14", "4?", "12+?", "6", "", "(4 or 7)+?"]
    assert coded["action_units_sided"].tolist() == ["1+L12", "12 or L14", "4?", "12+?", "R6", "", "(4 or 7)+?"]
    assert coded["action_units_intensity"].tolist() == ["12C+1A", "", "", "", "6A/B", "", ""]
    assert coded["action_units_doubt"].tolist() == [
        "", "12 and 14 disputed", "4 disputed", "there may be more", "", "unknown",
        "4 and 7 disputed; there may be more",
    ]  # fmt: skip


def test_certainty_is_a_property_of_what_was_read():
    certain = {
        text: parse_action_units(text).certain for text in ("12", "0", "12A or 12B", "12 or 14", "12+?", "?", "")
    }
    assert certain == {
        "12": True, "0": True, "12A or 12B": True, "12 or 14": False, "12+?": False, "?": False, "": False,
    }  # fmt: skip
    assert parse_action_units("L12 or R12").certain
    assert not parse_action_units("L12 or R12", side="keep").certain


def test_au_columns_give_the_set_where_there_is_no_text_and_all_are_known():
    table = pd.DataFrame({"clip_id": list("abcd"), "AU4": [1, 0, np.nan, 1], "AU12": [1, 0, 1, 0]})
    assert texts_of(table) == ["4+12", "0", None, "4"]
    assert texts_of(table.assign(action_units=["7", "", "?", None])) == ["7", "0", None, "4"]
    with pytest.raises(ValueError, match="action_units"):
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
    table = pd.DataFrame({"action_units": pd.Series(column), 5: 1})
    assert texts_of(table) == sets


@pytest.mark.parametrize("value", [0.3, 2, 3.5, -1, 9, "", "yes"])
def test_au_columns_that_hold_something_else_are_refused(value):
    table = pd.DataFrame({"AU4": pd.Series([1, value, 0], dtype=object)})
    with pytest.raises(ValueError, match=r"the AU columns hold .*, such as an intensity|column AU4 holds text"):
        au_sets(table)


def test_au_columns_with_a_leading_zero_are_the_same_aus():
    table = pd.DataFrame({"action_units": ["4", ""], "AU04": [1, 1], "AU12": [0, 0]})
    assert texts_of(table) == ["4", "4"]


def test_a_column_of_sides_marks_the_aus_as_in_synthme():
    table = pd.DataFrame({"action_units": ["1+2", "12", "4 or 7"], "side": ["Left ", "both", "R"]})
    assert texts_of(table, keep_side=True) == ["L1+L2", "12", None]
    assert texts_of(table) == ["1+2", "12", None]


HAND = table_of(
    ("1", "L12", "happiness"),
    ("1", "12", "disgust"),
    ("2", "12C", "happiness"),
    ("2", "12 or 14", "disgust"),
    ("3", "4", "disgust"),
    ("3", "4+ref(7)", "others"),
    ("4", "4，7", "others"),
    ("4", "7+4", "disgust"),
    ("5", "4?", "others"),
    ("5", "L12", "disgust"),
    ("6", "0", "others"),
    ("6", "0", "disgust"),
    ("7", "?", "others"),
)


def test_pairs_counted_by_hand():
    pairs = confusable_pairs(HAND)
    found = list(pairs[["clip_a", "clip_b", "action_units"]].itertuples(index=False, name=None))
    assert found == [
        ("c0", "c1", "12"),
        ("c0", "c9", "12"),
        ("c1", "c2", "12"),
        ("c2", "c9", "12"),
        ("c6", "c7", "4+7"),
    ]
    kept = confusable_pairs(HAND, keep_side=True)
    found = list(kept[["clip_a", "clip_b", "action_units"]].itertuples(index=False, name=None))
    assert found == [("c1", "c2", "12"), ("c6", "c7", "4+7"), ("c0", "c9", "L12")]
    assert pairs.attrs["n_doubtful"] == kept.attrs["n_doubtful"] == 3


def test_the_pairs_of_the_issue_are_none():
    assert confusable_pairs(table_of(("1", "L12", "happiness"), ("2", "12", "disgust")), keep_side=True).empty
    for one, other in (("12", "12 or 14"), ("4", "4+ref(7)"), ("4", "4，7"), ("4", "4?"), ("4", "4+?")):
        assert confusable_pairs(table_of(("1", one, "happiness"), ("2", other, "disgust"))).empty, other


@given(st.lists(st.tuples(st.sampled_from([row[0] for row in CODED]), st.sampled_from("xyz")), min_size=2, max_size=12))
def test_pairs_floor_partner_and_view_go_by_one_definition(rows):
    table = table_of(*((str(k % 3), text, label) for k, (text, label) in enumerate(rows)))
    meant = {str(row[0]): row[1] for row in CODED}
    sets = [meant[str(text)] for text in table["action_units"]]
    wanted = {
        (f"c{a}", f"c{b}")
        for a, b in combinations(range(len(table)), 2)
        if sets[a] == sets[b] not in (None, "0") and table["label"][a] != table["label"][b]
    }
    pairs = confusable_pairs(table)
    assert set(zip(pairs["clip_a"], pairs["clip_b"], strict=True)) == wanted
    in_pairs = {clip_id for pair in wanted for clip_id in pair}
    places = np.arange(len(table), dtype=float)[:, None]
    for clip_id in table["clip_id"]:
        try:
            partner, _ = confusable_partner(table, clip_id, places=places)
        except ValueError:
            assert clip_id not in in_pairs
        else:
            assert tuple(sorted((clip_id, partner), key=lambda name: int(name[1:]))) in wanted


def test_doubtful_clips_are_never_one_group():
    table = table_of(("1", "12 or 14", "x"), ("2", "12 or 14", "y"), ("3", "12", "x"), ("3", "?", "x"))
    assert au_set_texts(table).tolist() == [*["AUs in doubt: 12 or 14"] * 2, "AU12", "AUs unknown"]
    with pytest.raises(ValueError, match=r"the AUs of 'c0' are in doubt \(12 or 14\)"):
        same_au_set(table, "c0")
    with pytest.raises(ValueError, match="the AUs of 'c3' are not known"):
        same_au_set(table, "c3")
    assert filter_counts(filter_values(table), "au_sets") == {"AUs in doubt": 2, "AU12": 1, "AUs unknown": 1}
    assert colouring(table, "au_set").counts == {"AU12": 1, "AUs in doubt": 2, "AUs unknown": 1}
    assert "12 or 14" in hover_texts(table)[0]


def test_a_floor_gives_doubtful_clips_no_vote_and_counts_them():
    table = table_of(
        ("1", "12", "happiness"), ("1", "4", "disgust"), ("1", "4", "disgust"),
        ("2", "12 or 14", "disgust"), ("2", "12 or 14", "disgust"), ("2", "4", "disgust"),
        ("3", "12", "happiness"), ("3", "4?", "happiness"),
    )  # fmt: skip
    floor = au_only_floor(table)
    as_unknown = au_only_floor(table.assign(action_units=table["action_units"].replace({"12 or 14": "?", "4?": "?"})))
    assert floor.predicted.tolist() == as_unknown.predicted.tolist()
    assert (floor.n_unknown, floor.n_doubtful, as_unknown.n_doubtful) == (3, 3, 0)
    assert floor.predicted["c6"] == "happiness"
    assert "3 of these in doubt" in repr(floor)
    assert floor.name == "AU-only floor"


def test_a_floor_of_no_known_aus_is_called_the_majority_class():
    clips = sample_clips(n=30)
    predictions = sample_predictions(clips)
    table = clips.table.assign(action_units="12 or 14", **dict.fromkeys(clips.aus, np.nan))
    floor = au_only_floor(table)
    assert floor.name == "majority class (no AUs known)"
    assert repr(floor).startswith(floor.name)
    summary = evaluation_summary(replace(predictions, table=table), floor=floor, n_resamples=50)
    assert floor.name in repr(summary)
    assert "AU-only" not in repr(summary)
    drawn = {trace.name for trace in plot_evaluation(summary).data}
    assert floor.name in drawn
    assert "AU-only floor" not in drawn


def test_results_say_how_many_clips_are_left_out_for_doubt():
    rng = np.random.default_rng(0)
    n = 24
    table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(n)], "subject": [str(k // 4) for k in range(n)]})
    table["label"] = ["fear", "happiness"] * (n // 2)
    table["action_units"] = ["12"] * (n - 3) + ["12 or 14", "12+ref(4)", "12?"]
    features = BranchFeatures(*rng.normal(size=(3, n, 4)), table)
    predictions = Predictions(rng.normal(size=(n, 2)), table, ("fear", "happiness"))
    said = "3 clips with AUs in doubt left out"
    for found in (
        confusable_sets(table),
        rank_pairs(table, features=features),
        pair_separation(table, features=features, n_resamples=20),
        pair_auc(predictions, n_resamples=20),
    ):
        assert said in repr(found)
    ranked = rank_pairs(table, features=features).table
    assert not {"c21", "c22", "c23"} & (set(ranked["clip_a"]) | set(ranked["clip_b"]))
    assert pair_auc(predictions, n_resamples=20).n_doubtful == 3
    none = pair_auc(Predictions(np.eye(2), table.iloc[21:23], ("fear", "happiness")))
    assert repr(none).startswith("pair AUC: none, because the AUs of all 2 clips are unknown or in doubt")


def test_sides_change_every_pair_result():
    rng = np.random.default_rng(0)
    table = table_of(*((str(k // 2), ("L12", "12")[k % 2], ("fear", "happiness")[k % 2]) for k in range(8)))
    features = BranchFeatures(*rng.normal(size=(3, 8, 4)), table)
    predictions = Predictions(rng.normal(size=(8, 2)), table, ("fear", "happiness"))
    assert (len(confusable_pairs(table)), len(confusable_pairs(table, keep_side=True))) == (16, 0)
    assert len(rank_pairs(table, features=features).table) == 16
    assert rank_pairs(table, features=features, keep_side=True).none
    assert pair_separation(table, features=features, keep_side=True).none
    assert pair_auc(predictions, keep_side=True).n_pairs == 0
    assert "16" in confusable_sets(table, keep_side=True).none


# --- from the spreadsheet to the network ----------------------------------------------------------------------------

SHEET = ["L12", "12", "12 or 14", "4", "4+ref(7)", "4，7", "７、４", "4?", "R1+R2", "？", "0", "12+?", "L4 or R4"]


@pytest.fixture(scope="module")
def casme2(tmp_path_factory):
    root = tmp_path_factory.mktemp("coded")
    told = written(root, "casme2", size=64, fps=15)
    [path] = root.glob("*.xlsx")
    book = openpyxl.load_workbook(path)
    column = next(cell.column for cell in book.active[1] if cell.value == "Action Units")
    for row, text in enumerate(SHEET, start=2):
        book.active.cell(row, column).value = text
    for row in range(len(SHEET) + 2, len(told) + 2):
        book.active.cell(row, column).value = "25"
    book.save(path)
    return root


def test_a_reader_keeps_what_the_coder_wrote(casme2):
    index = read_casme2(casme2)
    table = index.table.iloc[: len(SHEET)]
    assert table["action_units_coded"].tolist() == SHEET
    wanted = ["12", "12", "12 or 14", "4", "4+ref(7)", "4+7", "4+7", "4?", "1+2", "", "0", "12+?", "4"]
    assert table["action_units"].tolist() == wanted
    assert table["action_units_sided"].tolist()[:2] == ["L12", "12"]
    assert texts_of(table, keep_side=True) == [
        "L12", "12", None, "4", None, "4+7", "4+7", None, "R1+R2", None, "0", None, None,
    ]  # fmt: skip
    doubtful = [2, 4, 7, 11]
    assert np.isnan(table[["AU4", "AU12"]].iloc[[*doubtful, 9]].to_numpy()).all()
    assert not np.isnan(table[["AU4", "AU12"]].drop(index=[*doubtful, 9]).to_numpy()).any()
    assert "4 clips with AUs in doubt" in repr(index)
    noted = index.problems[index.problems["field"] == "action_units"]
    assert noted["clip_id"].tolist() == table["clip_id"].iloc[[2, 4, 7, 9, 11, 12]].tolist()
    assert noted["kept"].all()


@pytest.mark.parametrize(
    ("rule", "sets"),
    [
        ("first", ["12", "12", "12", "4", "4", "4+7", "4+7", "4", "1+2", None, "0", "12", "4"]),
        ("all", ["12", "12", "12+14", "4", "4", "4+7", "4+7", "4", "1+2", None, "0", "12", "4"]),
        ("common", ["12", "12", None, "4", "4", "4+7", "4+7", None, "1+2", None, "0", "12", "4"]),
    ],
)
def test_an_argument_lets_disputed_sets_in(casme2, rule, sets):
    index = read_casme2(casme2, alternatives=rule)
    assert texts_of(index.table.iloc[: len(SHEET)]) == sets
    assert index.table["action_units_coded"].tolist()[: len(SHEET)] == SHEET
    assert set(index.problems.loc[index.problems["field"] == "action_units", "clip_id"]) == set(
        index.table["clip_id"].iloc[[2, 4, 7, 9, 11, 12]]
    )
    with pytest.raises(ValueError, match="'leave_out', 'first', 'all' or 'common', not 'second'"):
        read_casme2(casme2, alternatives="second")


def test_sides_and_doubt_survive_prepare_the_disk_and_predictions(casme2, tmp_path):
    index = read_casme2(casme2)
    label = np.where(np.arange(len(index)) % 2, "disgust", "happiness")
    index = ClipIndex(index.table.assign(label=label), index.problems, index.source)
    pairs = {side: len(confusable_pairs(index.table, keep_side=side)) for side in (False, True)}
    assert pairs[True] < pairs[False]
    columns = list(CODING_COLUMNS)
    prepared = prepare(index, tmp_path / "set", crop="none", progress=False)
    loaded = Clips.load(prepared.save(tmp_path / "copy"))
    selected = loaded.with_table(loaded.table).select(loaded.table["clip_id"])
    again = ClipIndex.load(index.save(tmp_path / "index"))
    predictions = Predictions(np.zeros((len(index), 2)), loaded.table, ("disgust", "happiness"))
    stored = Predictions.load(predictions.save(tmp_path / "predictions"))
    for table in (prepared.table, loaded.table, selected.table, again.table, stored.table, stored.to_frame()):
        pd.testing.assert_frame_equal(table[columns], index.table[columns], check_dtype=False)
        assert {side: len(confusable_pairs(table, keep_side=side)) for side in pairs} == pairs
    assert "4 clips with AUs in doubt" in repr(prepared)


def test_a_set_that_is_there_takes_the_coding_of_the_index(casme2, tmp_path):
    strict = prepare(read_casme2(casme2), tmp_path / "set", crop="none", progress=False)
    loose = prepare(read_casme2(casme2, alternatives="first"), tmp_path / "set", crop="none", progress=False)
    assert texts_of(strict.table)[2] is None
    assert texts_of(loose.table)[2] == "12"
    assert loose.table["apex"].tolist() == strict.table["apex"].tolist()
    np.testing.assert_array_equal(loose.flow, strict.flow)


def test_tables_of_the_first_version_still_work(casme2):
    old = read_casme2(casme2).table.drop(columns=list(CODING_COLUMNS[1:]))
    assert texts_of(old)[:4] == ["12", "12", None, "4"]
    old["action_units"] = old["action_units"].where(old["action_units"] != "12 or 14", "12")
    assert texts_of(old)[2] == "12"


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
    assert compare_codings(index, index).empty
    turned = index.table.assign(**au_codings([*SHEET[:2], "14 or 12", "4", "ref(7)+4", *["25"] * (len(index) - 5)]))
    assert not set(compare_codings(index, ClipIndex(turned))["clip_id"]) & set(ids[:5])


def test_joined_indexes_keep_doubt_as_doubt():
    one = pd.DataFrame({"clip_id": ["a", "b", "c"], "subject": "1", "dataset": "x"})
    one = pd.concat([one, au_codings(["4", "4 or 7", "?"]), au_table(["4", "4 or 7", "?"])], axis=1)
    other = pd.DataFrame({"clip_id": ["d"], "subject": "1", "dataset": "y"})
    other = pd.concat([other, au_codings(["12"]), au_table(["12"])], axis=1)
    without = pd.DataFrame({"clip_id": ["e"], "subject": "1", "dataset": "z", "action_units": ""})
    joined = join_indexes([ClipIndex(one), ClipIndex(other), ClipIndex(without)]).table
    assert texts_of(joined) == ["4", None, None, "12", None]
    nan = np.nan
    np.testing.assert_array_equal(joined[["AU4", "AU12"]], [[1, 0], [nan, nan], [nan, nan], [0, 1], [nan, nan]])
    assert joined["action_units_doubt"].tolist() == ["", "4 and 7 disputed", "unknown", "", ""]


@pytest.mark.parametrize("coding", ["aus_full_width", "aus_reference", "aus_side_disputed", "aus_alternative"])
def test_planted_codings_are_read_as_what_they_are(tmp_path, coding):
    told = written(tmp_path, "casme2", size=64, fps=15, faults=[coding])
    table = read_casme2(tmp_path).table.set_index("clip_id")
    [clip] = told.loc[told["fault"] == coding, "written_as"]
    certain = texts_of(table.loc[[clip]])[0] is not None
    sided = texts_of(table.loc[[clip]], keep_side=True)[0] is not None
    assert (certain, sided) == {"aus_full_width": (True, True), "aus_side_disputed": (True, False)}.get(
        coding, (False, False)
    )


# --- clips without any known AU -------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_measures_leave_clips_in_doubt_out_and_count_the_others(share):
    clips = sample_clips(n=60)
    out = np.arange(60) < 60 * share
    table = clips.table.copy()
    table.loc[out, list(clips.aus)] = np.nan
    table.loc[out, "action_units"] = "12 or 14"
    known = int((~out).sum())
    found = au_detection(replace(sample_predictions(clips), table=table), n_resamples=20).table
    assert (found["n_positive"] + found["n_negative"] == known).all()
    assert (found["n_unknown"] == out.sum()).all()
    features = replace(sample_features(clips), table=table)
    leaks = leakage(features, targets=["aus"], n_shuffles=2)
    single = leaks[leaks["target"] != "AUs"]
    assert (single["n_clips"] == known).all()
    assert (single["n_unknown"] == out.sum()).all()
    assert leaks["value"].notna().any() == (share < 1)
    report = decoupling_report(features, targets=[], n_permutations=5, progress=False).table
    given_aus = report[report["given"] == "aus"]
    assert set(given_aus["n_clips"]) == ({known} if known else set())
    if not known:
        with pytest.raises(ValueError, match="known of none of 60 clips"):
            decoupling_report(features, given=["aus"], targets=[], n_permutations=5, progress=False)
