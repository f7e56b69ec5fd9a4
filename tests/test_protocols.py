"""Labels, classes, subjects and splits: one spelling in every room, or an error that names what to do."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses

from medn_lab import diagnose, evaluate
from medn_lab.data import PROTOCOLS, canonical_emotion, hold_out_subjects, leave_one_subject_out, to_classes
from medn_lab.evaluate import accuracy, confusion_matrix, uar, uf1
from medn_lab.model import MEDNConfig
from medn_lab.records import BranchFeatures, Predictions, check_label, people
from medn_lab.train import TrainConfig, fit


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
    assert set(to_classes(table(*[(" CASME2", "1", one) for one in typed]), "casme2_5class")[0]["label"]) == {"disgust"}
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
    assert_refuses(to_classes, rows, "casme2", match=r"megc2019.*'casme2'")
    assert_refuses(to_classes, rows, "casme2_5class", match=r"no clip \(of 1\).*casme2_5class")
    assert_refuses(to_classes, rows.drop(columns="dataset"), "megc2019", match="column dataset")


def test_leave_one_subject_out_tests_every_clip_once_and_shares_nobody():
    folds = leave_one_subject_out(table(("casme2", "06", "fear"), ("samm", "06", "fear"), ("samm", "06", "anger")))
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


TRAINING = TrainConfig(epochs=1, batch_size=8)
ONE_SPELLING = ["happiness ", " happiness", "ｈａｐｐｉｎｅｓｓ", "happiness\u3000", "happiness\n"]
MISSING = [None, np.nan, pd.NA, "", "  "]


OWN = {"label": "mood"}


def given(clips, labels):
    """Clips with a column that no reader made; records spell the usual columns alike when they are made."""
    return replace(clips, table=clips.table.assign(mood=labels))


def features_of(clips):
    return BranchFeatures(*np.random.default_rng(0).normal(size=(3, 24, 2)), clips.table)


def predictions_of(clips):
    return Predictions(np.random.default_rng(0).normal(size=(24, 2)), clips.table, ("happiness", "others"))


def folds_of(clips):
    config = MEDNConfig(classes=("happiness", "others"), aus=clips.aus, size=32, dim=16, branches="motion")
    found = evaluate.evaluate_loso(config, clips, training=TRAINING, n_jobs=1, progress=False, **OWN)
    return found.folds.drop(columns="seconds").to_csv()


def summary_of(clips):
    return evaluate.evaluation_summary(predictions_of(clips), n_resamples=20, **OWN)


READERS = {
    "network": lambda clips: MEDNConfig.for_clips(clips, **OWN).classes,
    "folds": folds_of,
    "confusion": lambda clips: confusion_matrix(predictions_of(clips), **OWN).to_csv(),
    "floor": lambda clips: repr(evaluate.au_only_floor(clips.table, **OWN)),
    "summary": lambda clips: summary_of(clips).scores.to_csv(),
    "pairs": lambda clips: diagnose.confusable_pairs(clips.table, **OWN).to_csv(),
    "ranked pairs": lambda clips: diagnose.rank_pairs(clips.table, features=features_of(clips), **OWN).to_csv(),
    "leaks": lambda clips: diagnose.leakage(features_of(clips), n_shuffles=2, **OWN).to_csv(),
}
"""What each function that reads labels makes of clips."""


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_blanks_and_full_width_signs_make_no_second_class(clips, read):
    labels = clips.table["label"].to_numpy(dtype=object, copy=True)
    labels[np.flatnonzero(labels == "happiness")[:5]] = ONE_SPELLING
    assert read(given(clips, labels)) == read(given(clips, clips.table["label"]))
    for measure in (accuracy, uf1, uar):
        assert measure(labels, clips.table["label"]) == 1


def test_missing_labels_are_counted_and_named_or_left_out_and_capitals_make_no_second_class(clips, model):
    labels = clips.table["label"].astype(object).copy()
    labels[range(3, 8)] = MISSING
    lacking = given(clips, labels)
    for name in ("network", "folds", "confusion", "floor"):
        assert_refuses(READERS[name], lacking, match="5 of 24 clips have no mood, such as 'tiny0_s00_c03'")
    assert_refuses(fit, model, lacking, training=TRAINING, progress=False, **OWN, match="5 of 24 clips have no mood")
    for score in (accuracy, uf1, uar):
        assert_refuses(score, labels, clips.table["label"], match="5 of 24 true classes")
    assert any("5 of 24 clips have no mood" in note for note in summary_of(lacking).notes)
    pairs, every = (diagnose.confusable_pairs(given(clips, own).table, **OWN) for own in (labels, clips.table["label"]))
    columns = ["clip_a", "clip_b"]
    whole = every[~every[columns].isin(set(clips.table["clip_id"][3:8])).any(axis=1)]
    assert pairs[columns].to_numpy().tolist() == whole[columns].to_numpy().tolist()
    how = {"n_shuffles": 2, "n_permutations": 3} | OWN
    rows = diagnose.decoupling_report(features_of(lacking), **how).table
    assert set(rows.loc[rows["given"] == "emotion", "n_clips"]) == {19}
    nobody = features_of(given(clips, pd.NA))
    assert_refuses(diagnose.decoupling_report, nobody, given=["emotion"], **how, match="none of 24 clips")
    capital = given(clips, clips.table["label"].where(clips.table.index != 0, "Happiness"))
    for name in ("floor", "pairs", "ranked pairs"):
        assert_refuses(READERS[name], capital, match="which differ in capital letters")


def test_the_dtype_and_the_index_of_a_label_column_do_not_matter_and_numbers_are_class_names(clips):
    table = clips.table.set_axis(range(100, 124)[::-1])
    assert people(table).tolist() == people(clips.table).tolist()
    numbers = pd.Series(np.arange(24) % 2, table.index)
    for column in (numbers.astype("Int64"), numbers.astype(float), ["0", 1, 0.0, "1 "] * 6):
        assert check_label(table.assign(label=column), label="label").tolist() == ["0", "1"] * 12
    assert check_label(table.astype({"label": "category"}), label="label").tolist() == clips.table["label"].tolist()


def test_one_person_is_one_person_however_written_and_a_missing_one_is_nobody():
    for column in ([1, "1", 1.0, " 1"], pd.array([1, 1, 1, 1], "Int64")):
        table = pd.DataFrame({"clip_id": list("abcd"), "subject": column})
        assert people(table).tolist() == ["1"] * 4
        assert Predictions(np.zeros((4, 2)), table, ("x", "y")).table["subject"].tolist() == ["1"] * 4
    table = pd.DataFrame({"clip_id": list("abc"), "dataset": ["samm", "samm", "smic"], "subject": ["01", 1, "1"]})
    assert_refuses(people, table, match="'samm/01' and 'samm/1' differ only by zeros")
    assert people(table[1:]).tolist() == ["samm/1", "smic/1"]
    for missing in (None, pd.NA, " "):
        assert_refuses(people, table.assign(subject=["1", missing, "2"]), match="1 of 3 clips have no subject")
