"""Labels and subjects typed by hand: one spelling in every room, or an error that names what to do."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from refusals import assert_refuses
from tiny_clips import tiny_clips

from medn_lab import diagnose, evaluate
from medn_lab.evaluate import accuracy, confusion_matrix, predict, uar, uf1
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import BranchFeatures, Predictions, check_label, people
from medn_lab.train import TrainConfig, fit

LOSO = {"training": TrainConfig(epochs=1, batch_size=8), "n_jobs": 1, "progress": False}
ONE_SPELLING = ["happiness ", " happiness", "ｈａｐｐｉｎｅｓｓ", "happiness\u3000", "happiness\n"]
MISSING = [None, np.nan, pd.NA, "", "  "]
PAIR_LABELS = ["disgust", "happiness", "disgust", "happiness", "happiness", "disgust"]


def with_labels(clips, labels, column="label"):
    return replace(clips, table=clips.table.assign(**{column: labels}))


def test_blanks_and_full_width_signs_make_no_second_class(clips):
    labels = clips.table["label"].to_numpy(dtype=object, copy=True)
    labels[np.flatnonzero(labels == "happiness")[:5]] = ONE_SPELLING
    given, own = with_labels(clips, labels, "mood"), {"label": "mood"}
    config = MEDNConfig.for_clips(given, dim=16, branches="motion", **own)
    assert config.classes == ("happiness", "others")
    predictions = predict(MEDN(config), given)
    assert confusion_matrix(predictions, **own).to_numpy().sum() == 24
    assert evaluate.evaluation_summary(predictions, n_resamples=20, **own).scores["n_clips"].eq(24).all()
    scored = evaluate.bootstrap_interval(predictions, n_resamples=20, **own).value
    assert scored == accuracy(clips.table["label"], predictions.predicted)
    found = evaluate.evaluate_loso(config, given, **LOSO, **own)
    assert found.folds["n_happiness"].sum() == (clips.table["label"] == "happiness").sum()


def bare_table(labels):
    """Two AU sets of three clips each, as a table that no reader made."""
    aus, subjects = ["12", "12", "4", "4", "12", "4"], list("112233")
    return pd.DataFrame({"clip_id": list("abcdef"), "subject": subjects, "action_units": aus, "label": labels})


def of_a_bare_table(table):
    """What functions that read labels from a bare table give."""
    features = BranchFeatures(*np.random.default_rng(0).normal(size=(2, 6, 3)), None, table)
    ranked = diagnose.rank_pairs(table, features=features)[["clip_a", "clip_b", "label_a"]]
    return [one.to_numpy().tolist() for one in (diagnose.confusable_pairs(table), ranked)]


def test_a_bare_table_has_one_spelling_and_a_clip_without_a_label_is_in_no_pair_and_has_no_score():
    happy = [*ONE_SPELLING[:2], "disgust", *ONE_SPELLING[2:]]
    words = ["happiness"] * 2 + ["disgust"] + ["happiness"] * 3
    for given, plain in ((happy, words), (["0", 1, 0.0, 1.0, 1, "0 "], list("010110"))):
        given, plain = bare_table(given), bare_table(plain)
        assert of_a_bare_table(given) == of_a_bare_table(plain)
        assert repr(evaluate.au_only_floor(given)) == repr(evaluate.au_only_floor(plain))
        for measure in (accuracy, uf1, uar):
            assert measure(given["label"], plain["label"]) == measure(plain["label"], given["label"]) == 1
    table = bare_table([np.nan, *PAIR_LABELS[1:]])
    pairs = [pair for pair in of_a_bare_table(bare_table(PAIR_LABELS))[0] if pair[0] != "a"]
    assert of_a_bare_table(table)[0] == pairs
    assert_refuses(evaluate.au_only_floor, table, match="1 of 6 clips have no label, such as 'a'")
    for score in (accuracy, uf1, uar):
        assert_refuses(score, table["label"], PAIR_LABELS, match="1 of 6 true classes")


def test_leaks_and_reports_read_one_spelling_and_leave_clips_without_a_label_out():
    def features(labels):
        table = tiny_clips().table.drop(columns=["label", "emotion"]).assign(mood=labels)
        return BranchFeatures(*np.random.default_rng(0).normal(size=(3, 24, 2)), table)

    labels, quickly = tiny_clips().table["label"], {"n_shuffles": 2, "label": "mood"}
    plain, typed = (features(own) for own in (labels, labels.where(labels.index != 0, labels[0] + " ")))
    pd.testing.assert_frame_equal(diagnose.leakage(plain, **quickly), diagnose.leakage(typed, **quickly))
    quickly["n_permutations"] = 3
    rows = diagnose.decoupling_report(features([*MISSING, *labels[5:]]), **quickly).table
    assert set(rows.loc[rows["given"] == "emotion", "n_clips"]) == {24 - len(MISSING)}
    with pytest.raises(ValueError, match=r"'emotion'.* none of 24 clips"):
        diagnose.decoupling_report(features([pd.NA] * 24), given=["emotion"], **quickly)


def test_missing_labels_are_counted_and_named_and_capitals_make_no_second_class(clips, model):
    labels = clips.table["label"].astype(object).copy()
    labels[range(3, 8)] = MISSING
    given = with_labels(clips, labels)
    predictions = predict(model, given)
    for call in (
        lambda: MEDNConfig.for_clips(given),
        lambda: fit(model, given, training=LOSO["training"], progress=False),
        lambda: evaluate.evaluate_loso(model.config, given, **LOSO),
        lambda: confusion_matrix(predictions),
    ):
        assert_refuses(call, match="5 of 24 clips have no label, such as 'tiny0_s00_c03'; write")
    notes = evaluate.evaluation_summary(predictions, n_resamples=20).notes
    assert any("5 of 24 clips have no label" in note for note in notes)
    for call in (evaluate.au_only_floor, of_a_bare_table):
        with pytest.raises(ValueError, match="'disgust' and 'Disgust', which differ in capital letters"):
            call(bare_table([*PAIR_LABELS[:5], "Disgust"]))


def test_the_dtype_and_the_index_of_a_label_column_do_not_matter_and_numbers_are_class_names(clips):
    table = clips.table.set_axis(range(100, 124)[::-1])
    assert people(table).tolist() == people(clips.table).tolist()
    numbers = pd.Series(np.arange(24) % 2, table.index)
    for dtype in ("Int64", float):
        assert check_label(table.assign(label=numbers.astype(dtype)), label="label").tolist() == ["0", "1"] * 12
    category = table.astype({"label": "category"})
    assert check_label(category, label="label").tolist() == clips.table["label"].tolist()


def test_one_person_is_one_person_however_written_and_a_missing_one_is_nobody():
    for column in ([1, "1", 1.0, " 1"], pd.array([1, 1, 1, 1], "Int64")):
        table = pd.DataFrame({"clip_id": list("abcd"), "subject": column})
        assert people(table).tolist() == ["1"] * 4
        assert Predictions(np.zeros((4, 2)), table, ("x", "y")).table["subject"].tolist() == ["1"] * 4
    table = pd.DataFrame({"clip_id": list("abc"), "dataset": ["samm", "samm", "smic"], "subject": ["01", 1, "1"]})
    assert_refuses(people, table, match="'samm/01' and 'samm/1' differ only by zeros")
    assert people(table[1:]).tolist() == ["samm/1", "smic/1"]
    for missing in (None, pd.NA, " "):
        with pytest.raises(ValueError, match="1 of 3 clips have no subject"):
            people(pd.DataFrame({"clip_id": list("abc"), "subject": ["1", missing, "2"]}))
