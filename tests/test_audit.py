"""The audit of choosing the epoch: three rules on one training, and how much choosing alone can give."""

import zlib
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from tiny_clips import tiny_clips

from medn_lab.data import leave_one_subject_out
from medn_lab.evaluate import accuracy, predict, selection_audit
from medn_lab.evaluate.audit import keep_back
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.train import TrainConfig, fit

TRAINING = TrainConfig(epochs=6, batch_size=8, learning_rate=0.01, seed=1)


def small(clips, **changes):
    return MEDNConfig.for_clips(clips, **{"dim": 16, "branches": "motion"} | changes)


@pytest.fixture(scope="module")
def clips():
    """Labels that no input knows: whatever is scored above one half was chosen, not learned."""
    clips = tiny_clips(n_subjects=6)
    label = np.random.default_rng(0).permutation(clips.table["label"].to_numpy())
    return replace(clips, table=clips.table.assign(label=label))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("audit") / "run"


@pytest.fixture(scope="module")
def audit(clips, folder):
    return selection_audit(small(clips), clips, training=TRAINING, n_jobs=1, folder=folder, progress=False)


def by_fold(audit, rule):
    told = audit.predictions[rule]
    right = told.predicted == told.table["label"].to_numpy(dtype=object)
    return pd.Series(right).groupby(told.fold).mean()


def test_choosing_on_the_test_is_never_worse_than_any_other_rule(audit):
    best = by_fold(audit, "best_on_test")
    for rule in ("last_epoch", "validation"):
        assert (best >= by_fold(audit, rule)).all()
    assert audit.gain.difference >= 0


def test_choosing_on_the_test_finds_skill_in_random_labels(audit):
    rows = audit.table[audit.table["measure"] == "accuracy"].set_index("rule")
    assert rows.loc["best_on_test", "value"] > rows.loc["last_epoch", "value"] + 0.05
    assert audit.gain.p < 0.05
    assert audit.gain.low > -0.1  # six persons leave an interval over persons wide
    assert audit.gain.difference == pytest.approx(rows.loc["best_on_test", "value"] - rows.loc["last_epoch", "value"])
    assert rows["optimistic"].to_dict() == {"last_epoch": False, "validation": False, "best_on_test": True}


def test_each_rule_takes_the_epoch_that_its_curve_names(audit):
    for number, epochs in audit.epochs.groupby("fold"):
        row = audit.chosen.set_index("fold").loc[number]
        assert row["last_epoch"] == 6
        for rule, column in (("validation", "validation_accuracy"), ("best_on_test", "held_out_accuracy")):
            values = epochs.set_index("epoch")[column]
            assert row[rule] == values.idxmax()  # the first of equals
        for rule in ("last_epoch", "validation", "best_on_test"):
            expected = epochs.set_index("epoch")["held_out_accuracy"][row[rule]]
            assert by_fold(audit, rule)[number] == expected


def test_a_fold_of_the_audit_is_the_training_without_the_subjects_kept_back(clips, audit):
    fold = leave_one_subject_out(clips.table)[3]
    table = clips.select(fold.train).table
    seed = TRAINING.seed + zlib.crc32(fold.held_out.encode())
    train_ids, back_ids = keep_back(table, classes=("happiness", "others"), label="label", share=0.2, seed=seed % 2**31)
    assert table.set_index("clip_id").loc[back_ids, "subject"].nunique() == 1
    model = MEDN(small(clips), seed=TRAINING.seed)
    history = fit(model, clips.select(train_ids), training=TRAINING, validation=clips.select(back_ids), progress=False)
    by_hand = predict(model, clips.select(fold.test))
    assert np.array_equal(by_hand.logits, audit.predictions["last_epoch"].select(fold.test).logits)
    epochs = audit.epochs[audit.epochs["fold"] == 3]
    assert epochs["validation_accuracy"].tolist() == pytest.approx(history.table["validation_accuracy"].tolist())
    assert (epochs["n_validation"] == len(back_ids)).all()


def test_it_says_which_figure_is_optimistic(audit):
    said = repr(audit)
    assert "6 of 6 folds finished, 36 clips; one training of 6 epochs a fold, 20% of its subjects kept back" in said
    assert "best on the held-out subject   OPTIMISTIC: chosen by the clips that it is scored on" in said
    assert said.count("OPTIMISTIC") == 1
    assert "choosing on the test alone gives +" in said


def test_a_resumed_audit_is_identical(clips, folder, audit):
    again = selection_audit(small(clips), clips, training=TRAINING, n_jobs=1, folder=folder, progress=False)
    assert again.table.equals(audit.table)
    assert again.epochs.equals(audit.epochs)
    for rule, told in audit.predictions.items():
        assert np.array_equal(told.logits, again.predictions[rule].logits)


def test_the_folder_of_another_audit_is_refused(clips, folder, audit):
    go = partial(selection_audit, small(clips), clips, training=TRAINING, n_jobs=1, folder=folder, progress=False)
    with pytest.raises(ValueError, match="another validation_share; give the same again"):
        go(validation_share=0.4)


def test_subjects_are_kept_back_so_that_every_class_still_trains(clips):
    # Only two persons of six show the third class; many draws of two persons of five take the last of them.
    rare = clips.table["subject"].isin(["01", "02"]) & (clips.table.index % 3 == 0)
    labelled = replace(clips, table=clips.table.assign(label=clips.table["label"].where(~rare, "surprise")))
    quick = replace(TRAINING, epochs=1)
    found = selection_audit(small(labelled), labelled, training=quick, validation_share=0.4, n_jobs=1, progress=False)
    assert (found.folds["error"] == "").all()


@pytest.mark.filterwarnings("ignore:in some folds no training clip is of surprise")
def test_a_fold_whose_training_lacks_a_class_scores_its_clips_as_wrong(clips):
    alone = clips.table["label"].where(clips.table["subject"] != "04", "surprise")
    labelled = replace(clips, table=clips.table.assign(label=alone))
    quick = replace(TRAINING, epochs=1)
    found = selection_audit(small(labelled), labelled, training=quick, n_jobs=1, progress=False)
    assert (found.folds["error"] == "").all()
    assert found.folds["n_unseen"].tolist() == [0, 0, 0, 0, 6, 0]
    assert found.folds.set_index("held_out").loc["tiny/04", "accuracy"] == 0
    for said in found.predictions.values():
        assert len(said) == 36
        assert not (said.predicted == "surprise")[(said.table["subject"] == "04")].any()
    alone = clips.table["label"].where(~clips.table["subject"].isin(["03", "04"]), "surprise")
    labelled = replace(clips, table=clips.table.assign(label=alone))
    with pytest.raises(ValueError, match="each draw takes a whole class from the training"):
        selection_audit(small(labelled), labelled, training=quick, validation_share=0.99, n_jobs=1, progress=False)


def test_too_few_subjects_or_a_share_out_of_range_are_refused(clips):
    two = clips.where(subject=["00", "01"])
    with pytest.raises(ValueError, match="an audit needs at least 3 subjects"):
        selection_audit(small(two), two, n_jobs=1, progress=False)
    with pytest.raises(ValueError, match=r"validation_share must be in \(0, 1\); got 1"):
        selection_audit(small(clips), clips, validation_share=1, n_jobs=1, progress=False)


def test_the_accuracy_of_the_last_epoch_is_that_of_its_predictions(audit):
    told = audit.predictions["last_epoch"]
    row = audit.table.query("rule == 'last_epoch' and measure == 'accuracy'").iloc[0]
    assert row["value"] == accuracy(told.table["label"], told.predicted)
    assert row["floor"] == audit.floor.accuracy
