"""A result is made again from what it says about itself: in a fresh process and to the last bit, where that can be."""

import dataclasses
import getpass
import inspect
import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from functools import cache

import joblib
import numpy as np
import pytest
import torch
from tiny_clips import tiny_clips

import medn_lab as medn
from medn_lab.data.protocols import Fold
from medn_lab.diagnose import aligned_umap, decoupling_report, gradient_shap, kept_tokens, umap
from medn_lab.evaluate import (
    bootstrap_interval,
    evaluate_cross_dataset,
    evaluate_folds,
    evaluate_loso,
    extract_features,
    predict,
    selection_audit,
)
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.records import BranchFeatures, History, run_record
from medn_lab.rerunning import AGAIN
from medn_lab.train import Callback, TrainConfig

NAME = "medn_tiny.synthme_v2"
ONE = TrainConfig(epochs=1, batch_size=4)
THREE = TrainConfig(epochs=3, batch_size=4, seed=2)

INPUTS = {
    "Clips": "what comes in; rerun draws them itself",
    "ClipIndex": "what a reader found in a folder",
    "Truth": "a part of drawn clips",
}
"""Records that are saved and are no results, and why."""


@pytest.fixture(scope="module", autouse=True)
def _each_corpus_drawn_once():
    """The test in a fresh process draws for itself; the others test what is done with the clips."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("medn_lab.rerunning.synthme.synthetic_clips", cache(medn.synthetic_clips))
        yield


@pytest.fixture(scope="module")
def clips():
    drawn = medn.synthetic_clips(n_subjects=3, clips_per_subject=4, size=64, seed=4, n_jobs=1)
    return drawn.with_table(drawn.table.assign(label=drawn.table["emotion"]))


@pytest.fixture(scope="module")
def two(clips):
    """The same clips with two classes that no recipe names, in another order."""
    table = clips.table.assign(label=np.where(np.arange(len(clips)) % 2, "others", "happiness"))
    return clips.with_table(table.iloc[::-1])


@pytest.fixture(scope="module")
def config(two):
    return MEDNConfig.for_clips(two, dim=16, branches="motion", decoupling="none")


@pytest.fixture(scope="module")
def pretrained():
    return medn.load_pretrained(NAME)


@pytest.fixture(scope="module")
def predictions(clips, pretrained):
    return predict(pretrained, clips)


@pytest.fixture(scope="module")
def features(clips, pretrained):
    return extract_features(pretrained, clips)


@pytest.fixture(scope="module")
def by_hand(clips):
    """Features without a run record."""
    return BranchFeatures(*np.random.default_rng(0).normal(size=(3, 12, 4)), clips.table)


@pytest.fixture(scope="module")
def trained(config, two):
    """A network trained on nine clips with three for validation, and its history."""
    ids = two.table["clip_id"]
    model = MEDN(config, seed=5)
    history = medn.fit(model, two.select(ids[:9]), training=THREE, validation=two.select(ids[9:]), progress=False)
    return model, history


@pytest.fixture(scope="module")
def folds(two, config):
    return evaluate_loso(config, two, training=ONE, n_jobs=1, progress=False)


@pytest.fixture(scope="module")
def report(features):
    other = medn.synthetic_clips(n_subjects=2, clips_per_subject=5, seed=9, n_jobs=1)
    other = extract_features(medn.load_pretrained("medn_tiny_coupled.synthme_v2"), other)
    relabelled = replace(features, table=features.table.assign(label=np.where(np.arange(12) % 3, "a", "b")))
    return decoupling_report(
        {"bottleneck": relabelled, "coupled": other}, n_permutations=9, n_shuffles=2, targets=["emotion", "aus"],
        n_exchanges=19, readers=["ridge"], seed=6,
    )  # fmt: skip


def rerun(record, **given):
    return medn.rerun(record, progress=False, **given)


def with_source(record, **changes):
    return replace(record, source={**record.source, **changes})


def with_run(record, **changes):
    return with_source(record, run={**record.source["run"], **changes})


@pytest.mark.slow
def test_a_fresh_process_makes_every_kind_of_result_again_to_the_last_bit(
    clips, two, config, pretrained, predictions, features, trained, folds, report, tmp_path
):
    model, history = trained
    model.save_pretrained(tmp_path / "mine")
    ids = tuple(two.table["clip_id"])
    own_folds = [Fold("first", ids[4:10], ids[:4]), Fold("others", ids[:4], ids[4:])]
    kinds = {
        "predictions": predictions,
        "selected": predictions.select(predictions.table["clip_id"][7:2:-1]),
        "own": predict(model, two),
        "folds": folds.predictions,
        "given": evaluate_folds(config, two, folds=own_folds, training=ONE, n_jobs=1, progress=False).predictions,
        "features": features,
        "history": history,
        "map": umap(features, method="pca"),
        "attribution": gradient_shap(pretrained, clips, target="happiness", n_samples=2, seed=3),
        "kept": kept_tokens(pretrained, clips, truth=clips.truth),
        "report": report,
    }
    for name, record in kinds.items():
        record.save(tmp_path / name)
    script = (
        "import json, pathlib, sys, medn_lab as medn\n"
        "root, *names = sys.argv[1:]\n"
        "for name in names:\n"
        "    folder = pathlib.Path(root, name)\n"
        "    kind = getattr(medn.records, json.loads((folder / 'record.json').read_text())['kind'])\n"
        "    model = pathlib.Path(root, 'mine') if name == 'own' else None\n"
        "    again = medn.rerun(kind.load(folder), model=model, progress=False)\n"
        "    print(name, again.identical, again.difference, dict(again.changed), again.notes)\n"
        "again = medn.rerun(medn.load_pretrained(pathlib.Path(root, 'mine')), progress=False)\n"
        "print('mine', again.identical, again.difference, dict(again.changed), again.notes)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), *kinds], capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{name} True 0.0 {{}} ()" for name in (*kinds, "mine")], done.stderr[-2000:]


class TestSourceOfARecord:
    def test_every_record_that_is_saved_has_a_source_or_is_an_input(self):
        saved = {name for name in medn.records.__all__ if hasattr(getattr(medn.records, name), "save")}
        results = [kind for kind in AGAIN if kind is not MEDN]
        assert saved == {kind.__name__ for kind in results} | set(INPUTS)
        for kind in results:
            assert "source" in {field.name for field in dataclasses.fields(kind)}, kind

    def test_the_repr_names_model_versions_clips_and_machine(
        self, clips, pretrained, predictions, features, trained, folds, report
    ):
        by = f"by {NAME} ({predictions.source['sha256'][:8]}), medn_lab {medn.__version__}, torch"
        made = [predictions, features, umap(features, method="pca"), kept_tokens(pretrained, clips), report]
        one = clips.select(clips.table["clip_id"][:1])
        for record in [*made, gradient_shap(pretrained, one, target="gate", n_samples=1)]:
            assert by in repr(record), type(record)
            assert "on SynthME seed 4" in repr(record), type(record)
        _, history = trained
        assert f"by MEDN, trained (seed 5) ({history.source['sha256'][:8]}), seed 2, medn_lab" in repr(history)
        assert "by MEDN, leave one subject out, seed 0, medn_lab" in repr(folds)
        assert f", {predictions.source['run']['hardware']['machine']}" in repr(predictions).replace("Linux ", "")

    def test_the_page_of_a_report_names_them_too(self, report, tmp_path):
        page = report.to_html(tmp_path / "report.html").read_text()
        for part in ("decoupling_report", report.source["models"]["coupled"]["sha256"], "hardware", "versions"):
            assert part in page

    def test_a_run_record_knows_no_path_and_no_name_of_the_machine(self, predictions, trained):
        text = repr(predictions.source["run"]) + repr(trained[1].source)
        assert os.getcwd() not in text
        assert platform.node() not in text or len(platform.node()) < 3
        assert f"'{getpass.getuser()}'" not in text


class TestComparison:
    def test_a_result_that_was_changed_is_not_identical(self, predictions):
        logits = predictions.logits.copy()
        logits[2, 1] += 0.25
        found = rerun(replace(predictions, logits=logits))
        assert not found.identical
        assert found.difference == pytest.approx(0.25, abs=1e-5)
        assert "not identical" in repr(found)
        assert "difference is 0.25" in repr(found)

    def test_equal_answers_are_counted_beside_the_numbers(self, predictions):
        same = rerun(replace(predictions, logits=predictions.logits * 2))
        assert (same.agreement, same.answers) == (1.0, (12, 12))
        assert same.difference > 1e-3
        assert "12 of 12 clips" in repr(same)
        logits = predictions.logits.copy()
        logits[:3, 0], logits[:3, 1] = -50, 50  # class 1
        logits[3, 0], logits[3, 1] = 50, -50
        changed = replace(predictions, logits=logits)
        expected = int((changed.predicted == predictions.predicted).sum())
        assert 8 <= expected < 12
        other = rerun(changed)
        assert other.agreement == expected / 12
        assert f"{expected} of 12 clips" in repr(other)

    def test_a_result_without_classes_has_no_agreement(self, features):
        found = rerun(replace(features, motion=features.motion + 1))
        assert (found.identical, found.agreement) == (False, None)
        assert "class" not in repr(found)

    @pytest.mark.parametrize(
        ("versions", "hardware", "unrecorded"),
        [
            (None, None, set()),
            (("python", "medn-lab"), None, {"torch", "numpy"}),
            (None, ("system",), {"processor", "cpus", "machine"}),
            ((), (), {"python", "torch", "processor"}),
        ],
    )
    def test_what_a_record_does_not_hold_is_named(self, predictions, versions, hardware, unrecorded):
        run = predictions.source["run"]
        kept = {
            part: {name: run[part][name] for name in names}
            for part, names in (("versions", versions), ("hardware", hardware))
            if names is not None
        }
        found = rerun(with_run(predictions, **kept))
        assert (found.identical, found.changed) == (True, {})
        assert unrecorded <= set(found.unrecorded)
        assert bool(found.unrecorded) == bool(unrecorded)
        assert ("versions and hardware are the same" in repr(found)) == (not unrecorded)
        assert all(name in repr(found).partition("not recorded: ")[2] for name in unrecorded)

    def test_versions_and_a_device_that_have_changed_or_are_not_recorded_are_named(self, features):
        run = features.source["run"]
        found = rerun(with_run(features, versions={**run["versions"], "torch": "1.0"}, device="cuda (H100)"))
        assert found.identical
        assert found.changed["torch"] == ("1.0", run["versions"]["torch"])
        assert found.changed["device"][0] == "cuda (H100)"
        assert "torch 1.0 -> " in repr(found)
        unknown = {name: value for name, value in run.items() if name != "device"}
        assert rerun(with_source(features, run=unknown)).unrecorded == ("device",)

    @pytest.mark.slow
    def test_a_rerun_takes_as_many_threads_as_the_run(self, clips, pretrained, monkeypatch):
        part, seen, forward = clips.select(clips.table["clip_id"][:2]), [], MEDN.forward
        monkeypatch.setattr(MEDN, "forward", lambda *args: (seen.append(torch.get_num_threads()), forward(*args))[1])
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(before + 1)
            made = predict(pretrained, part)
        finally:
            torch.set_num_threads(before)
        assert rerun(made, clips=part).identical
        assert seen == [before + 1, before + 1]
        assert torch.get_num_threads() == before


class TestWhatIsMissing:
    @pytest.mark.slow
    def test_clips_without_a_recipe_are_needed_and_must_be_the_same(self, predictions):
        mine = tiny_clips()
        own = with_source(predictions, recipe=dict(mine.recipe))
        with pytest.raises(ValueError, match=r"12 clips.*give the prepared set"):
            rerun(own)
        with pytest.raises(ValueError, match=r"12 of 12 clips.*'synthme4-s01-c01'"):
            rerun(own, clips=mine)
        other = medn.synthetic_clips(n_subjects=3, clips_per_subject=4, size=64, seed=4, cue_strength=0.5, n_jobs=1)
        with pytest.raises(ValueError, match=r"another recipe.*cue_strength"):
            rerun(predictions, clips=other)

    def test_a_part_of_a_run_needs_the_clips_of_the_run(self, clips, pretrained):
        some = clips.select(clips.table["clip_id"][:8])
        part = predict(pretrained, some).select(some.table["clip_id"][:3])
        with pytest.raises(ValueError, match="3 of the 8 clips"):
            rerun(part)
        assert rerun(part, clips=some).identical

    @pytest.mark.parametrize(
        ("changed", "fact"),
        [
            (lambda made, _: replace(made, source={}), "does not say how it was made"),
            (
                lambda made, _: with_source(made, run=run_record("evaluate_folds", table=made.table)),
                "evaluate_folds.*folds are not in this record",
            ),
            (lambda made, _: with_source(made, sha256="0" * 64), f"{NAME}.*other weights"),
            (lambda made, _: with_source(made, name="mine"), r"'mine'.*give"),
            (lambda _, folds: folds.predictions.select(folds.predictions.table["clip_id"][2:]), "2 of 12 clips"),
        ],
    )
    def test_predictions_that_cannot_be_made_again_name_what_is_missing(self, predictions, folds, changed, fact):
        with pytest.raises(ValueError, match=fact):
            rerun(changed(predictions, folds))

    def test_what_is_no_saved_result_or_has_no_run_record_is_refused(self, predictions, by_hand):
        with pytest.raises(TypeError, match=r"Interval.*Predictions"):
            rerun(bootstrap_interval(predictions, n_resamples=9))
        for made in (umap(by_hand, method="pca"), decoupling_report(by_hand, targets=[], n_permutations=9)):
            with pytest.raises(ValueError, match=r"the features of .* do not say how they were made"):
                rerun(made)


class TestEvaluations:
    @pytest.fixture(autouse=True)
    def _one_fold_at_a_time(self):
        """In this process: starting others takes longer than these folds."""
        with joblib.parallel_config(backend="threading"):
            yield

    @pytest.mark.slow
    def test_each_data_set_left_out_and_the_whole_result(self, two, config):
        table = two.table.assign(dataset=np.where(two.table["subject"].str.endswith("s01"), "here", "there"))
        made = evaluate_cross_dataset(config, two.with_table(table), training=ONE, n_jobs=1, progress=False)
        found = rerun(made)
        assert found.stored is made.predictions
        assert found.identical
        assert found.again.source["run"]["call"] == "evaluate_cross_dataset"

    @pytest.mark.slow
    def test_an_audit_is_made_again_by_its_rule_and_not_as_a_plain_evaluation(self, two, config):
        training = TrainConfig(epochs=3, batch_size=4)
        audit = selection_audit(config, two, training=training, validation_share=0.5, n_jobs=1, progress=False)
        assert {made.source["run"]["call"] for made in audit.predictions.values()} == {"selection_audit"}
        found = rerun(audit.predictions["best_on_test"])
        assert found.identical
        assert not np.array_equal(found.again.logits, audit.predictions["last_epoch"].logits)
        assert f"medn_lab {medn.__version__}" in repr(audit)


class Watch(Callback):
    """Measures something, and ends the training after `epochs` in one of two ways."""

    def __init__(self, epochs, *, interrupt=False):
        self.epochs, self.interrupt = epochs, interrupt

    def measure(self, run):
        return {"watched": float(run.epoch)}

    def on_epoch_end(self, run):
        if run.epoch == self.epochs:
            if self.interrupt:
                raise KeyboardInterrupt
            run.stop()


class TestTrainings:
    @pytest.mark.parametrize(("interrupt", "status"), [(False, "stopped"), (True, "interrupted")])
    def test_one_that_ended_early_is_made_again_as_far_as_it_came(self, config, two, interrupt, status):
        watch = Watch(2, interrupt=interrupt)
        history = medn.fit(MEDN(config), two, training=THREE, callbacks=[watch], progress=False)
        assert (history.status, len(history)) == (status, 2)
        found = rerun(history)
        assert found.identical
        assert found.again.source["sha256"] == history.source["sha256"]
        assert found.notes == ("the callbacks Watch were not called again, so watched are not compared",)

    def test_another_loss_or_other_weights_are_not_identical(self, trained):
        _, history = trained
        found = rerun(replace(history, table=history.table.assign(loss=history.table["loss"] + [0, 0.5, 0])))
        assert not found.identical
        assert found.difference == pytest.approx(0.5)
        found = rerun(with_source(history, sha256="0" * 64))
        assert (found.identical, found.difference) == (False, 0.0)
        assert "not identical" in repr(found)
        assert {history.source["sha256"][:12], "0" * 12} <= set(found.notes[0].split())

    @pytest.mark.slow
    def test_one_taken_up_from_a_checkpoint_is_made_again_whole(self, config, two, tmp_path):
        how = {"training": THREE, "checkpoint": tmp_path / "c", "progress": False}
        medn.fit(MEDN(config, seed=1), two, callbacks=[Watch(1)], **how)
        assert rerun(History.load(tmp_path / "c" / "history")).identical
        history = medn.fit(MEDN(config, seed=1), two, **how)
        assert len(history) == 3
        assert rerun(history).identical

    @pytest.mark.slow
    def test_one_that_began_from_trained_weights_needs_them(self, clips, config, two, trained):
        on = medn.load_pretrained(NAME)
        further = medn.fit(on, clips, training=ONE, progress=False)
        assert on.name == f"{NAME}, trained further"
        assert rerun(further).identical
        mine, history = trained
        model = MEDN(config)
        model.load_state_dict(mine.state_dict())
        again = medn.fit(model, two, training=ONE, progress=False)
        with pytest.raises(ValueError, match=r"began from the weights .* give the model"):
            rerun(again)
        assert rerun(again, model=mine).identical
        assert weights_sha256(mine) == history.source["sha256"]  # what was given is not trained on

    def test_missing_validation_clips_change_nothing_but_their_own_scores(self, trained):
        _, history = trained
        ids = history.clips["clip_id"].where(history.clips["part"] == "training", "gone")
        found = rerun(replace(history, clips=history.clips.assign(clip_id=ids)))
        assert found.identical
        assert "validation scores were not made again: 1 of 3 clips" in found.notes[0]

    @pytest.mark.parametrize(
        ("changed", "fact"),
        [
            (lambda history: History(history.table), "does not say how it was made"),
            (lambda history: with_source(history, start={}), "does not say from which weights"),
            (lambda history: replace(history, table=history.table[:0]), "before its first epoch"),
            (
                lambda history: replace(
                    history, config={**history.config, "training": {**history.config["training"], "devices": 2}}
                ),
                "2 processes.*torchrun",
            ),
        ],
    )
    def test_what_a_history_does_not_hold_is_named(self, trained, changed, fact):
        with pytest.raises(ValueError, match=fact):
            rerun(changed(trained[1]))


class TestModels:
    def test_one_without_a_history_or_with_other_weights_is_refused_before_the_work(self, config, trained):
        with pytest.raises(ValueError, match=r"'MEDN, untrained \(seed 0\)' has no history"):
            rerun(MEDN(config))
        changed = MEDN(config)
        changed.name, changed.history = "mine", trained[1]
        with pytest.raises(ValueError, match="weights of 'mine' were changed"):
            rerun(changed)

    def test_the_folder_of_one_trained_on_real_clips_names_them_and_tells_nothing_of_their_coding(self, tmp_path):
        mine = tiny_clips()
        model = MEDN(MEDNConfig.for_clips(mine, dim=16, branches="motion"))
        history = medn.fit(model, mine, training=ONE, progress=False)
        assert {"part", "clip_id", "subject", "label"} < set(history.clips)
        model.save_pretrained(tmp_path / "mine")
        loaded = medn.load_pretrained(tmp_path / "mine")
        assert list(loaded.history.clips) == ["part", "clip_id"]
        with pytest.raises(ValueError, match="give the prepared set"):
            rerun(loaded)
        assert rerun(loaded, clips=mine).identical

    @pytest.mark.slow
    def test_a_shipped_one_is_trained_again_as_its_card_says(self, tmp_path, monkeypatch, capsys):
        corpus = {"n_subjects": 2, "clips_per_subject": 5, "size": 64, "n_frames": 8, "seed": 9}
        clips = medn.synthetic_clips(**corpus)
        model = MEDN(MEDNConfig.for_clips(clips, dim=16, branches="motion"))
        medn.fit(model, clips, training=ONE, progress=False)
        model.history = None
        model.save_pretrained(tmp_path / "tiny")
        card = {"training_corpus": corpus, "training": {"epochs": 1, "batch_size": 4}}
        (tmp_path / "tiny" / "figures.json").write_text(json.dumps({**card, "minutes": 3.3, "medn_lab": "0.0"}))
        for module in ("medn_lab.model.pretrained", "medn_lab.rerunning"):
            monkeypatch.setattr(f"{module}.pretrained_folder", lambda: tmp_path)
        shipped = medn.load_pretrained("tiny")
        found = medn.rerun(shipped)
        assert found.identical
        assert weights_sha256(found.again) == weights_sha256(shipped)
        assert found.changed == {"medn-lab": ("0.0", medn.__version__)}
        assert {"python", "torch", "processor", "device"} <= set(found.unrecorded)
        assert "not recorded: python, torch" in repr(found)
        assert "10 clips, which took 3 minutes" in capsys.readouterr().out

    def test_one_that_came_out_otherwise_is_judged_by_its_answers_to_unseen_clips(self, trained, monkeypatch):
        def fit_elsewhere(model, *args, **named):
            history = medn.fit(model, *args, **named)
            with torch.no_grad():
                next(model.parameters()).add_(1e-6)  # as another processor's last digits
            return history

        monkeypatch.setattr("medn_lab.rerunning.fit", fit_elsewhere)
        found = rerun(trained[0])
        assert not found.identical
        assert 0 < found.difference < 1e-5
        assert (found.agreement, found.answers) == (1.0, (3, 3))
        assert "3 validation clips" in repr(found)

    def test_the_cards_of_the_shipped_ones_hold_what_that_needs(self):
        accepted = {
            "training_corpus": inspect.signature(medn.synthetic_clips).parameters,
            "training": {field.name for field in dataclasses.fields(TrainConfig)},
        }
        for name in medn.model.pretrained_names():
            card = json.loads((medn.model.pretrained.pretrained_folder() / name / "figures.json").read_text())
            assert card["minutes"] > 0
            for part, names in accepted.items():
                assert card[part], name
                assert set(card[part]) <= set(names), name


class TestMaps:
    def test_a_map_of_a_sample_and_of_some_of_the_features(self, features):
        made = umap(features, method="pca", most_clips=9, seed=0)
        assert len(made) == 9
        assert rerun(made.select(made.table["clip_id"][1:4])).identical
        made = umap(features.select(features.table["clip_id"][8:1:-1]), method="pca", branches=["motion"])
        assert rerun(made).identical
        with pytest.raises(ValueError, match="3 of the 7 clips"):
            rerun(made.select(made.table["clip_id"][:3]))

    @pytest.mark.slow
    def test_aligned_maps_are_made_again_together(self, clips, features):
        coupled = extract_features(medn.load_pretrained("medn_tiny_coupled.synthme_v2"), clips)
        for made in aligned_umap({"here": features, "there": coupled}, method="pca").values():
            found = rerun(made)
            assert found.identical
            assert found.again.params == made.params

    def test_maps_of_layers_are_left_out_and_named(self, features):
        layers = {"stem": np.random.default_rng(0).normal(size=(12, 5))}
        found = rerun(umap(features, layers=layers, method="pca"))
        assert found.identical
        assert len(found.notes) == 1
        assert "'stem' was not made again" in found.notes[0]
        with pytest.raises(ValueError, match=r"layers alone \(stem\)"):
            rerun(umap(features, layers=layers, branches=[], method="pca"))

    def test_a_umap_that_came_out_otherwise_says_what_may_be_expected(self, features, monkeypatch):
        drawn = iter(np.random.default_rng(0).normal(size=(6, 12, 2)))
        monkeypatch.setattr("medn_lab.diagnose.embedding.place_by_umap", lambda values, params: next(drawn))
        found = rerun(umap(features))
        assert not found.identical
        assert "UMAP with a seed draws the same map in every process of one machine" in repr(found)


class TestReports:
    def test_what_the_caller_gave_is_not_in_the_record(self, features):
        with pytest.raises(ValueError, match=r"gave allowed.*does not hold"):
            rerun(decoupling_report(features, targets=[], allowed={}, n_permutations=9))

    @pytest.mark.slow
    def test_a_report_without_columns_that_came_later_is_compared_in_its_own(self, report):
        older = replace(report, table=report.table.drop(columns=["p_family", "n_tests", "family"]))
        again = rerun(older)
        assert again.identical
        assert again.notes == ("the stored report lacks p_family, n_tests, family",)
        assert list(again.again.table) == list(older.table)

    def test_one_model_of_several_is_made_again_alone(self, report):
        alone = report.only(["coupled"])
        found = rerun(alone)
        assert found.identical
        assert found.again.models == ["coupled"]
        changed = replace(alone, table=alone.table.assign(p=alone.table["p"] + 0.125))
        assert rerun(changed).difference == pytest.approx(0.125)
