"""Cross-validation by subject: the same everywhere, resumable, honest about failures, at chance where it must be."""

import json
import shutil
from dataclasses import replace
from functools import partial
from unittest.mock import Mock

import joblib
import numpy as np
import pandas as pd
import pytest
from tiny_clips import tiny_clips

import medn_lab.evaluate.folds as loso
import medn_lab.evaluate.summary as cross_validation
from medn_lab.data import Fold, leave_one_subject_out
from medn_lab.evaluate import (
    accuracy,
    bootstrap_interval,
    evaluate_cross_dataset,
    evaluate_folds,
    evaluate_loso,
    evaluation_summary,
    leave_one_dataset_out,
    predict,
)
from medn_lab.evaluate.folds import FoldStore
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.records import Clips, Predictions
from medn_lab.train import TrainConfig, fit

QUICK = TrainConfig(epochs=2, batch_size=8, seed=3)


def small(clips, **changes):
    """The smallest network that reads the clips' flow."""
    return MEDNConfig.for_clips(clips, **{"dim": 16, "branches": "motion"} | changes)


def relabelled(clips, **columns):
    return replace(clips, table=clips.table.assign(**columns))


@pytest.fixture(scope="module")
def clips():
    return tiny_clips()


@pytest.fixture(scope="module")
def serial(clips):
    return evaluate_loso(small(clips), clips, training=QUICK, n_jobs=1, progress=False)


def same(one, other):
    """Whether two cross-validations say the same of every clip, to the last bit."""
    a, b = one.predictions, other.predictions
    return (
        np.array_equal(a.logits, b.logits)
        and np.array_equal(a.au_logits, b.au_logits)
        and np.array_equal(a.fold, b.fold)
        and a.table.to_csv() == b.table.to_csv()
        and a.source == b.source
        and one.folds.drop(columns="seconds").to_csv() == other.folds.drop(columns="seconds").to_csv()
    )


def test_every_clip_is_predicted_once_by_a_network_that_did_not_see_its_subject(clips, serial):
    told = serial.predictions
    assert told.table["clip_id"].tolist() == clips.table["clip_id"].tolist()
    for number, row in serial.folds.iterrows():
        held_out = told.table["subject"][told.fold == number]
        assert held_out.unique().tolist() == [row["subject"]]
        assert (row["held_out"], row["n_train"], row["n_test"]) == (f"tiny/{row['subject']}", 18, 6)
        scored = told.select(told.table["clip_id"][told.fold == number])
        assert row["accuracy"] == accuracy(scored.table["label"], scored.predicted)
        assert row["n_happiness"] + row["n_others"] == 6


def test_a_fold_is_the_training_that_one_would_do_by_hand(clips, serial):
    fold = leave_one_subject_out(clips.table)[2]
    model = MEDN(small(clips), seed=QUICK.seed)
    fit(model, clips.select(fold.train), training=QUICK, progress=False)
    by_hand = predict(model, clips.select(fold.test))
    assert np.array_equal(by_hand.logits, serial.predictions.select(fold.test).logits)
    assert serial.predictions.source["sha256"][fold.held_out] == weights_sha256(model)


def test_the_scores_are_those_of_the_pooled_predictions_beside_the_floor(serial):
    scores = serial.scores().set_index("measure")
    found = bootstrap_interval(serial.predictions)
    assert tuple(scores.loc["accuracy", ["value", "low", "high"]]) == (found.value, found.low, found.high)
    assert scores.loc["UF1", "floor"] == pytest.approx(serial.floor.uf1)
    said = repr(serial)
    for part in (
        "leave one subject out",
        "4 of 4 folds finished, 24 clips of 4 subjects",
        "UF1",
        "UAR",
        "AU-only floor",
    ):
        assert part in said


@pytest.mark.parametrize(("backend", "n_jobs"), [pytest.param("loky", 2, marks=pytest.mark.slow), ("threading", 3)])
def test_every_backend_gives_the_same_predictions(clips, serial, backend, n_jobs, tmp_path):
    # loky is given a prepared set, whose arrays stay in their files.
    given = Clips.load(clips.save(tmp_path / "set")) if backend == "loky" else clips
    with joblib.parallel_config(backend=backend):
        found = evaluate_loso(small(clips), given, training=QUICK, n_jobs=n_jobs, progress=False)
    assert same(serial, found)


