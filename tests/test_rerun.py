"""A result is made again from what it says about itself: in a fresh process and to the last bit, where that can be."""

import getpass
import json
import os
import platform
from dataclasses import replace
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cases import assert_refuses, printed
from tiny_clips import Watch, tiny_clips

import medn_lab as medn
from medn_lab import diagnose, evaluate
from medn_lab.evaluate import extract_features, predict
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.model.inputs import torch_threads
from medn_lab.rerunning import AGAIN
from medn_lab.train import TrainConfig

NAME = "medn_tiny.synthme_v2"
ONE = TrainConfig(epochs=1, batch_size=4)
THREE = TrainConfig(epochs=3, batch_size=4, seed=2)
HERE = {"n_jobs": 1, "progress": False}
INPUTS = {"Clips", "ClipIndex", "Truth"}
"""Records that are saved and are no results."""


@pytest.fixture(scope="module")
def made(shipped):
    """Clips, a network trained on nine of them with two classes that no recipe names, and results of both.

    Each corpus is drawn once; the test in a fresh process draws for itself.
    """
    with pytest.MonkeyPatch.context() as patched:
        draw = cache(partial(medn.synthetic_clips, n_jobs=1))
        patched.setattr("medn_lab.rerunning.synthme.synthetic_clips", draw)
        drawn = draw(n_subjects=3, clips_per_subject=4, size=64, seed=4)
        clips = drawn.with_table(drawn.table.assign(label=drawn.table["emotion"]))
        table = clips.table.assign(label=np.where(np.arange(len(clips)) % 2, "others", "happiness"))
        two = clips.with_table(table.iloc[::-1])
        config = MEDNConfig.for_clips(two, dim=16, branches="motion", decoupling="none")
        ids, trained = two.table["clip_id"], MEDN(config, seed=5)
        medn.fit(trained, two.select(ids[:9]), training=THREE, validation=two.select(ids[9:]), progress=False)
        folds = evaluate.evaluate_loso(config, two, training=ONE, **HERE).predictions
        results = {"predictions": predict(shipped, clips), "features": extract_features(shipped, clips), "folds": folds}
        yield SimpleNamespace(clips=clips, two=two, config=config, trained=trained, **results)


def rerun(record, **given):
    return medn.rerun(record, progress=False, **given)


def with_source(record, **changes):
    return replace(record, source=record.source | changes)


SCRIPT = """
import functools, json, pathlib, sys, medn_lab as medn, medn_lab.rerunning
medn.rerunning.synthme.synthetic_clips = functools.cache(functools.partial(medn.synthetic_clips, n_jobs=1))
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    if (folder / "record.json").exists():
        kind = json.loads((folder / "record.json").read_text())["kind"]
        record = getattr(medn.records, kind).load(folder)
    else:
        record = medn.load_pretrained(folder)
    model = folder.parent / "mine" if folder.name == "own" else None
    again = medn.rerun(record, model=model, progress=False)
    print(folder.name, again.identical, again.difference, dict(again.changed), list(again.notes))
"""


@pytest.mark.slow
def test_a_fresh_process_makes_every_kind_of_result_again_to_the_last_bit(made, shipped, tmp_path):
    made.trained.save_pretrained(tmp_path / "mine")
    ids = tuple(made.two.table["clip_id"])
    there = made.two.table["subject"].str.endswith("s01")
    sets = made.two.with_table(made.two.table.assign(dataset=np.where(there, "here", "there")))
    own_folds = [medn.data.Fold("first", ids[4:10], ids[:4]), medn.data.Fold("others", ids[:4], ids[4:])]
    audit = evaluate.selection_audit(made.config, made.two, training=THREE, validation_share=0.5, **HERE)
    relabelled = replace(made.features, table=made.features.table.assign(label=np.where(np.arange(12) % 3, "a", "b")))
    report = diagnose.decoupling_report(
        {"one": relabelled, "other": relabelled.select(relabelled.table["clip_id"][::-1])}, n_permutations=9,
        n_shuffles=2, targets=["emotion", "aus"], n_exchanges=19, readers=["ridge"], seed=6,
    )  # fmt: skip
    kinds = {
        "predictions": made.predictions,
        "selected": made.predictions.select(made.predictions.table["clip_id"][7:2:-1]),
        "own": predict(made.trained, made.two),
        "folds": made.folds,
        "given": evaluate.evaluate_folds(made.config, made.two, folds=own_folds, training=ONE, **HERE).predictions,
        "sets": evaluate.evaluate_cross_dataset(made.config, sets, training=ONE, **HERE).predictions,
        "audit": audit.predictions["best_on_test"],
        "features": made.features,
        "history": made.trained.history,
        "map": diagnose.umap(made.features, method="pca"),
        "aligned": diagnose.aligned_umap({"one": made.features, "same": made.features}, method="pca")["same"],
        "attribution": diagnose.saliency(shipped, made.clips, target="happiness"),
        "kept": diagnose.kept_tokens(shipped, made.clips, truth=made.clips.truth),
        "report": report,
        "alone": report.only(["other"]),
    }
    for name, record in kinds.items():
        record.save(tmp_path / name)
    assert printed("-c", SCRIPT, tmp_path) == [f"{name} True 0.0 {{}} []" for name in sorted([*kinds, "mine"])]


