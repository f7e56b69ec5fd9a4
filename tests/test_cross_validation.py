"""Cross-validation and its audit: the same everywhere, resumable, honest about failures, at chance where it must be."""

import json
import os
import pickle
import shutil
from dataclasses import replace
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib.parallel import ThreadingBackend
from slow_cases import mostly_slow
from tiny_clips import tiny_clips

import medn_lab.evaluate.folds as folds_module
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
    selection_audit,
)
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.records import Clips, Predictions
from medn_lab.train import TrainConfig, fit

QUICK = TrainConfig(epochs=1, batch_size=8, seed=3)
HERE = {"training": QUICK, "n_jobs": 1, "progress": False}


def small(clips, **changes):
    """The smallest network that reads the clips' flow."""
    return MEDNConfig.for_clips(clips, **{"dim": 16, "branches": "motion"} | changes)


def relabelled(clips, **columns):
    return replace(clips, table=clips.table.assign(**columns))


def loso(clips, **options):
    return evaluate_loso(small(clips), clips, **HERE | options)


@pytest.fixture(scope="module")
def finished(clips, tmp_path_factory):
    """A folder of a whole run, and its result."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, loso(clips, folder=folder)


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of the finished folder, free to be damaged."""
    return shutil.copytree(finished[0], tmp_path / "run")


@pytest.fixture(scope="module")
def serial(finished):
    return finished[1]


def same(one, other):
    """Whether two cross-validations are equal in every clip, to the last bit."""
    a, b = one.predictions, other.predictions
    return (
        np.array_equal(a.logits, b.logits)
        and np.array_equal(a.au_logits, b.au_logits)
        and np.array_equal(a.fold, b.fold)
        and a.table.to_csv() == b.table.to_csv()
        and a.source == b.source
        and one.folds.drop(columns="seconds").to_csv() == other.folds.drop(columns="seconds").to_csv()
    )


class TestTheResult:
    def test_every_clip_is_predicted_once_by_a_network_that_did_not_see_its_subject(self, clips, serial):
        pooled = serial.predictions
        assert pooled.table["clip_id"].tolist() == clips.table["clip_id"].tolist()
        for number, row in serial.folds.iterrows():
            own = pooled.select(pooled.table["clip_id"][pooled.fold == number])
            assert own.table["subject"].unique().tolist() == [row["subject"]]
            assert (row["held_out"], row["n_train"], row["n_test"]) == (f"tiny/{row['subject']}", 18, 6)
            assert row["accuracy"] == accuracy(own.table["label"], own.predicted)
            assert row["n_happiness"] + row["n_others"] == 6

    def test_a_fold_is_the_training_that_one_would_do_by_hand(self, clips, serial):
        fold = leave_one_subject_out(clips.table)[2]
        model = MEDN(small(clips), seed=QUICK.seed)
        fit(model, clips.select(fold.train), training=QUICK, progress=False)
        assert np.array_equal(
            predict(model, clips.select(fold.test)).logits, serial.predictions.select(fold.test).logits
        )
        assert serial.predictions.source["sha256"][fold.held_out] == weights_sha256(model)

    def test_the_scores_are_those_of_the_pooled_predictions_beside_the_floor(self, serial):
        scores = serial.scores().set_index("measure")
        found = bootstrap_interval(serial.predictions)
        assert tuple(scores.loc["accuracy", ["value", "low", "high"]]) == (found.value, found.low, found.high)
        assert scores.loc["UF1", "floor"] == pytest.approx(serial.floor.uf1)
        other = serial.scores(level=0.5, n_resamples=100, seed=1).set_index("measure")
        assert other.loc["accuracy", "low"] > scores.loc["accuracy", "low"]
        for part in ("leave one subject out", "4 of 4 folds", "24 clips of 4 subjects", "UF1", "UAR", "AU-only floor"):
            assert part in repr(serial)

    def test_a_repr_runs_no_bootstrap_and_a_record_made_again_runs_one(self, serial, monkeypatch):
        again, made = replace(serial), []
        monkeypatch.setattr(
            np.random, "default_rng", lambda seed, own=np.random.default_rng: made.append(1) or own(seed)
        )
        assert "[" in repr(serial)
        assert serial.scores().equals(serial.scores())
        assert not made
        assert repr(again) == repr(again) == repr(serial)
        assert len(made) == 1

    def test_own_folds_score_only_what_they_test(self, clips):
        ids = clips.table["clip_id"].tolist()
        half = Fold("second half", tuple(ids[:12]), tuple(ids[12:]))
        found = evaluate_folds(small(clips), clips, folds=[half], **HERE)
        assert found.predictions.table["clip_id"].tolist() == ids[12:]
        assert found.folds["held_out"].tolist() == ["second half"]
        assert found.floor.n_clips == 12
        assert json.dumps(found.predictions.source)  # can be saved

    def test_two_folds_of_one_name_keep_their_weights_apart(self, clips):
        folds = [replace(fold, held_out="held out") for fold in leave_one_subject_out(clips.table)[:2]]
        source = evaluate_folds(small(clips), clips, folds=folds, **HERE).predictions.source
        assert list(source["sha256"]) == ["held out (fold 0)", "held out (fold 1)"]

    def test_clips_without_coded_aus_have_the_majority_as_their_floor(self, clips):
        bare = replace(clips, table=clips.table.drop(columns=["action_units", "AU1", "AU12", "AU14"]))
        found = loso(bare)
        assert found.floor.n_unknown == 24
        assert found.predictions.au_logits is None