class TestResuming:
    def test_with_half_of_the_folds_gone_the_results_are_identical(self, clips, serial, tmp_path, capsys):
        folder = tmp_path / "run"
        first = evaluate_loso(small(clips), clips, training=QUICK, n_jobs=1, folder=folder, progress=False)
        assert same(serial, first)
        untouched = (folder / "fold_000" / "fold.json").stat().st_mtime_ns
        for number in (1, 3):
            shutil.rmtree(folder / f"fold_{number:03d}")
        (folder / ".fold_001.half").mkdir()  # what a kill leaves of a fold that was being written
        again = evaluate_loso(small(clips), clips, training=QUICK, n_jobs=1, folder=folder, progress=True)
        assert same(serial, again)
        assert (folder / "fold_000" / "fold.json").stat().st_mtime_ns == untouched
        assert "2/4" in capsys.readouterr().err  # the bar begins where the work does

    def test_a_fold_that_is_put_aside_is_a_record_of_predictions(self, clips, serial, tmp_path):
        evaluate_loso(small(clips), clips, training=QUICK, n_jobs=1, folder=tmp_path / "run", progress=False)
        stored = Predictions.load(tmp_path / "run" / "fold_001" / "last_epoch")
        assert np.array_equal(stored.logits, serial.predictions.select(stored.table["clip_id"]).logits)

    def test_after_a_break_in_the_middle_the_results_are_identical(self, clips, serial, tmp_path, monkeypatch):
        finished, save = [], FoldStore.save

        def breaking(store, number, outcome):
            if len(finished) == 2:
                raise OSError("the disk is full")
            save(store, number, outcome)
            finished.append(number)

        with monkeypatch.context() as broken:
            broken.setattr(FoldStore, "save", breaking)
            with pytest.raises(OSError, match="the disk is full"):
                evaluate_loso(small(clips), clips, training=QUICK, n_jobs=1, folder=tmp_path / "run", progress=False)
        assert finished == [0, 1]
        again = evaluate_loso(small(clips), clips, training=QUICK, n_jobs=1, folder=tmp_path / "run", progress=False)
        assert same(serial, again)

    def test_an_interrupted_fold_is_not_kept_half_trained(self, clips, tmp_path, monkeypatch):
        def interrupted(*args, **kwargs):
            history = fit(*args, **kwargs)
            return replace(history, status="interrupted")

        monkeypatch.setattr(loso, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            evaluate_loso(small(clips), clips, training=QUICK, n_jobs=1, folder=tmp_path / "run", progress=False)
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]

    def test_another_run_is_refused_and_what_differs_is_named(self, clips, tmp_path):
        folder = tmp_path / "run"
        go = partial(evaluate_loso, n_jobs=1, folder=folder, progress=False)
        go(small(clips), clips, training=QUICK)
        with pytest.raises(ValueError, match=r"another training \(epochs\); give the same again, or another folder"):
            go(small(clips), clips, training=replace(QUICK, epochs=3))
        with pytest.raises(ValueError, match=r"another model \(dim\)"):
            go(small(clips, dim=24), clips, training=QUICK)
        flow = clips.flow.copy()
        flow[5, 3, 3, 0] += 1e-3
        with pytest.raises(ValueError, match="another clips; give"):
            go(small(clips), replace(clips, flow=flow), training=QUICK)
        with pytest.raises(ValueError, match="another clips, folds;"):
            go(small(clips), clips.select(clips.table["clip_id"][:18]), training=QUICK)

    def test_a_folder_with_something_else_is_left_alone(self, clips, tmp_path):
        (tmp_path / "thesis.txt").write_text("chapter 1")
        with pytest.raises(FileExistsError, match="holds no folds; choose another folder, nothing was written"):
            evaluate_loso(small(clips), clips, training=QUICK, n_jobs=1, folder=tmp_path, progress=False)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_a_kill_before_the_first_fold_leaves_a_folder_that_can_be_used(self, clips, serial, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "run.json.new").write_text("{")
        found = evaluate_loso(small(clips), clips, training=QUICK, n_jobs=1, folder=tmp_path / "run", progress=False)
        assert same(serial, found)

    def test_a_fold_that_cannot_be_read_is_named(self, clips, tmp_path):
        go = partial(
            evaluate_loso, small(clips), clips, training=QUICK, n_jobs=1, folder=tmp_path / "r", progress=False
        )
        go()
        (tmp_path / "r" / "fold_002" / "fold.json").write_text("{")
        with pytest.raises(ValueError, match=r"fold_002 cannot be read .* remove that folder and call again"):
            go()

    def test_a_fold_whose_figures_were_changed_is_refused_and_one_without_a_sum_is_made_again(
        self, clips, serial, tmp_path
    ):
        go = partial(
            evaluate_loso, small(clips), clips, training=QUICK, n_jobs=1, folder=tmp_path / "r", progress=False
        )
        go()
        changed, old = (tmp_path / "r" / name / "fold.json" for name in ("fold_001", "fold_003"))
        told = json.loads(changed.read_text())
        changed.write_text(json.dumps(told | {"seconds": told["seconds"] + 1}) + "\n")
        with pytest.raises(ValueError, match=r"fold_001 cannot be read .*sha256 is not that of fold.sha256"):
            go()
        changed.write_text(json.dumps(told) + "\n")
        (old.parent / "fold.sha256").unlink()
        before = changed.stat().st_mtime_ns, old.stat().st_mtime_ns
        assert same(serial, go())
        assert changed.stat().st_mtime_ns == before[0]
        assert old.stat().st_mtime_ns > before[1]
        assert (old.parent / "fold.sha256").read_text().endswith("  fold.json\n")


