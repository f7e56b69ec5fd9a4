"""The proof: its script trains, resumes and pools as it says, and the stored tables hold together."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import medn_lab as medn

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "proof"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("run_proof", FOLDER / "run_proof.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    import sys

    sys.modules["run_proof"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return pd.read_csv(FOLDER / "runs.csv"), pd.read_csv(FOLDER / "summary.csv")


@pytest.fixture(scope="module")
def small(script, tmp_path_factory):
    """Two variants and two seeds on few persons, one epoch."""
    script.CLIPS_EACH, script.HELD_OUT, script.PERSONS = 24, 3, 3
    work = tmp_path_factory.mktemp("proof")
    training = {"epochs": 1}
    runs = [
        script.Run("main", name, seed, n_subjects=2, model=script.MAIN[name], training=training)
        for seed in (0, 1)
        for name in ("motion only", "bottleneck")
    ]
    return runs, pd.DataFrame([script.carry_out(run, work) for run in runs]), work


def test_every_run_has_a_name_of_its_own_and_every_part_is_planned(script):
    runs = script.plan(seeds=5, fewer=2)
    assert len({run.name for run in runs}) == len(runs)
    assert {run.part for run in runs} == {"main", "conditions", "frontier", "persons"}
    assert {run.seed for run in runs if run.part == "main"} == set(range(5))
    # As many steps, however few the persons.
    steps = {run.n_subjects * run.training["epochs"] for run in runs if run.part == "persons"}
    assert max(steps) - min(steps) <= 0.05 * max(steps)


def test_no_person_is_in_training_and_test_or_in_a_pretrained_model(script):
    runs = script.plan(seeds=5, fewer=5)
    sides = [{script.corpus_settings(run, held_out=side)["seed"] for run in runs} for side in (False, True)]
    assert not sides[0] & sides[1]
    assert not (sides[0] | sides[1]) & {0, 1}


@pytest.mark.slow
def test_a_finished_run_is_read_and_not_trained_again(script, small, monkeypatch):
    runs, rows, work = small
    monkeypatch.setattr(script.medn, "fit", None)
    again = script.carry_out(runs[1], work)
    assert again["accuracy"] == rows["accuracy"].iloc[1]


@pytest.mark.slow
def test_seeds_are_pooled_by_clip_and_means_are_those_of_the_runs(script, small):
    runs, rows, work = small
    summary = script.summarise(runs, rows, work).set_index("variant")
    assert (summary["n_clips"] == 2 * 3 * 24).all()
    assert (summary["n_persons"] == 6).all()
    for variant, group in rows.groupby("variant"):
        assert summary.loc[variant, "accuracy"] == pytest.approx(group["accuracy"].mean())  # as many clips a seed
        assert summary.loc[variant, "uf1"] == pytest.approx(group["uf1"].mean())
    own = summary.loc["bottleneck"]
    assert own["over_motion_only"] == pytest.approx(own["accuracy"] - summary.loc["motion only", "accuracy"])
    assert own["over_motion_only_low"] <= own["over_motion_only"] <= own["over_motion_only_high"]


def test_the_interval_over_seeds_is_students(script):
    low, high = script._over_seeds(np.array([1.0, 2.0, 3.0]))
    # t(.975, 2) = 4.3027 and the standard error is 1 / sqrt(3).
    assert (high - low) / 2 == pytest.approx(4.3027 / np.sqrt(3), rel=1e-4)
    assert (high + low) / 2 == pytest.approx(2.0)


def test_the_stored_tables_are_of_this_plan(script, stored):
    runs, summary = stored
    about = json.loads((FOLDER / "about.json").read_text())
    seeds = runs.loc[runs["part"] == "main", "seed"].nunique()
    fewer = runs.loc[runs["part"] == "frontier", "seed"].nunique()
    assert f"--seeds {seeds} --fewer {fewer}" in about["command"]
    assert seeds == 5
    planned = script.plan(seeds=seeds, fewer=fewer)
    assert len(runs) == len(planned) == about["runs"]
    assert set(summary.loc[summary["part"] == "main", "variant"]) == set(script.MAIN) | set(script.WITHOUT_AUS)


def test_the_stored_summary_is_that_of_the_stored_runs(stored):
    runs, summary = stored
    keys = ["part", "condition", "n_subjects", "variant", "weight"]
    means = runs.fillna({"weight": -1}).groupby(keys)[["accuracy", "emotion_aus_excess", "pair_auc"]].mean()
    found = summary.fillna({"weight": -1}).set_index(keys).loc[means.index, means.columns]
    pd.testing.assert_frame_equal(found, means, atol=2e-5, check_dtype=False)


def test_nothing_beats_the_au_only_ceiling_without_a_cue_nor_motion_alone_with_one(stored):
    _, summary = stored
    blind = summary[(summary["condition"] == "no cue") | (summary["variant"] == "motion only")]
    assert len(blind) > 5
    assert (blind["accuracy_low"] <= blind["ceiling_au_only"]).all()


def test_labels_of_the_person_alone_stay_at_chance():
    canary = pd.DataFrame(json.loads((FOLDER / "about.json").read_text())["subject_canary"])
    assert (canary["low"] <= 0.5).all()


def test_a_stored_figure_can_be_made_again(script, stored):
    """The ceilings and the floor of one run's test persons, drawn anew."""
    runs, _ = stored
    script.CLIPS_EACH, script.HELD_OUT, script.PERSONS = 30, 12, 24
    row = runs[(runs["part"] == "main") & (runs["seed"] == 0)].iloc[0]
    settings = script.corpus_settings(replace(script.plan(seeds=1, fewer=0)[0]), held_out=True)
    table = medn.synthme.draw_table(**settings)
    assert medn.synthme.ceilings(table).cue_only == pytest.approx(row["ceiling_cue_only"], abs=1e-4)
    assert medn.evaluate.au_only_floor(table).accuracy == pytest.approx(row["au_only_floor"], abs=1e-4)
