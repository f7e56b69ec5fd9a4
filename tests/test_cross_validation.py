"""Cross-validation and its audit: the same everywhere, resumable, honest about failures, at chance where it must be."""

import json
import os
import shutil
from dataclasses import replace
from functools import partial

import joblib
import numpy as np
import pytest
from cases import assert_refuses, mostly_slow
from tiny_clips import tiny_clips

from medn_lab import evaluate
from medn_lab.data import Fold, leave_one_subject_out
from medn_lab.evaluate import accuracy, predict, uf1
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.train import TrainConfig, fit

QUICK = TrainConfig(epochs=1, batch_size=8, seed=3)
HERE = {"training": QUICK, "n_jobs": 1, "progress": False}


def small(clips, **changes):
    """The smallest network that reads the clips' flow."""
    return MEDNConfig.for_clips(clips, **{"dim": 16, "branches": "motion"} | changes)


def relabelled(clips, label):
    return clips.with_table(clips.table.assign(label=label))


def loso(clips, **options):
    return evaluate.evaluate_loso(small(clips), clips, **HERE | options)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder of a whole run."""
    return tmp_path_factory.mktemp("finished") / "run"


@pytest.fixture(scope="module")
def serial(clips, place):
    return loso(clips, folder=place)


def same(one, other):
    """Whether two cross-validations are equal in every clip, to the last bit."""
    a, b = one.predictions, other.predictions
    arrays = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("logits", "au_logits", "fold"))
    folds = one.folds.drop(columns="seconds").equals(other.folds.drop(columns="seconds"))
    return arrays and folds and a.table.equals(b.table) and a.source == b.source


def test_every_clip_is_predicted_once_by_the_network_that_one_would_train_by_hand(clips, serial):
    pooled, scores = serial.predictions, serial.scores().set_index("measure")
    assert pooled.table["clip_id"].tolist() == clips.table["clip_id"].tolist()
    for number, row in serial.folds.iterrows():
        own = pooled.select(pooled.table["clip_id"][pooled.fold == number])
        assert [f"tiny/{name}" for name in own.table["subject"].unique()] == [row["held_out"]]
        assert (row["n_train"], row["n_test"], row["n_happiness"] + row["n_others"]) == (18, 6, 6)
        assert row["accuracy"] == accuracy(own.table["label"], own.predicted)
    fold, model = leave_one_subject_out(clips.table)[2], MEDN(small(clips), seed=QUICK.seed)
    history = fit(model, clips.select(fold.train), training=QUICK, progress=False)
    assert np.array_equal(predict(model, clips.select(fold.test)).logits, pooled.select(fold.test).logits)
    assert pooled.source["sha256"][fold.held_out] == weights_sha256(model)
    assert serial.epochs.query("fold == 2")["loss"].tolist() == history.table["loss"].tolist()
    found = evaluate.bootstrap_interval(pooled)
    assert tuple(scores.loc["accuracy", ["value", "low", "high"]]) == (found.value, found.low, found.high)
    assert scores.loc["UF1", "floor"] == pytest.approx(uf1(serial.floor.table["label"], serial.floor.predicted))
    assert "leave one subject out, no protocol: 4 of 4 folds finished, 24 clips of 4 subjects" in repr(serial)


def test_own_folds_score_only_what_they_test_and_two_of_one_name_keep_their_weights_apart(clips):
    ids = clips.table["clip_id"].tolist()
    folds = [Fold("half", tuple(ids[:12]), tuple(ids[12:18])), Fold("half", tuple(ids[:12]), tuple(ids[18:]))]
    found = evaluate.evaluate_folds(small(clips), clips, folds=folds, **HERE)
    assert found.predictions.table["clip_id"].tolist() == found.floor.table["clip_id"].tolist() == ids[12:]
    assert found.folds["held_out"].tolist() == ["half", "half"]
    assert list(found.predictions.source["sha256"]) == ["half (fold 0)", "half (fold 1)"]
    assert json.dumps(found.predictions.source)  # can be saved


BACKENDS = mostly_slow([("threading", True), ("threading", False), ("loky", True)], quick=2)


@pytest.mark.parametrize(("backend", "streams"), BACKENDS)
def test_the_backend_of_joblibs_context_gives_the_same_predictions(clips, serial, backend, streams, monkeypatch):
    if not streams:  # as a backend that returns all results at once
        monkeypatch.setattr("joblib._parallel_backends.ThreadingBackend.supports_return_generator", False)
    with joblib.parallel_config(backend=backend):
        assert same(serial, loso(clips, n_jobs=2))


def test_after_a_break_in_the_middle_the_results_are_identical(clips, serial, tmp_path, monkeypatch, capsys):
    calls, run = [], tmp_path / "run"

    def breaking(*args, **kwargs):
        calls.append(fit(*args, **kwargs))
        return replace(calls[-1], status="interrupted") if len(calls) == 3 else calls[-1]

    monkeypatch.setattr("medn_lab.evaluate.folds.fit", breaking)
    with pytest.raises(KeyboardInterrupt):
        loso(clips, folder=run)
    # The fold that was interrupted half-trained is not kept.
    assert {path.name for path in run.iterdir()} == {"run.json", "fold_000", "fold_001"}
    untouched = (run / "fold_000" / "last_epoch").stat().st_mtime_ns
    (run / ".fold_002.half").mkdir()  # what a kill leaves of a fold that was being written
    assert same(serial, loso(clips, folder=run, progress=True))
    assert (run / "fold_000" / "last_epoch").stat().st_mtime_ns == untouched
    assert "2/4" in capsys.readouterr().err  # the bar begins where the work does


def test_another_run_a_damaged_fold_and_a_folder_of_something_else_are_refused_by_name(clips, serial, place, tmp_path):
    folder, config, flow = shutil.copytree(place, tmp_path / "run"), small(clips), clips.flow.copy()
    flow[5, 3, 3, 0] += 1e-3
    refuses = partial(assert_refuses, evaluate.evaluate_loso, **HERE, folder=folder)
    refuses(config, clips, training=replace(QUICK, epochs=3), match=r"another training\.epochs;")
    refuses(small(clips, dim=24), clips, match=r"another model\.dim;")
    refuses(config, replace(clips, flow=flow), match="another clips;")
    refuses(config, clips.select(clips.table["clip_id"][:18]), match="another clips, folds;")
    audit = partial(evaluate.selection_audit, config, clips, **HERE)
    assert_refuses(audit, folder=folder, match="another call, validation_share;")
    assert_refuses(loso, clips, folder=folder / "fold_000", match="nothing was written", error=FileExistsError)
    assert not (folder / "fold_000" / "run.json").exists()
    note = next(file for file in (folder / "fold_001").rglob("*.json") if '"seconds"' in file.read_text())
    note.write_text(note.read_text().replace('"seconds": ', '"seconds": 1'))
    for _ in range(2):  # a changed fold, then one that is missing
        assert_refuses(loso, clips, folder=folder, match=r"fold_001 cannot be read .* remove that folder")
        shutil.rmtree(folder / "fold_001" / "last_epoch", ignore_errors=True)


def test_a_fold_that_fails_is_reported_with_its_kind_and_the_others_finish(clips, monkeypatch):
    def failing(model, trained, **how):
        if "02" not in set(trained.table["subject"]):
            raise RuntimeError("no room\nfor this")
        return fit(model, trained, **how)

    monkeypatch.setattr("medn_lab.evaluate.folds.fit", failing)
    found = loso(clips)
    assert found.folds["error"].tolist() == ["", "", "RuntimeError: no room for this", ""]
    assert found.folds["accuracy"].isna().tolist() == [False, False, True, False]
    assert len(found.predictions) == len(found.floor) == 18
    assert all(fact in repr(found) for fact in ("3 of 4 folds", "failed: tiny/02 (RuntimeError"))


def test_clips_whose_class_no_other_subject_shows_are_scored_as_wrong(clips):
    labels = clips.table["label"].where(~clips.table.index.isin(range(6, 12)), "surprise")
    with pytest.warns(UserWarning, match="surprise"):
        found = loso(relabelled(clips, labels))
    expected = {"error": [""] * 4, "n_unseen": [0, 6, 0, 0], "unseen": ["", "surprise", "", ""]}
    assert found.folds[list(expected)].to_dict("list") == expected
    pooled = found.predictions
    own = pooled.probabilities[pooled.table["label"] == "surprise"]
    assert (len(pooled), len(own), own[:, pooled.classes.index("surprise")].max() < 1e-20) == (24, 6, True)
    assert found.scores()["value"][0] == pytest.approx((pooled.predicted == labels).mean())
    for text in (repr(found), evaluate.evaluation_summary(found).notes[0]):
        assert "as wrong: no training clip is of surprise" in text


def test_warnings_of_folds_and_of_doubles_are_given_once(clips):
    flow = clips.flow.copy()
    flow[6] = flow[0]
    with pytest.warns(UserWarning, match="frames") as caught:
        evaluate.evaluate_loso(small(clips, branches="both"), replace(clips, flow=flow, frames=None), **HERE)
    doubles, frames = (str(one.message) for one in caught)
    assert "the clips have no frames" in frames
    assert all(name in doubles for name in ("tiny0_s00_c00", "tiny0_s01_c00"))


def test_the_same_number_in_two_data_sets_is_two_persons_and_each_can_be_tested_by_the_others(clips):
    # Two data sets of two persons each, both numbered 00 and 01, in emotions that MEGC 2019 joins.
    second = clips.table["subject"].isin(["02", "03"])
    words = clips.table["label"].replace({"others": "repression"})
    table = clips.table.assign(
        dataset=np.where(second, "samm", "casme2"),
        subject=clips.table["subject"].replace({"02": "00", "03": "01"}),
        emotion=words.where(~second, clips.table["label"].replace({"others": "anger"})),
    ).drop(columns="label")
    table.loc[table.index[:2], "emotion"] = "others"  # which the protocol drops
    composite = replace(clips, table=table)
    config = MEDNConfig(aus=composite.aus, size=32, dim=16, branches="motion")
    found = evaluate.evaluate_loso(config, composite, protocol="megc2019", **HERE)
    pooled, scores = found.predictions, found.scores().set_index(["part", "measure"])
    assert found.folds["held_out"].tolist() == ["casme2/00", "casme2/01", "samm/00", "samm/01"]
    assert (pooled.protocol, len(pooled), pooled.classes) == ("megc2019", 22, ("negative", "positive"))
    assert scores.index.unique("part").tolist() == ["all", "casme2", "samm"]
    part = pooled.select(pooled.table.query("dataset == 'samm'")["clip_id"])
    assert scores.loc[("samm", "accuracy"), "value"] == accuracy(part.table["label"], part.predicted)
    found = evaluate.evaluate_cross_dataset(config, composite, protocol="megc2019", **HERE)
    assert found.folds[["held_out", "n_train"]].to_numpy().tolist() == [["casme2", 12], ["samm", 10]]


def test_what_does_not_fit_is_refused_with_the_numbers(clips):
    ids, config = tuple(clips.table["clip_id"]), small(clips)
    folds_of = partial(evaluate.evaluate_folds, config, clips, **HERE)
    assert_refuses(loso, clips.where(subject="00"), match="2 subjects")
    few, other = clips.where(subject=["00", "01"]), replace(config, classes=("fear", "others"))
    assert_refuses(evaluate.evaluate_loso, other, clips, match="fear, others.*happiness")
    assert_refuses(evaluate.selection_audit, config, few, **HERE, match="none of 2 folds finished")
    both, twice = [Fold("x", ids[:5], ids[5:6])], [Fold("x", ids[6:], ids[:6]), Fold("y", ids[12:], ids[:12])]
    assert_refuses(folds_of, folds=both, match="tiny/00 on both sides")
    assert_refuses(folds_of, folds=twice, match="earlier fold tests 6;")


class Deadly:
    """Ends every process that unpickles it."""

    def __reduce__(self):
        return os._exit, (1,)


@pytest.mark.slow
def test_a_worker_that_is_killed_leaves_a_sentence(clips):
    deadly = replace(clips, recipe={"corpus": Deadly()})
    with joblib.parallel_config(backend="loky"), pytest.raises(ValueError, match="a worker process was killed"):
        loso(deadly, n_jobs=2)


AUDITED = HERE | {"training": TrainConfig(epochs=6, batch_size=8, learning_rate=0.01, seed=1)}


@pytest.fixture(scope="module")
def unrelated():
    """Labels that no input knows: every score above one half was chosen, not learned."""
    clips = tiny_clips(n_subjects=6)
    return relabelled(clips, np.random.default_rng(0).permutation(clips.table["label"].to_numpy()))


@pytest.fixture(scope="module")
def audit(unrelated):
    return evaluate.selection_audit(small(unrelated), unrelated, **AUDITED)


@pytest.mark.slow
class TestAudit:
    """Three rules of choosing the epoch on one training, and how much choosing alone can give."""

    def test_each_rule_takes_its_epoch_and_choosing_on_the_test_finds_skill_in_random_labels(self, audit):
        columns = {"validation": "validation_accuracy", "best_on_test": "held_out_accuracy"}
        for number, epochs in audit.epochs.groupby("fold"):
            curve = epochs.set_index("epoch")
            chosen = {"last_epoch": 6} | {rule: curve[column].idxmax() for rule, column in columns.items()}
            for rule, epoch in chosen.items():  # the first of equals
                pooled = audit.predictions[rule]
                own = pooled.select(pooled.table["clip_id"][pooled.fold == number])
                assert accuracy(own.table["label"], own.predicted) == curve["held_out_accuracy"][epoch]
        rows = audit.table[audit.table["measure"] == "accuracy"].set_index("rule")
        gain, found = rows.loc["best_on_test", "value"] - rows.loc["last_epoch", "value"], audit.gain.table.iloc[0]
        assert found["difference"] == pytest.approx(gain)
        assert (gain > 0.05, found["p"] < 0.05) == (True, True)
        last = audit.predictions["last_epoch"]
        assert rows.loc["last_epoch", "value"] == accuracy(last.table["label"], last.predicted)
        assert f"test alone gives {gain:+.3f}" in repr(audit)

    def test_a_fold_of_the_audit_is_the_training_without_the_subjects_kept_back(self, unrelated, audit):
        fold, training = leave_one_subject_out(unrelated.table)[3], AUDITED["training"]
        own, train = audit.epochs[audit.epochs["fold"] == 3], unrelated.select(fold.train)
        accuracies, people = [], sorted(set(train.table["subject"]))
        for person in people:  # one of five is kept back; which one is drawn by the seed
            model, others = MEDN(small(unrelated), seed=1), train.where(subject=sorted(set(people) - {person}))
            history = fit(model, others, training=training, validation=train.where(subject=person), progress=False)
            logits = predict(model, unrelated.select(fold.test)).logits
            if np.array_equal(logits, audit.predictions["last_epoch"].select(fold.test).logits):
                accuracies.append(history.table["validation_accuracy"].tolist())
        assert accuracies == [pytest.approx(own["validation_accuracy"].tolist())]
        assert (own["n_validation"] == 6).all()

    @pytest.mark.filterwarnings("ignore:in some folds no training clip is of surprise")
    def test_subjects_are_kept_back_so_that_every_class_still_trains(self, unrelated):
        # Only two persons of six show the third class; many draws of two persons of five take the last of them.
        table = unrelated.table
        rare = table["subject"].isin(["01", "02"]) & (table.index % 3 == 0)
        labelled = relabelled(unrelated, table["label"].where(~rare, "surprise"))
        found = evaluate.selection_audit(small(labelled), labelled, validation_share=0.4, **HERE)
        assert (found.folds["error"] == "").all()
        labelled = relabelled(unrelated, table["label"].where(~table["subject"].isin(["03", "04"]), "surprise"))
        with pytest.raises(ValueError, match="takes a whole class"):
            evaluate.selection_audit(small(labelled), labelled, validation_share=0.99, **HERE)