class TestFailures:
    def test_a_fold_that_leaves_one_class_to_train_is_reported_and_the_others_finish(self, clips):
        rare = clips.table["label"].where(clips.table["subject"] != "01", "surprise")
        labelled = relabelled(clips, label=rare.where(clips.table["subject"] == "01", "others"))
        with pytest.warns(UserWarning, match="no training clip is of surprise"):
            found = evaluate_loso(small(labelled), labelled, training=QUICK, n_jobs=1, progress=False)
        failed = found.folds[found.folds["error"] != ""]
        assert failed["held_out"].tolist() == ["tiny/01"]
        assert failed["error"].iloc[0].startswith("all 18 training clips are of others")
        assert failed["accuracy"].isna().all()
        assert len(found.predictions) == found.floor.n_clips == 18
        assert "3 of 4 folds finished" in repr(found)
        assert "failed: tiny/01 (all 18 training clips are of others" in repr(found)
        assert "6 clips of 1 failed folds are not scored" in repr(found)

    @pytest.mark.parametrize("rows", [[7], [6, 7, 8], list(range(6, 12))])
    def test_clips_whose_class_no_other_subject_shows_are_scored_as_wrong(self, clips, rows):
        labels = clips.table["label"].where(~clips.table.index.isin(rows), "surprise")
        labelled = relabelled(clips, label=labels)
        with pytest.warns(UserWarning, match="no training clip is of surprise.*unseen_classes='leave_out'"):
            found = evaluate_loso(small(labelled), labelled, training=QUICK, n_jobs=1, progress=False)
        assert (found.folds["error"] == "").all()
        assert len(found.predictions) == 24
        assert found.folds["n_unseen"].tolist() == [0, len(rows), 0, 0]
        assert found.folds["unseen"].tolist() == ["", "surprise", "", ""]
        own = found.predictions.table["label"] == "surprise"
        assert own.sum() == len(rows)
        assert not (found.predictions.predicted[own] == "surprise").any()
        assert np.isfinite(found.predictions.logits).all()
        assert found.predictions.probabilities[own, found.predictions.classes.index("surprise")].max() < 1e-20
        scores = found.scores().set_index("measure")["value"]
        assert scores["accuracy"] == pytest.approx((found.predictions.predicted == labels).mean())
        assert "as wrong: no training clip is of surprise" in repr(found)
        assert any("as wrong" in note for note in evaluation_summary(found).notes)

    def test_such_a_class_can_be_left_out(self, clips):
        labels = clips.table["label"].where(clips.table.index != 7, "surprise")
        labelled = relabelled(clips, label=labels)
        how = {"training": QUICK, "n_jobs": 1, "progress": False}
        found = evaluate_loso(small(labelled), labelled, unseen_classes="leave_out", **how)
        assert found.predictions.classes == ("happiness", "others")
        assert len(found.predictions) == 23
        assert found.dropped["clip_id"].tolist() == ["tiny0_s01_c01"]
        assert found.dropped["reason"].str.len().gt(10).all()
        assert found.folds["n_unseen"].sum() == 0
        assert "as wrong" not in repr(found)
        folds = leave_one_subject_out(labelled.table)
        again = evaluate_folds(small(labelled), labelled, folds=folds, unseen_classes="leave_out", **how)
        assert (again.predictions.logits == found.predictions.logits).all()
        with pytest.raises(ValueError, match="unseen_classes must be wrong or leave_out"):
            evaluate_loso(small(labelled), labelled, unseen_classes="drop", **how)

    def test_two_folds_of_one_name_keep_their_weights_apart(self, clips):
        folds = [replace(fold, held_out="held out") for fold in leave_one_subject_out(clips.table)[:2]]
        found = evaluate_folds(small(clips), clips, folds=folds, training=QUICK, n_jobs=1, progress=False)
        assert len(set(found.predictions.source["sha256"].values())) == 2

    def test_a_repr_runs_no_bootstrap_and_a_record_made_again_runs_one(self, clips, monkeypatch):
        found = evaluate_loso(small(clips), clips, training=QUICK, n_jobs=1, progress=False)
        with monkeypatch.context() as unavailable:
            unavailable.setattr("medn_lab.evaluate.summary.class_values", None)
            assert repr(found) == repr(found)
            assert "[" in repr(found)
        found = replace(found)
        counted = Mock(wraps=cross_validation.class_values)
        monkeypatch.setattr(cross_validation, "class_values", counted)
        assert repr(found) == repr(found)
        assert found.scores().equals(found.scores())
        assert counted.call_count == 3  # accuracy, UF1 and UAR of the one data set

    def test_where_every_fold_fails_the_reason_is_raised(self, clips):
        two = clips.where(subject=["00", "01"])
        labelled = replace(two, table=two.table.assign(label=two.table["subject"].map({"00": "a", "01": "b"})))
        with (
            pytest.warns(UserWarning, match="no training clip is of a, b"),
            pytest.raises(ValueError, match="none of 2 folds finished: all 6 training clips are of b"),
        ):
            evaluate_loso(small(labelled), labelled, training=QUICK, n_jobs=1, progress=False)

    def test_what_a_fold_warns_of_is_said_once(self, clips):
        flow_alone = replace(clips, frames=None)
        config = small(clips, branches="both")
        with pytest.warns(UserWarning, match="the clips have no frames") as caught:
            evaluate_loso(config, flow_alone, training=QUICK, n_jobs=1, progress=False)
        assert len(caught) == 1