SENT: list[int] = []


class Sending(ThreadingBackend):
    """A joblib backend that pickles each task as for another machine, and like Ray returns all results at once."""

    supports_return_generator = False

    def submit(self, func, callback=None):
        sent = pickle.dumps(func)
        SENT.append(len(sent))
        return super().submit(pickle.loads(sent), callback)


class TestWorkers:
    @pytest.mark.parametrize("backend", mostly_slow(["threading", "loky"]))
    def test_the_backend_of_joblibs_context_gives_the_same_predictions(self, clips, serial, backend):
        with joblib.parallel_config(backend=backend):
            assert same(serial, loso(clips, n_jobs=2))

    def test_a_prepared_set_is_sent_by_name_and_a_part_of_one_as_it_is(self, clips, serial, tmp_path):
        prepared = Clips.load(clips.save(tmp_path / "set"))
        joblib.register_parallel_backend("sending", Sending)
        with joblib.parallel_config(backend="sending"):
            assert same(serial, loso(prepared, n_jobs=2))
            assert len(SENT) == 4
            assert max(SENT) < 50_000 < prepared.frames.nbytes
            part = Clips(prepared.frames[6:], prepared.flow[6:], prepared.table[6:])
            assert len(loso(part, n_jobs=2).predictions) == 18
        assert SENT[-1] > part.flow.nbytes

    def test_a_fold_has_one_thread(self, finished):
        stored = Predictions.load(finished[0] / "fold_001" / "last_epoch")
        assert stored.source["run"]["threads"] == 1
        assert np.array_equal(stored.logits, finished[1].predictions.select(stored.table["clip_id"]).logits)

    @pytest.mark.slow
    def test_a_worker_that_is_killed_leaves_a_sentence(self, clips):
        deadly = replace(clips, recipe={"corpus": Deadly()})
        with joblib.parallel_config(backend="loky"), pytest.raises(ValueError, match="a worker process was killed"):
            loso(deadly, n_jobs=2)


class Deadly:
    """Ends every process that unpickles it."""

    def __reduce__(self):
        return os._exit, (1,)