def test_every_saved_record_has_a_source_that_names_model_versions_and_clips_and_no_path_and_no_machine(made, shipped):
    saved = {name for name in medn.records.__all__ if hasattr(getattr(medn.records, name), "save")}
    assert saved == {kind.__name__ for kind in AGAIN if kind is not MEDN} | INPUTS
    features, history = made.features, made.trained.history
    by = f"by {NAME} ({features.source['sha256'][:8]}), medn_lab {medn.__version__}, torch"
    for record in (features, diagnose.umap(features, method="pca"), diagnose.kept_tokens(shipped, made.clips)):
        assert (by in repr(record), "on SynthME seed 4" in repr(record)) == (True, True), type(record)
    assert f"by MEDN, trained (seed 5) ({history.source['sha256'][:8]}), seed 2, medn_lab" in repr(history)
    text = repr(features.source["run"]) + repr(history.source)
    assert os.getcwd() not in text
    assert platform.node() not in text or len(platform.node()) < 3
    assert f"'{getpass.getuser()}'" not in text


def test_a_changed_result_loss_or_weights_are_not_identical_and_equal_classes_are_counted(made):
    logits = made.predictions.logits.copy()
    logits[:3] = 100 - logits[:3]  # another class for these three
    found = rerun(replace(made.predictions, logits=logits))
    assert (found.identical, found.answers) == (False, (9, 12))
    assert "9 of 12 clips" in repr(found)
    assert found.difference == pytest.approx(np.abs(logits - made.predictions.logits).max())
    history = made.trained.history
    changed = replace(history, table=history.table.assign(loss=history.table["loss"] + [0, 0.5, 0]))
    found = rerun(with_source(changed, sha256="0" * 64))
    assert (found.identical, found.difference) == (False, pytest.approx(0.5))
    assert {history.source["sha256"][:12], "0" * 12} <= set(found.notes[0].split())


def test_versions_and_a_device_that_have_changed_or_are_not_recorded_are_named(made):
    run = made.features.source["run"]
    older = {"versions": {"python": run["versions"]["python"], "torch": "1.0"}, "hardware": {}}
    found = rerun(with_source(made.features, run=run | older | {"device": "cuda (H100)"}))
    assert (found.identical, found.answers) == (True, None)
    assert found.changed["torch"] == ("1.0", run["versions"]["torch"])
    assert found.changed["device"][0] == "cuda (H100)"
    assert {"numpy", "processor", "cpus"} <= set(found.unrecorded)
    assert all(name in repr(found) for name in ("torch 1.0 -> ", *found.unrecorded))


def test_a_rerun_takes_as_many_threads_as_the_run_and_needs_its_clips(made, shipped, monkeypatch):
    some, seen, forward = made.clips.select(made.clips.table["clip_id"][:3]), [], MEDN.forward
    monkeypatch.setattr(MEDN, "forward", lambda *args: (seen.append(torch.get_num_threads()), forward(*args))[1])
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        part = predict(shipped, some).select(some.table["clip_id"][:2])
    assert_refuses(rerun, part, match="2 of the 3 clips")
    assert rerun(part, clips=some).identical
    assert (seen, torch.get_num_threads()) == ([before + 1, before + 1], before)


