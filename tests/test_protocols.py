"""Classes and splits."""

import pandas as pd
import pytest

from medn_lab.data import PROTOCOLS, hold_out_subjects, leave_one_subject_out, to_classes


def table(*rows):
    columns = ["clip_id", "dataset", "subject", "emotion"]
    return pd.DataFrame([(f"c{place}", *row) for place, row in enumerate(rows)], columns=columns)


def test_megc2019_classes_are_in_the_order_of_the_official_numbers():
    assert PROTOCOLS["megc2019"].classes == ("negative", "positive", "surprise")


def test_megc2019_keeps_fear_and_sadness_of_samm_only():
    rows = [(name, "01", emotion) for name in ("casme2", "samm") for emotion in ("fear", "sadness")]
    kept, dropped = to_classes(table(*rows), "megc2019")
    assert kept["dataset"].tolist() == ["samm", "samm"]
    assert set(kept["label"]) == {"negative"}
    assert dropped["reason"].iloc[0] == "emotion 'fear' of casme2 is in no class of megc2019"


def test_megc2019_of_full_casme2_counts_as_published():
    counts = {"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25, "sadness": 7, "fear": 2}
    rows = [("casme2", "01", emotion) for emotion, count in counts.items() for _ in range(count)]
    kept, dropped = to_classes(table(*rows), "megc2019")
    assert kept["label"].value_counts().to_dict() == {"negative": 90, "positive": 32, "surprise": 25}
    assert len(kept) + len(dropped) == 255


def test_spellings_of_one_emotion_are_one_class():
    rows = [("casme3", "a", e) for e in ("Others", "others", "happy", "sad", "Fear")]
    kept, _ = to_classes(table(*rows), "casme3_4class")
    assert kept["label"].tolist() == ["others", "others", "positive", "negative", "negative"]
    seven, _ = to_classes(table(*rows), "casme3_7class")
    assert seven["label"].tolist() == ["others", "others", "happiness", "sadness", "fear"]


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_every_protocol_reaches_each_of_its_classes_and_no_other(name):
    protocol = PROTOCOLS[name]
    for rule in protocol.rules.values():
        assert set(rule.values()) == set(protocol.classes)


def test_every_row_is_kept_or_dropped_once():
    rows = table(("samm", "006", "Other"), ("samm", "007", "Anger"), ("samm", "007", None), ("smic", "1", "positive"))
    kept, dropped = to_classes(rows, "samm_5class")
    assert sorted([*kept["clip_id"], *dropped["clip_id"]]) == rows["clip_id"].tolist()
    assert dropped["reason"].tolist() == ["no emotion is given", "data set smic has no part in samm_5class (samm)"]


def test_bad_protocols_get_a_sentence():
    with pytest.raises(ValueError, match="no protocol 'casme2'; there are megc2019"):
        to_classes(table(("casme2", "1", "fear")), "casme2")
    with pytest.raises(ValueError, match="none of 1 clips has a class of casme2_5class"):
        to_classes(table(("casme2", "1", "fear")), "casme2_5class")
    with pytest.raises(ValueError, match="needs a column dataset"):
        to_classes(table(("samm", "1", "fear")).drop(columns="dataset"), "megc2019")


def test_subjects_of_two_data_sets_with_one_number_are_two_people():
    rows = table(("casme2", "06", "fear"), ("samm", "06", "fear"), ("samm", "06", "anger"))
    folds = leave_one_subject_out(rows)
    assert [fold.held_out for fold in folds] == ["casme2/06", "samm/06"]
    assert [fold.test for fold in folds] == [("c0",), ("c1", "c2")]


def test_leave_one_subject_out_tests_every_clip_once_and_shares_nobody():
    rows = table(*[("casme2", f"{place % 7:02d}", "fear") for place in range(40)])
    folds = leave_one_subject_out(rows)
    assert sorted(name for fold in folds for name in fold.test) == sorted(rows["clip_id"])
    who = dict(zip(rows["clip_id"], rows["subject"], strict=True))
    for fold in folds:
        assert not {who[name] for name in fold.train} & {who[name] for name in fold.test}
        assert len(fold.train) + len(fold.test) == 40


def test_hold_out_subjects_splits_people_and_repeats_for_a_seed():
    rows = table(*[("casme2", f"{place % 8:02d}", "fear") for place in range(40)])
    train, test = hold_out_subjects(rows, share=0.25, seed=3)
    assert (train, test) == hold_out_subjects(rows, n=2, seed=3)
    assert sorted(train + test) == sorted(rows["clip_id"])
    who = dict(zip(rows["clip_id"], rows["subject"], strict=True))
    assert len({who[name] for name in test}) == 2
    assert not {who[name] for name in train} & {who[name] for name in test}
    assert hold_out_subjects(rows, n=2, seed=4) != (train, test)


def test_splits_that_leave_nobody_are_refused():
    rows = table(("casme2", "1", "fear"), ("casme2", "1", "fear"))
    with pytest.raises(ValueError, match="at least 2 subjects"):
        leave_one_subject_out(rows)
    with pytest.raises(ValueError, match="cannot hold out 1 of 1 subjects"):
        hold_out_subjects(rows, n=1)
    with pytest.raises(ValueError, match="1 of 2 clips have no subject"):
        leave_one_subject_out(rows.assign(subject=["1", None]))