class TestResuming:
    def test_with_half_of_the_folds_gone_the_results_are_identical(self, clips, serial, folder, capsys):
        untouched = (folder / "fold_000" / "fold.json").stat().st_mtime_ns
        for number in (1, 3):
            shutil.rmtree(folder / f"fold_{number:03d}")
        (folder / ".fold_001.half").mkdir()  # what a kill leaves of a fold that was being written
        assert same(serial, loso(clips, folder=folder, progress=True))
        assert (folder / "fold_000" / "fold.json").stat().st_mtime_ns == untouched
        assert "2/4" in capsys.readouterr().err  # the bar begins where the work does

    def test_after_a_break_in_the_middle_the_results_are_identical(self, clips, serial, tmp_path, monkeypatch):
        calls = []

        def breaking(*args, **kwargs):
            calls.append(fit(*args, **kwargs))
            return replace(calls[-1], status="interrupted") if len(calls) == 3 else calls[-1]

        monkeypatch.setattr(folds_module, "fit", breaking)
        with pytest.raises(KeyboardInterrupt):
            loso(clips, folder=tmp_path / "run")
        # The fold that was interrupted half-trained is not kept.
        assert {path.name for path in (tmp_path / "run").iterdir()} == {"run.json", "fold_000", "fold_001"}
        assert same(serial, loso(clips, folder=tmp_path / "run"))

    def test_another_run_is_refused_and_what_differs_is_named(self, clips, folder):
        flow = clips.flow.copy()
        flow[5, 3, 3, 0] += 1e-3
        for changed, config, training, differing in (
            (clips, small(clips), replace(QUICK, epochs=3), r"training \(epochs\);"),
            (clips, small(clips, dim=24), QUICK, r"model \(dim\);"),
            (replace(clips, flow=flow), small(clips), QUICK, "clips;"),
            (clips.select(clips.table["clip_id"][:18]), small(clips), QUICK, "clips, folds;"),
        ):
            with pytest.raises(ValueError, match=rf"another {differing}"):
                evaluate_loso(config, changed, **HERE | {"training": training, "folder": folder})

    def test_a_folder_with_something_else_is_left_alone_and_one_of_a_kill_is_used(self, clips, serial, tmp_path):
        (tmp_path / "thesis.txt").write_text("chapter 1")
        with pytest.raises(FileExistsError, match="nothing was written"):
            loso(clips, folder=tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "run.json.new").write_text("{")  # a kill before the first fold
        assert same(serial, loso(clips, folder=tmp_path / "run"))

    def test_a_damaged_fold_is_refused_by_name_and_one_without_a_checksum_is_made_again(self, clips, serial, folder):
        changed, old = (folder / name / "fold.json" for name in ("fold_001", "fold_003"))
        whole = changed.read_text()
        for text in ("{", whole.replace('"seconds": ', '"seconds": 1')):
            changed.write_text(text)
            with pytest.raises(ValueError, match=r"fold_001 cannot be read .* remove that folder"):
                loso(clips, folder=folder)
        changed.write_text(whole)
        (old.parent / "fold.sha256").unlink()
        before = changed.stat().st_mtime_ns, old.stat().st_mtime_ns
        assert same(serial, loso(clips, folder=folder))
        assert changed.stat().st_mtime_ns == before[0]
        assert old.stat().st_mtime_ns > before[1]
        assert (old.parent / "fold.sha256").read_text().endswith("  fold.json\n")