@pytest.fixture(scope="module")
def composite():
    """Two data sets of two persons each, both numbered 00 and 01, in emotions that MEGC 2019 joins."""
    clips = tiny_clips()
    second = clips.table["subject"].isin(["02", "03"])
    words = {"happiness": "happiness", "others": "repression"}
    table = clips.table.assign(
        dataset=np.where(second, "samm", "casme2"),
        subject=clips.table["subject"].replace({"02": "00", "03": "01"}),
        emotion=clips.table["label"].map(words).where(~second, clips.table["label"].replace({"others": "anger"})),
    ).drop(columns="label")
    table.loc[table.index[:2], "emotion"] = "others"  # which the protocol drops
    return replace(clips, table=table)


class TestSeveralDataSets:
    def test_the_same_number_in_two_data_sets_is_two_persons(self, composite):
        config = MEDNConfig(classes=("a", "b"), aus=composite.aus, size=32, dim=16, branches="motion")
        found = evaluate_loso(config, composite, protocol="megc2019", training=QUICK, n_jobs=1, progress=False)
        assert found.folds["held_out"].tolist() == ["casme2/00", "casme2/01", "samm/00", "samm/01"]
        assert found.predictions.classes == ("negative", "positive")  # no clip is of surprise
        assert found.predictions.protocol == "megc2019"
        assert len(found.predictions) == 22
        assert found.dropped["reason"].tolist() == ["emotion 'others' of casme2 is in no class of megc2019"] * 2
        scores = found.scores()
        assert scores["part"].unique().tolist() == ["all", "casme2", "samm"]
        part = found.predictions.select(found.predictions.table.query("dataset == 'samm'")["clip_id"])
        row = scores[(scores["part"] == "samm") & (scores["measure"] == "accuracy")].iloc[0]
        assert row["value"] == accuracy(part.table["label"], part.predicted)
        assert "samm (12 clips, 2 subjects)" in repr(found)

    def test_across_data_sets_each_is_tested_by_the_others(self, composite):
        config = MEDNConfig(aus=composite.aus, size=32, dim=16, branches="motion")
        found = evaluate_cross_dataset(config, composite, protocol="megc2019", training=QUICK, n_jobs=1, progress=False)
        assert found.folds["held_out"].tolist() == ["casme2", "samm"]
        assert found.folds["n_train"].tolist() == [12, 10]
        assert found.folds["subject"].tolist() == ["", ""]
        model = MEDN(replace(config, classes=("negative", "positive")), seed=QUICK.seed)
        kept = composite.with_table(found.predictions.table)
        fit(model, kept.where(dataset="samm"), training=QUICK, progress=False)
        by_hand = predict(model, kept.where(dataset="casme2"))
        assert np.array_equal(by_hand.logits, found.predictions.select(by_hand.table["clip_id"]).logits)

    def test_one_data_set_is_refused(self, clips):
        with pytest.raises(ValueError, match="at least 2 data sets"):
            evaluate_cross_dataset(small(clips), clips, training=QUICK, n_jobs=1, progress=False)
        with pytest.raises(ValueError, match="has no column dataset; it has clip_id, subject"):
            leave_one_dataset_out(pd.DataFrame({"clip_id": ["a"], "subject": ["1"]}))


