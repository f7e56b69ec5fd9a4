"""Labels, classes and splits."""

import numpy as np
import pandas as pd
from refusals import assert_refuses

from medn_lab.data import PROTOCOLS, canonical_emotion, hold_out_subjects, leave_one_subject_out, to_classes


def table(*rows):
    columns = ["clip_id", "dataset", "subject", "emotion"]
    return pd.DataFrame([(f"c{place}", *row) for place, row in enumerate(rows)], columns=columns)


def forty(n_subjects):
    return table(*[("casme2", f"{place % n_subjects:02d}", "fear") for place in range(40)])


def shared_people(rows, train, test):
    who = dict(zip(rows["clip_id"], rows["subject"], strict=True))
    return {who[name] for name in train} & {who[name] for name in test}


def test_a_label_is_one_class_however_it_is_typed():
    typed = [" Disgust", "ｄｉｓｇｕｓｔ", "disgust\u00a0;", "“disgust”", "disgusted", "\ufeffdisgust", "厌恶"]
    typed += ["Disgust (厌恶)"]
    assert {canonical_emotion(one) for one in typed} == {"disgust"}
    rows = table(*[(" CASME2", "1", one) for one in typed])
    assert set(to_classes(rows, "casme2_5class")[0]["label"]) == {"disgust"}
    others = table(*[("casme3", "a", emotion) for emotion in ("Others", "others", "happy", "sad", "Fear")])
    four = to_classes(others, "casme3_4class")[0]["label"]
    assert four.tolist() == ["others", "others", "positive", "negative", "negative"]


def test_every_row_is_kept_or_dropped_once_and_a_label_that_is_none_is_missing():
    missing = [None, np.nan, pd.NA, pd.NaT, "", " ", "nan", "None", "N/A", "-", "/", "?"]
    rows = table(("samm", "6", "Other"), ("smic", "1", "positive"), *(("samm", "7", one) for one in missing))
    kept, dropped = to_classes(rows, "samm_5class")
    assert kept[["clip_id", "label"]].values.tolist() == [["c0", "others"]]
    assert dropped["clip_id"].tolist() == rows["clip_id"].tolist()[1:]
    assert dropped["reason"].tolist()[0] == "data set smic has no part in samm_5class (samm)"
    assert set(dropped["reason"][1:]) == {"no emotion is given"}


def test_megc2019_has_the_official_order_and_the_published_counts():
    assert PROTOCOLS["megc2019"].classes == ("negative", "positive", "surprise")
    counts = {"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25, "sadness": 7, "fear": 2}
    rows = [("casme2", "01", emotion) for emotion, count in counts.items() for _ in range(count)]
    kept, dropped = to_classes(table(*rows, ("samm", "01", "fear"), ("samm", "01", "sadness")), "megc2019")
    counted = kept.groupby("dataset")["label"].value_counts()
    assert counted["casme2"].to_dict() == {"negative": 90, "positive": 32, "surprise": 25}
    assert counted["samm"].to_dict() == {"negative": 2}  # in CASME II fear and sadness are dropped
    assert len(kept) + len(dropped) == 257
    assert all(fact in dropped["reason"].iloc[-1] for fact in ("'fear'", "casme2", "megc2019"))


def test_every_protocol_reaches_each_of_its_classes_and_bad_ones_are_named():
    for protocol in PROTOCOLS.values():
        for rule in protocol.rules.values():
            assert set(rule.values()) == set(protocol.classes)
    rows = table(("casme2", "1", "fear"))
    assert_refuses(to_classes, rows, "casme2", match=r"'casme2'.*megc2019")
    assert_refuses(to_classes, rows, "casme2_5class", match=r"no clip \(of 1\).*casme2_5class")
    assert_refuses(to_classes, rows.drop(columns="dataset"), "megc2019", match="column dataset")


def test_leave_one_subject_out_tests_every_clip_once_and_shares_nobody():
    rows = table(("casme2", "06", "fear"), ("samm", "06", "fear"), ("samm", "06", "anger"))
    folds = leave_one_subject_out(rows)
    assert {fold.held_out: fold.test for fold in folds} == {"casme2/06": ("c0",), "samm/06": ("c1", "c2")}
    rows = forty(7)
    folds = leave_one_subject_out(rows)
    assert sorted(name for fold in folds for name in fold.test) == sorted(rows["clip_id"])
    for fold in folds:
        assert not shared_people(rows, fold.train, fold.test)
        assert len(fold.train) + len(fold.test) == 40


def test_hold_out_subjects_splits_people_and_repeats_for_a_seed():
    rows = forty(8)
    train, test = hold_out_subjects(rows, seed=3)  # a quarter
    assert (train, test) == hold_out_subjects(rows, n=2, seed=3) != hold_out_subjects(rows, n=2, seed=4)
    assert sorted(train + test) == sorted(rows["clip_id"])
    assert rows.loc[rows["clip_id"].isin(test), "subject"].nunique() == 2
    assert not shared_people(rows, train, test)


def test_splits_that_leave_nobody_are_refused():
    rows = table(("casme2", "1", "fear"), ("casme2", "1", "fear"))
    for split, facts in ((leave_one_subject_out, "at least 2 subjects"), (hold_out_subjects, "1 of 1 subjects")):
        assert_refuses(split, rows, match=facts)
    assert_refuses(leave_one_subject_out, rows.assign(subject=["1", None]), match="1 of 2 clips have no subject")