class TestFailures:
    def test_a_fold_that_fails_is_reported_with_its_kind_and_the_others_finish(self, clips, monkeypatch):
        def failing(model, trained, **how):
            if "02" not in set(trained.table["subject"]):
                raise RuntimeError("no room\nfor this")
            return fit(model, trained, **how)

        monkeypatch.setattr(folds_module, "fit", failing)
        found = loso(clips)
        assert found.folds["error"].tolist() == ["", "", "RuntimeError: no room for this", ""]
        assert found.folds["accuracy"].isna().tolist() == [False, False, True, False]
        assert len(found.predictions) == found.floor.n_clips == 18
        for part in ("3 of 4 folds", "failed: tiny/02 (RuntimeError", "6 clips of 1 failed folds"):
            assert part in repr(found)

    def test_one_class_to_train_fails_a_fold_and_where_every_fold_fails_the_reason_is_raised(self, clips):
        first = clips.table["subject"] == "01"
        labelled = relabelled(clips, label=np.where(first, clips.table["label"], "others"))
        with pytest.warns(UserWarning, match="happiness"):
            found = loso(labelled)
        assert (
            found.folds["error"].str.startswith("all 18 training clips are of others").tolist()
            == [False, True] + [False] * 2
        )
        two = clips.where(subject=["00", "01"])
        labelled = relabelled(two, label=two.table["subject"].map({"00": "a", "01": "b"}))
        with (
            pytest.warns(UserWarning, match="no training clip is of a, b"),
            pytest.raises(ValueError, match="none of 2 folds finished: all 6 training clips are of b"),
        ):
            loso(labelled)

    @pytest.mark.parametrize("rows", mostly_slow([[7], list(range(6, 12))]))
    def test_clips_whose_class_no_other_subject_shows_are_scored_as_wrong(self, clips, rows):
        labels = clips.table["label"].where(~clips.table.index.isin(rows), "surprise")
        with pytest.warns(UserWarning, match=r"surprise.*unseen_classes='leave_out'"):
            found = loso(relabelled(clips, label=labels))
        assert (found.folds["error"] == "").all()
        assert found.folds["n_unseen"].tolist() == [0, len(rows), 0, 0]
        assert found.folds["unseen"].tolist() == ["", "surprise", "", ""]
        pooled = found.predictions
        own = pooled.table["label"] == "surprise"
        assert (len(pooled), own.sum()) == (24, len(rows))
        assert not (pooled.predicted[own] == "surprise").any()
        assert np.isfinite(pooled.logits).all()
        assert pooled.probabilities[own, pooled.classes.index("surprise")].max() < 1e-20
        assert found.scores()["value"][0] == pytest.approx((pooled.predicted == labels).mean())
        for text in (repr(found), *evaluation_summary(found).notes[-1:]):
            assert "as wrong: no training clip is of surprise" in text

    def test_such_a_class_can_be_left_out(self, clips):
        labelled = relabelled(clips, label=clips.table["label"].where(clips.table.index != 7, "surprise"))
        found = loso(labelled, unseen_classes="leave_out")
        assert found.predictions.classes == ("happiness", "others")
        assert len(found.predictions) == 23
        assert found.dropped["clip_id"].tolist() == ["tiny0_s01_c01"]
        assert found.dropped["reason"].str.len().gt(10).all()
        assert found.folds["n_unseen"].sum() == 0
        assert "as wrong" not in repr(found)
        folds = leave_one_subject_out(labelled.table)
        again = evaluate_folds(small(labelled), labelled, folds=folds, unseen_classes="leave_out", **HERE)
        assert (again.predictions.logits == found.predictions.logits).all()
        with pytest.raises(ValueError, match="unseen_classes"):
            loso(labelled, unseen_classes="drop")

    def test_warnings_of_folds_and_of_doubles_are_given_once(self, clips):
        flow_alone = replace(clips, frames=None)
        with pytest.warns(UserWarning, match="the clips have no frames") as caught:
            evaluate_loso(small(clips, branches="both"), flow_alone, **HERE)
        assert len(caught) == 1
        flow, frames = clips.flow.copy(), clips.frames.copy()
        flow[6], frames[6] = flow[0], frames[0]
        with pytest.warns(UserWarning, match=r"tiny0_s00_c00.*tiny0_s01_c00"):
            loso(replace(clips, flow=flow, frames=frames))


@pytest.fixture(scope="module")
def composite(clips):
    """Two data sets of two persons each, both numbered 00 and 01, in emotions that MEGC 2019 joins."""
    second = clips.table["subject"].isin(["02", "03"])
    words = clips.table["label"].replace({"others": "repression"})
    table = clips.table.assign(
        dataset=np.where(second, "samm", "casme2"),
        subject=clips.table["subject"].replace({"02": "00", "03": "01"}),
        emotion=words.where(~second, clips.table["label"].replace({"others": "anger"})),
    ).drop(columns="label")
    table.loc[table.index[:2], "emotion"] = "others"  # which the protocol drops
    return replace(clips, table=table)