class TestWhatIsRefused:
    def test_classes_and_labels_that_do_not_agree(self, clips):
        with pytest.raises(ValueError, match=r"clips are labelled happiness and no clip is of fear; build it with"):
            evaluate_loso(small(clips, classes=("fear", "others")), clips, progress=False)
        with pytest.raises(ValueError, match="no column 'mood'; choose a protocol"):
            evaluate_loso(small(clips), clips, label="mood", progress=False)
        with pytest.raises(ValueError, match="a protocol makes the column 'label' itself"):
            evaluate_loso(small(clips), clips, label="emotion", protocol="synthme_5class", progress=False)
        unlabelled = relabelled(clips, label=clips.table["label"].where(clips.table.index > 2))
        with pytest.raises(ValueError, match="3 of 24 clips have no label"):
            evaluate_loso(small(clips), unlabelled, progress=False)

    def test_clips_that_the_network_cannot_read(self, clips):
        with pytest.raises(ValueError, match="32x32 px but the model reads 64x64"):
            evaluate_loso(small(clips, size=64), clips, progress=False)
        flow = clips.flow.copy()
        flow[0] = np.nan
        with pytest.raises(ValueError, match="holds NaN or infinity, such as 'tiny0_s00_c00'"):
            evaluate_loso(small(clips), replace(clips, flow=flow), progress=False)

    def test_one_subject(self, clips):
        with pytest.raises(ValueError, match="at least 2 subjects"):
            evaluate_loso(small(clips), clips.where(subject="00"), progress=False)

    def test_folds_that_share_a_person_test_twice_or_name_strangers(self, clips):
        ids = clips.table["clip_id"].tolist()
        go = partial(evaluate_folds, small(clips), clips, training=QUICK, n_jobs=1, progress=False)
        with pytest.raises(ValueError, match="has tiny/00 on both sides; a network that has seen a person"):
            go(folds=[Fold("x", tuple(ids[:5]), tuple(ids[5:6]))])
        with pytest.raises(ValueError, match="tests 6 clips that an earlier fold tests"):
            go(folds=[Fold("x", tuple(ids[6:]), tuple(ids[:6])), Fold("y", tuple(ids[12:]), tuple(ids[:12]))])
        with pytest.raises(ValueError, match=r"1 clips of .* are not among the 24 clips, such as 'nobody'"):
            go(folds=[Fold("x", ("nobody",), tuple(ids[:6]))])
        with pytest.raises(ValueError, match="tests no clip"):
            go(folds=[Fold("x", tuple(ids[6:]), ())])
        with pytest.raises(ValueError, match="no folds"):
            go(folds=[])


