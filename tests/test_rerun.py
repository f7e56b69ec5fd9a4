"""A result is made again from what it says about itself: in a fresh process and to the last bit, where that can be."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from tiny_clips import tiny_clips

import medn_lab as medn
from medn_lab.evaluate import evaluate_loso, extract_features, predict
from medn_lab.model import MEDNConfig
from medn_lab.records import Predictions, run_record
from medn_lab.train import TrainConfig

NAME = "medn_tiny.synthme_v1"


@pytest.fixture(scope="module")
def clips():
    drawn = medn.synthetic_clips(n_subjects=3, clips_per_subject=4, size=64, seed=4, n_jobs=1)
    return drawn.with_table(drawn.table.assign(label=drawn.table["emotion"]))


@pytest.fixture(scope="module")
def predictions(clips):
    return predict(medn.load_pretrained(NAME), clips)


@pytest.fixture(scope="module")
def folds(clips):
    two = clips.with_table(clips.table.assign(label=np.where(np.arange(len(clips)) % 2, "others", "happiness")))
    config = MEDNConfig.for_clips(two, dim=16, branches="motion", decoupling="none")
    return evaluate_loso(
        config, two, training=TrainConfig(epochs=1, batch_size=4), n_jobs=1, progress=False
    ).predictions


def test_a_fresh_process_makes_the_stored_predictions_again_to_the_last_bit(predictions, folds, tmp_path):
    script = (
        "import sys, medn_lab as medn\n"
        "for path in sys.argv[1:]:\n"
        "    again = medn.rerun(medn.records.Predictions.load(path), progress=False)\n"
        "    print(again.identical, again.difference, dict(again.changed))\n"
    )
    paths = [str(predictions.save(tmp_path / "predictions")), str(folds.save(tmp_path / "folds"))]
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True 0.0 {}"] * 2


def test_a_result_that_was_changed_is_not_identical(predictions):
    logits = predictions.logits.copy()
    logits[2, 1] += 0.25
    found = medn.rerun(replace(predictions, logits=logits), progress=False)
    assert not found.identical
    assert found.difference == pytest.approx(0.25, abs=1e-5)
    assert "the largest difference is 0.25" in repr(found)


def test_features_are_made_again_and_what_has_changed_is_named(clips):
    features = extract_features(medn.load_pretrained(NAME), clips)
    run = features.source["run"]
    old = {**features.source, "run": {**run, "versions": {**run["versions"], "torch": "1.0"}}}
    found = medn.rerun(replace(features, source=old), progress=False)
    assert found.identical
    assert found.changed == {"torch": ("1.0", run["versions"]["torch"])}
    assert "torch 1.0 -> " in repr(found)


def test_other_clips_need_to_be_given_and_must_be_the_same(predictions):
    mine = tiny_clips()
    own = replace(predictions, source={**predictions.source, "recipe": dict(mine.recipe)})
    with pytest.raises(ValueError, match=r"the 12 clips are not in the record; give the prepared set"):
        medn.rerun(own)
    with pytest.raises(
        ValueError, match=r"12 of 12 clips of the record are not among these, such as 'synthme4-s01-c01'"
    ):
        medn.rerun(own, clips=mine)
    other = medn.synthetic_clips(n_subjects=3, clips_per_subject=4, size=64, seed=4, cue_strength=0.5, n_jobs=1)
    with pytest.raises(ValueError, match="made by another recipe; they differ in cue_strength"):
        medn.rerun(predictions, clips=other)


def test_what_cannot_be_made_again_says_why(predictions, clips):
    with pytest.raises(ValueError, match="does not say how it was made"):
        medn.rerun(Predictions(np.zeros((1, 2)), clips.table.iloc[:1], ("a", "b")))
    by_hand = {**predictions.source, "run": run_record("evaluate_folds", table=predictions.table)}
    with pytest.raises(ValueError, match="what evaluate_folds has made cannot be made again"):
        medn.rerun(replace(predictions, source=by_hand))
    other = {**predictions.source, "sha256": "0" * 64}
    with pytest.raises(ValueError, match="has other weights by now"):
        medn.rerun(replace(predictions, source=other))
    lacking = {**predictions.source, "run": {**predictions.source["run"], "clips": {"n": 20, "sha256": ""}}}
    with pytest.raises(ValueError, match="8 of 20 clips have no prediction: their folds failed"):
        medn.rerun(replace(predictions, source=lacking))


def test_a_run_record_knows_no_path_and_no_name_of_the_machine(predictions):
    import getpass
    import os
    import platform

    told = repr(predictions.source["run"])
    assert os.getcwd() not in told
    assert platform.node() not in told or len(platform.node()) < 3
    assert f"'{getpass.getuser()}'" not in told


def test_the_repr_says_by_what(predictions):
    assert f"by {NAME} ({predictions.source['sha256'][:8]}), medn_lab {medn.__version__}, torch" in repr(predictions)