class TestSeveralDataSets:
    def test_the_same_number_in_two_data_sets_is_two_persons(self, composite):
        config = MEDNConfig(classes=("a", "b"), aus=composite.aus, size=32, dim=16, branches="motion")
        found = evaluate_loso(config, composite, protocol="megc2019", **HERE)
        pooled, scores = found.predictions, found.scores()
        assert found.folds["held_out"].tolist() == ["casme2/00", "casme2/01", "samm/00", "samm/01"]
        assert pooled.classes == ("negative", "positive")  # no clip is of surprise
        assert (pooled.protocol, len(pooled)) == ("megc2019", 22)
        assert found.dropped["reason"].tolist() == ["emotion 'others' of casme2 is in no class of megc2019"] * 2
        assert scores["part"].unique().tolist() == ["all", "casme2", "samm"]
        part = pooled.select(pooled.table.query("dataset == 'samm'")["clip_id"])
        row = scores.query("part == 'samm' and measure == 'accuracy'").iloc[0]
        assert row["value"] == accuracy(part.table["label"], part.predicted)
        assert "samm (12 clips, 2 subjects)" in repr(found)

    def test_across_data_sets_each_is_tested_by_the_others(self, composite):
        config = MEDNConfig(aus=composite.aus, size=32, dim=16, branches="motion")
        found = evaluate_cross_dataset(config, composite, protocol="megc2019", **HERE)
        assert found.folds["held_out"].tolist() == ["casme2", "samm"]
        assert found.folds["n_train"].tolist() == [12, 10]
        assert found.folds["subject"].tolist() == ["", ""]
        model = MEDN(replace(config, classes=("negative", "positive")), seed=QUICK.seed)
        kept = composite.with_table(found.predictions.table)
        fit(model, kept.where(dataset="samm"), training=QUICK, progress=False)
        by_hand = predict(model, kept.where(dataset="casme2"))
        assert np.array_equal(by_hand.logits, found.predictions.select(by_hand.table["clip_id"]).logits)


class TestWhatIsRefused:
    def test_labels_clips_and_subjects_that_do_not_fit(self, clips):
        flow = clips.flow.copy()
        flow[0] = np.nan
        unlabelled = relabelled(clips, label=clips.table["label"].where(clips.table.index > 2))
        for given, config, options, fact in (
            (clips, {"classes": ("fear", "others")}, {}, r"happiness.*no clip is of fear"),
            (clips, {}, {"label": "mood"}, "'mood'"),
            (clips, {}, {"label": "emotion", "protocol": "synthme_5class"}, "label='emotion'"),
            (unlabelled, {"classes": ("happiness", "others")}, {}, "3 of 24 clips"),
            (clips, {"size": 64}, {}, "32x32 px.*64x64"),
            (replace(clips, flow=flow), {}, {}, "tiny0_s00_c00"),
            (clips.where(subject="00"), {}, {}, "2 subjects"),
        ):
            with pytest.raises(ValueError, match=fact):
                evaluate_loso(small(clips, **config), given, **HERE | options)

    def test_folds_that_share_a_person_test_twice_or_name_strangers(self, clips):
        ids = tuple(clips.table["clip_id"])
        for folds, fact in (
            ([Fold("x", ids[:5], ids[5:6])], "tiny/00 on both sides"),
            ([Fold("x", ids[6:], ids[:6]), Fold("y", ids[12:], ids[:12])], "tests 6 clips"),
            ([Fold("x", ("nobody",), ids[:6])], r"1 clips of .* 24 clips, such as 'nobody'"),
            ([Fold("x", ids[6:], ())], "tests no clip"),
            ([], "no folds"),
        ):
            with pytest.raises(ValueError, match=fact):
                evaluate_folds(small(clips), clips, folds=folds, **HERE)

    def test_too_few_data_sets_or_subjects_and_a_share_out_of_range(self, clips):
        for call, fact in (
            (lambda: evaluate_cross_dataset(small(clips), clips, **HERE), "at least 2 data sets"),
            (lambda: leave_one_dataset_out(clips.table[["clip_id", "subject"]]), "no column dataset"),
            (lambda: selection_audit(small(clips), clips.where(subject=["00", "01"]), **HERE), "at least 3 subjects"),
            (lambda: selection_audit(small(clips), clips, validation_share=1, **HERE), r"validation_share.*1"),
        ):
            with pytest.raises(ValueError, match=fact):
                call()