def test_own_folds_score_only_what_they_test(clips):
    ids = np.array(clips.table["clip_id"])
    half = Fold("second half", tuple(ids[:12]), tuple(ids[12:]))
    found = evaluate_folds(small(clips), clips, folds=[half], training=QUICK, n_jobs=1, progress=False)
    assert found.predictions.table["clip_id"].tolist() == ids[12:].tolist()
    assert found.folds["held_out"].tolist() == ["second half"]
    assert found.floor.n_clips == 12
    assert json.dumps(found.predictions.source)  # can be saved


def test_clips_without_coded_aus_have_the_majority_as_their_floor(clips):
    bare = replace(clips, table=clips.table.drop(columns=["action_units", "AU1", "AU12", "AU14"]))
    found = evaluate_loso(small(bare), bare, training=QUICK, n_jobs=1, progress=False)
    assert found.floor.n_unknown == 24
    assert found.predictions.au_logits is None


@pytest.fixture(scope="module")
def of_the_subject():
    """Every clip of a person has that person's label."""
    clips = tiny_clips(n_subjects=24, clips_per_subject=4)
    mood = np.random.default_rng(5).permutation(np.repeat(["happiness", "others"], 12))
    return relabelled(clips, label=mood[clips.table["subject"].astype(int)])


class TestCanaries:
    """What cannot be learned of a person never seen must not be scored."""

    @staticmethod
    def nearest(train, test):
        """The label of the most alike training clip: a probe that knows faces by heart."""
        flat = [c.frames[:, 0].reshape(len(c), -1).astype(float) for c in (train, test)]
        distance = (flat[1] ** 2).sum(1)[:, None] - 2 * flat[1] @ flat[0].T + (flat[0] ** 2).sum(1)
        return train.table["label"].to_numpy()[distance.argmin(axis=1)]

    def score(self, clips, folds):
        said = [
            (clips.select(f.test).table["label"], self.nearest(clips.select(f.train), clips.select(f.test)))
            for f in folds
        ]
        return accuracy(np.concatenate([t for t, _ in said]), np.concatenate([p for _, p in said]))

    def test_labels_of_the_subject_alone_score_at_chance_by_subject_and_perfectly_by_clip(self, of_the_subject):
        clips = of_the_subject
        by_subject = self.score(clips, leave_one_subject_out(clips.table))
        assert abs(by_subject - 0.5) < 2 * np.sqrt(0.25 / 24)
        ids = np.array(clips.table["clip_id"])
        by_clip = [Fold(str(i), tuple(ids[np.arange(96) % 4 != i]), tuple(ids[i::4])) for i in range(4)]
        assert self.score(clips, by_clip) == 1.0  # the leak that a split by clip would be
        with pytest.raises(ValueError, match="on both sides"):
            evaluate_folds(small(clips), clips, folds=by_clip, progress=False)

    def test_a_network_that_learns_its_persons_by_heart_scores_at_chance_on_a_new_one(self, tmp_path):
        clips = tiny_clips(n_subjects=8)
        generator = np.random.default_rng(5)
        who = clips.table["subject"].astype(int)
        mood = generator.permutation(np.repeat(["happiness", "others"], 4))
        birthmark = np.kron(generator.normal(0, 1, (8, 4, 4, 2)), np.ones((1, 8, 8, 1))).astype(np.float32)
        marked = replace(relabelled(clips, label=mood[who]), flow=clips.flow + birthmark[who])
        training = TrainConfig(epochs=8, batch_size=8, learning_rate=0.01, mirror=False, max_shift=0)
        folder = tmp_path / "run"
        found = evaluate_loso(small(marked), marked, training=training, n_jobs=1, folder=folder, progress=False)
        learned = [json.loads((folder / f"fold_{n:03d}" / "fold.json").read_text())["epochs"] for n in range(8)]
        assert min(epochs["accuracy"][-1] for epochs in learned) > 0.95
        # A person's clips are right or wrong together: eight tosses of a coin, not forty-eight. And with the classes
        # balanced over persons, whoever is left out belongs to the rarer one, so that less than one half is expected.
        assert found.scores()["value"].iloc[0] < 0.5 + np.sqrt(0.25 / 8)