def test_what_cannot_be_made_again_names_what_is_missing(made):
    mine = tiny_clips()
    own = with_source(made.predictions, recipe=dict(mine.recipe))
    other_recipe = replace(made.clips, recipe={**made.clips.recipe, "cue_strength": 0.5})
    given = {"targets": [], "allowed": {}, "n_permutations": 9}
    assert_refuses(rerun, own, match="12 clips.*give the prepared set")
    assert_refuses(rerun, own, clips=mine, match="12 of 12 clips.*'synthme4-s01-c01'")
    assert_refuses(rerun, made.predictions, clips=other_recipe, match="another recipe.*cue_strength")
    assert_refuses(rerun, with_source(made.predictions, sha256="0" * 64), match=f"{NAME}.*other weights")
    assert_refuses(rerun, made.folds.select(made.folds.table["clip_id"][2:]), match="2 of 12 clips")
    assert_refuses(rerun, diagnose.decoupling_report(made.features, **given), match="gave allowed.*does not hold")
    interval = evaluate.bootstrap_interval(made.predictions, n_resamples=9)
    assert_refuses(rerun, interval, match="Interval.*Predictions", error=TypeError)


def test_one_that_ended_early_is_made_again_as_far_as_it_came(made):
    history = medn.fit(MEDN(made.config), made.two, training=THREE, callbacks=[Watch(interrupt=2)], progress=False)
    found = rerun(history)
    assert (history.status, len(history), found.identical) == ("interrupted", 2, True)
    assert found.notes == ("the callbacks Watch were not called again",)


@pytest.mark.slow
def test_one_that_began_from_trained_weights_needs_them(made):
    on = medn.load_pretrained(NAME)
    assert rerun(medn.fit(on, made.clips, training=ONE, progress=False)).identical
    assert on.name == f"{NAME}, trained further"
    model, before = MEDN(made.config), weights_sha256(made.trained)
    model.load_state_dict(made.trained.state_dict())
    again = medn.fit(model, made.two, training=ONE, progress=False)
    assert_refuses(rerun, again, match=r"began from the weights .* give that model")
    assert rerun(again, model=made.trained).identical
    assert weights_sha256(made.trained) == before  # what was given is not trained on


def test_a_model_whose_history_is_of_others_has_none_or_names_no_recipe_is_refused(made, tmp_path):
    changed, mine = MEDN(made.config), tiny_clips()
    changed.name, changed.history = "mine", made.trained.history
    for model, fact in ((MEDN(made.config), "has no history"), (changed, "weights of 'mine' were changed")):
        assert_refuses(rerun, model, match=fact)
    # The folder of one trained on real clips names them and tells nothing of their coding.
    model = MEDN(MEDNConfig.for_clips(mine, dim=16, branches="motion"))
    assert {"part", "clip_id", "subject", "label"} < set(medn.fit(model, mine, training=ONE, progress=False).clips)
    model.save_pretrained(tmp_path / "mine")
    loaded = medn.load_pretrained(tmp_path / "mine")
    assert list(loaded.history.clips) == ["part", "clip_id"]
    assert_refuses(rerun, loaded, match="give the prepared set")
    assert rerun(loaded, clips=mine).identical


@pytest.mark.slow
def test_a_shipped_one_is_trained_again_as_its_card_says(tmp_path, monkeypatch):
    corpus = {"n_subjects": 2, "clips_per_subject": 5, "size": 64, "n_frames": 8, "seed": 9}
    clips = medn.synthetic_clips(**corpus)
    model = MEDN(MEDNConfig.for_clips(clips, dim=16, branches="motion"))
    medn.fit(model, clips, training=ONE, progress=False)
    model.history = None
    model.save_pretrained(tmp_path / "tiny")
    card = {"training_corpus": corpus, "training": {"epochs": 1, "batch_size": 4}, "medn_lab": "0.0"}
    (tmp_path / "tiny" / "figures.json").write_text(json.dumps(card))
    for module in ("medn_lab.model.medn", "medn_lab.rerunning"):
        monkeypatch.setattr(f"{module}.pretrained_folder", lambda: tmp_path)
    found = rerun(medn.load_pretrained("tiny"))
    assert (found.identical, found.changed) == (True, {"medn-lab": ("0.0", medn.__version__)})
    assert {"python", "torch", "processor", "device"} <= set(found.unrecorded)


def test_a_map_of_a_sample_of_some_of_the_features_or_of_layers(made):
    features, ids = made.features, made.features.table["clip_id"]
    mapped = diagnose.umap(features, method="pca", most_clips=9, seed=0)
    assert rerun(mapped.select(mapped.table["clip_id"][1:4])).identical
    mapped = diagnose.umap(features.select(ids[8:1:-1]), method="pca", branches=["motion"])
    assert rerun(mapped).identical
    assert_refuses(rerun, mapped.select(mapped.table["clip_id"][:3]), match="3 of the 7 clips")
    found = rerun(diagnose.umap(features, layers={"stem": np.eye(12, 5)}, method="pca"))
    assert (found.identical, ["stem" in note for note in found.notes]) == (True, [True])