class TestCanaries:
    """What cannot be learned of a person never seen must not be scored."""

    @pytest.mark.slow
    def test_a_network_that_learns_its_persons_by_heart_scores_at_chance_on_a_new_one(self, tmp_path):
        clips, generator = tiny_clips(n_subjects=8, clips_per_subject=4), np.random.default_rng(5)
        who = clips.table["subject"].astype(int)
        mood = generator.permutation(np.repeat(["happiness", "others"], 4))
        birthmark = np.kron(generator.normal(0, 1, (8, 4, 4, 2)), np.ones((1, 8, 8, 1))).astype(np.float32)
        marked = replace(relabelled(clips, label=mood[who]), flow=clips.flow + birthmark[who])
        training = TrainConfig(epochs=8, batch_size=8, learning_rate=0.01, mirror=False, max_shift=0)
        found = loso(marked, training=training, folder=tmp_path / "run")
        notes = [json.loads((tmp_path / "run" / f"fold_{n:03d}" / "fold.json").read_text()) for n in range(8)]
        assert min(note["epochs"]["accuracy"][-1] for note in notes) > 0.95
        # A person's clips are right or wrong together: eight tosses of a coin, not thirty-two. And with the classes
        # balanced over persons, the person left out belongs to the rarer one: less than one half is expected.
        assert found.scores()["value"].iloc[0] < 0.5 + np.sqrt(0.25 / 8)


AUDITED = TrainConfig(epochs=6, batch_size=8, learning_rate=0.01, seed=1)


@pytest.fixture(scope="module")
def unrelated():
    """Labels that no input knows: every score above one half was chosen, not learned."""
    clips = tiny_clips(n_subjects=6)
    return relabelled(clips, label=np.random.default_rng(0).permutation(clips.table["label"].to_numpy()))


@pytest.fixture(scope="module")
def go(unrelated, tmp_path_factory):
    options = HERE | {"training": AUDITED, "folder": tmp_path_factory.mktemp("audit") / "run"}
    return partial(selection_audit, small(unrelated), unrelated, **options)


@pytest.fixture(scope="module")
def audit(go):
    return go()


class TestAudit:
    """Three rules of choosing the epoch on one training, and how much choosing alone can give."""

    @staticmethod
    def by_fold(audit, rule):
        pooled = audit.predictions[rule]
        return pd.Series(pooled.predicted == pooled.table["label"].to_numpy(dtype=object)).groupby(pooled.fold).mean()

    @pytest.mark.slow
    def test_choosing_on_the_test_is_never_worse_and_finds_skill_in_random_labels(self, audit):
        for rule in ("last_epoch", "validation"):
            assert (self.by_fold(audit, "best_on_test") >= self.by_fold(audit, rule)).all()
        rows = audit.table[audit.table["measure"] == "accuracy"].set_index("rule")
        gain = rows.loc["best_on_test", "value"] - rows.loc["last_epoch", "value"]
        assert gain > 0.05
        assert audit.gain.p < 0.05
        assert audit.gain.low > -0.1  # six persons leave an interval over persons wide
        assert audit.gain.difference == pytest.approx(gain)
        assert rows["optimistic"].to_dict() == {"last_epoch": False, "validation": False, "best_on_test": True}
        last = audit.predictions["last_epoch"]
        assert rows.loc["last_epoch", "value"] == accuracy(last.table["label"], last.predicted)
        assert rows.loc["last_epoch", "floor"] == audit.floor.accuracy
        for part in ("6 of 6 folds", "36 clips", "6 epochs", "20% of its subjects kept back", "test alone gives +"):
            assert part in repr(audit)
        assert repr(audit).count("OPTIMISTIC") == 1
        assert repr(audit).index("best on the held-out subject") < repr(audit).index("OPTIMISTIC")

    @pytest.mark.slow
    def test_each_rule_takes_the_epoch_that_its_curve_names(self, audit):
        columns = {"validation": "validation_accuracy", "best_on_test": "held_out_accuracy"}
        for number, epochs in audit.epochs.groupby("fold"):
            row, curves = audit.chosen.set_index("fold").loc[number], epochs.set_index("epoch")
            assert row["last_epoch"] == 6
            for rule in audit.predictions:
                if rule in columns:
                    assert row[rule] == curves[columns[rule]].idxmax()  # the first of equals
                assert self.by_fold(audit, rule)[number] == curves["held_out_accuracy"][row[rule]]

    @pytest.mark.slow
    def test_a_fold_of_the_audit_is_the_training_without_the_subjects_kept_back(self, unrelated, audit):
        fold = leave_one_subject_out(unrelated.table)[3]
        own = audit.epochs[audit.epochs["fold"] == 3]
        train = unrelated.select(fold.train)
        accuracies = []
        for person in sorted(set(train.table["subject"])):  # one of five is kept back; which one is drawn by the seed
            back = train.where(subject=person)
            model = MEDN(small(unrelated), seed=AUDITED.seed)
            others = train.where(subject=sorted(set(train.table["subject"]) - {person}))
            history = fit(model, others, training=AUDITED, validation=back, progress=False)
            logits = predict(model, unrelated.select(fold.test)).logits
            if np.array_equal(logits, audit.predictions["last_epoch"].select(fold.test).logits):
                accuracies.append(history.table["validation_accuracy"].tolist())
        assert accuracies == [pytest.approx(own["validation_accuracy"].tolist())]
        assert (own["n_validation"] == 6).all()

    @pytest.mark.slow
    def test_a_resumed_audit_is_identical_and_another_one_is_refused(self, go, audit):
        again = go()
        assert again.table.equals(audit.table)
        assert again.epochs.equals(audit.epochs)
        for rule, pooled in audit.predictions.items():
            assert np.array_equal(pooled.logits, again.predictions[rule].logits)
        with pytest.raises(ValueError, match="another validation_share"):
            go(validation_share=0.4)

    @pytest.mark.slow
    def test_subjects_are_kept_back_so_that_every_class_still_trains(self, unrelated):
        # Only two persons of six show the third class; many draws of two persons of five take the last of them.
        table = unrelated.table
        rare = table["subject"].isin(["01", "02"]) & (table.index % 3 == 0)
        labelled = relabelled(unrelated, label=table["label"].where(~rare, "surprise"))
        once = HERE | {"training": replace(AUDITED, epochs=1)}
        found = selection_audit(small(labelled), labelled, validation_share=0.4, **once)
        assert (found.folds["error"] == "").all()
        labelled = relabelled(unrelated, label=table["label"].where(~table["subject"].isin(["03", "04"]), "surprise"))
        with pytest.raises(ValueError, match="takes a whole class"):
            selection_audit(small(labelled), labelled, validation_share=0.99, **once)

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore:in some folds no training clip is of surprise")
    def test_a_fold_whose_training_lacks_a_class_scores_its_clips_as_wrong(self, unrelated):
        alone = unrelated.table["subject"] == "04"
        labelled = relabelled(unrelated, label=unrelated.table["label"].where(~alone, "surprise"))
        found = selection_audit(small(labelled), labelled, **HERE | {"training": replace(AUDITED, epochs=1)})
        assert (found.folds["error"] == "").all()
        assert found.folds["n_unseen"].tolist() == [0, 0, 0, 0, 6, 0]
        assert found.folds.set_index("held_out").loc["tiny/04", "accuracy"] == 0
        for pooled in found.predictions.values():
            assert len(pooled) == 36
            assert not (pooled.predicted == "surprise")[(pooled.table["subject"] == "04")].any()
