"""The proof: its plan keeps its budget, its script trains, resumes and compares, and its tables are those stored."""

import importlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import medn_lab as medn

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "proof"
STORED = pd.read_csv(FOLDER / "runs.csv")
KEYS = ["condition", "variant", "n_subjects", "seed"]


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        return importlib.import_module("run_proof")


def test_the_plan_holds_every_part_keeps_its_budget_and_is_printed_without_a_training(script, tmp_path, capsys):
    runs = script.plan()
    assert len({run.name for run in runs}) == len(runs)
    counted = pd.DataFrame([(run.condition, run.n_subjects, run.variant) for run in runs]).value_counts()
    kinds = (*script.KINDS, "mixed", "timing, grey", "brightness, grey")
    assert all(counted[kind, 24, "bottleneck"] == 5 for kind in kinds)
    assert all(counted["shift", 16, arm] == 10 for arm in ("none", "orthogonal", "price 0", "bottleneck"))
    assert all(("colour", 16, name) in counted for name in (*script.ABLATION, *script.LOSSES))
    assert [script.Run("colour", "none", n, 0).epochs for n in (4, 8, 16, 24)] == [32, 23, 16, 16]
    assert script.plan_table(runs, n_jobs=2).loc["all", "minutes"] <= 0.9 * 90  # a tenth is kept in reserve
    script.main(["--dry-run", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")])
    assert str(len(runs)) in "".join(capsys.readouterr())
    assert not list(tmp_path.iterdir())
    # No person is in training and test, or in a pretrained model.
    corpora = {(run.corpus, test) for run in runs for test in (None, *run.tests)}
    drawn = {(test is None, script.corpus_settings(*corpus, test=test)["seed"]) for corpus, test in corpora}
    assert len({0, 1} | {seed for _, seed in drawn}) == 2 + len(drawn)


def test_the_tables_of_the_shift_are_those_announced(script):
    tables = {name: script.shift_table(name) for name in ("training", "same", "uniform", "reversed", "withheld")}
    for table in tables.values():
        medn.synthme.allowed_auc(table)  # which refuses what is no probability table
    by_set = {name: table.set_index("action_units") for name, table in tables.items()}
    whole = ["disgust", "repression", "others"]  # 15+17: .42, .25, .33, nothing withheld
    assert by_set["training"].loc["15+17", whole].tolist() == pytest.approx([0.80, 0.08, 0.12])
    assert by_set["reversed"].loc["15+17", whole].tolist() == pytest.approx([0.08, 0.80, 0.12])
    assert by_set["uniform"].loc["15+17", whole].tolist() == pytest.approx([1 / 3] * 3)
    for units, emotion in script.WITHHELD.items():
        assert [by_set[name].loc[units, emotion] for name in by_set] == [0, 0, 0, 0, 1]
        assert by_set["training"].loc[units].max() == pytest.approx(0.80 / 0.88)
    assert set(tables["withheld"]["action_units"]) == set(script.WITHHELD)


def test_the_worst_group_is_that_of_the_frequency_in_training(script, monkeypatch):
    monkeypatch.setattr(script, "LEAST_CLIPS", 2)
    # 6+12 is happiness .42, repression .33, others .25; 12 with repression is withheld.
    labels = pd.Categorical.from_codes([0, 0, 0, 0, 1, 1, 2, 2, 0], ["happiness", "repression", "others"])
    table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(9)], "subject": "a", "label": labels.astype(str)})
    table["action_units"] = ["6+12"] * 8 + ["12"]
    predictions = medn.records.Predictions(np.eye(3)[[0, 0, 0, 0, 1, 2, 2, 2, 2]], table, tuple(labels.categories))
    assert list(script.groups_of(table))[3:7] == ["first", "second", "second", "third"]
    assert script.worst_group(predictions) == 0.5
    assert set(script.groups_of(table.assign(action_units="12", label="repression"))) == {"withheld"}


@pytest.fixture(scope="module")
def few_clips():
    return medn.synthetic_clips(n_subjects=2, clips_per_subject=6, seed=31)


@pytest.mark.parametrize("variant", ["none", "token path closed", "and motion detached"])
def test_a_closed_token_path_reads_the_feature_alone_and_a_detached_branch_learns_nothing(script, few_clips, variant):
    model = script.build(script.Run("colour", variant, 2, 0), few_clips).eval()
    parts = torch.rand(2, 64), torch.rand(2, 5, 64), torch.rand(2, 64)
    first, second = (model.fusion(*parts, torch.rand(2, 3, 64))[0] for _ in range(2))
    assert torch.equal(first, second) is (variant != "none")
    output = model(*script.as_inputs(model.config, few_clips, rows=np.arange(len(few_clips))))
    output.logits.square().sum().backward()
    for branch, moves in ((model.motion_branch, variant != "and motion detached"), (model.emotion_branch, True)):
        assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in branch.parameters()) is moves


def test_a_difference_picture_reads_what_the_last_frame_has_beyond_the_first(script, few_clips):
    frames = np.full_like(few_clips.frames, 100)
    frames[:, -1, :32, :, 0] += 2 * pd.factorize(few_clips.table["label"])[0].astype(np.uint8)[:, None, None]
    read = script.difference_picture(*[replace(few_clips, frames=frames)] * 2)
    assert medn.evaluate.pair_auc(read, n_resamples=10).value > 0.7
    frames[:, 0] = frames[:, -1]
    blind = script.difference_picture(*[replace(few_clips, frames=frames)] * 2)
    assert medn.evaluate.pair_auc(blind, n_resamples=10).value == 0.5
    assert np.ptp(blind.logits, axis=0).max() < 1e-6


def test_the_readme_states_the_stored_figures():
    readme = (FOLDER.parents[1] / "README.md").read_text(encoding="utf-8")
    summary, pairs = (pd.read_csv(FOLDER / f"{name}.csv") for name in ("summary", "differences"))

    def stated(figures, form):
        return "{} [{}, {}]".format(*[f"{one:{form}}".replace("0.", ".", 1) for one in figures])

    summary = summary.query("variant == 'bottleneck' and n_subjects == 24 and test == 'same'").set_index("condition")
    for condition in ("colour", "timing", "brightness", "mixed"):
        name = condition.replace("mixed", "colour or timing")
        cells = (("accuracy", ".3f"), ("emotion_cue", ".3f"), ("emotion_aus_leak", "+.2f"))
        row = [stated(summary.loc[condition, [of, f"{of}_low", f"{of}_high"]], form) for of, form in cells]
        assert f" | {' | '.join(row)} |" in next(line for line in readme.splitlines() if line.startswith(f"| {name} "))
    pairs = pairs.query("variant == 'bottleneck' and rival == 'none' and measure == 'worst_group'").set_index("test")
    for test in ("reversed", "uniform"):
        assert f"{stated(pairs.loc[test, ['difference', 'low', 'high']], '+.2f')} where" in readme


def test_differences_are_paired_by_seed_and_an_interval_needs_three(script):
    mean, low, high = script.over_seeds(np.array([1.0, 2.0, 3.0]))
    # t(.975, 2) = 4.3027 and the standard error is 1 / sqrt(3).
    assert (mean, high - low) == pytest.approx((2.0, 2 * 4.3027 / np.sqrt(3)), rel=1e-4)
    assert script.over_seeds([-0.011, -0.011]) == pytest.approx((-0.011, np.nan, np.nan), nan_ok=True)
    rows = pd.DataFrame({"seed": [*range(5), *range(3)], "variant": ["none"] * 5 + ["bottleneck"] * 3})
    rows = rows.assign(condition="colour", n_subjects=4, test="same", worst_group=np.nan, emotion_aus_leak=np.nan)
    rows["accuracy"] = 0.1 * rows["seed"] + 0.02 * (rows["variant"] == "bottleneck")
    (found,) = script.differences(rows).to_dict("records")
    assert (found["variant"], found["rival"], found["measure"]) == ("bottleneck", "none", "accuracy")
    assert (found["n_seeds"], found["outcome"]) == (3, "established")
    assert [found[name] for name in ("difference", "low", "high")] == pytest.approx([0.02] * 3)
    rows.loc[7, "accuracy"] -= 0.5
    assert script.differences(rows)["outcome"].tolist() == ["not established"]


@pytest.mark.slow
def test_a_tiny_plan_has_a_row_for_every_run_and_test_and_is_not_trained_again(script, tmp_path, monkeypatch):
    tiny_parts = (
        ("cues", 1, ("colour",), (2,), ("bottleneck", "difference picture")),
        ("shift", 1, ("shift",), (2,), ("price 0",)),
        ("cues", 1, ("no cue",), (2,), ("bottleneck",)),
        ("ablation", 1, ("colour",), (2,), ("motion only", "emotion only", "and 8 wide")),
        ("persons", 2, ("colour",), (1,), ("none",)),
    )
    sizes = {"EPOCHS": 1, "PERSONS": 2, "FEWER_PERSONS": 2, "HELD_OUT": 2, "CLIPS_EACH": 16}
    sizes |= {"CLIPS_OF_MOVED": 8, "CLIPS_OF_SHIFT": 8, "LEAST_CLIPS": 1, "PARTS": tiny_parts}
    for name, value in sizes.items():
        monkeypatch.setattr(script, name, value)
    monkeypatch.setattr(script, "step_times", partial(script.step_times, repeats=1))
    arguments = ["--n-jobs", "1", "--work", str(tmp_path / "work")]
    script.main([*arguments, "--out", str(tmp_path / "first")])
    runs = pd.read_csv(tmp_path / "first" / "runs.csv")
    assert {name for name in runs if "leak_AU" not in name} == {name for name in STORED if "leak_AU" not in name}
    assert len(runs.filter(like="leak_AU").columns)
    tests = runs[runs["variant"] == "bottleneck"].groupby("condition")["test"].apply(list)
    assert (set(tests["colour"]), tests["no cue"]) == ({"same", "timing", "brightness"}, ["same"])
    assert set(runs.loc[runs["worst_group"].notna(), "test"]) == {"same", "uniform", "reversed", "withheld"}
    about = json.loads((tmp_path / "first" / "about.json").read_text())
    assert about["trainings"] == len(runs.drop_duplicates(KEYS)) == 9
    assert set(about["step_seconds"]) > {"bottleneck", "bottleneck, dense"}
    for owner, name, value in ((medn, "fit", None), (medn, "synthetic_clips", None), (script, "step_times", dict)):
        monkeypatch.setattr(owner, name, value)
    script.main([*arguments, "--out", str(tmp_path / "second")])
    for name in ("runs.csv", "summary.csv", "differences.csv"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_the_stored_tables_are_of_this_plan_and_of_the_stored_runs(script):
    about = json.loads((FOLDER / "about.json").read_text())
    plan = script.plan(seeds=int(about["command"].split()[-1]))
    planned = {(*vars(run).values(), test) for run in plan for test in run.tests}
    assert set(STORED[[*KEYS, "test"]].itertuples(index=False, name=None)) == planned
    assert (about["trainings"], about["withheld"]) == (len(plan), script.WITHHELD)
    tables = {"summary": script.summarise(STORED), "differences": script.differences(STORED)}
    for name, found in tables.items():
        stored = pd.read_csv(FOLDER / f"{name}.csv")
        pd.testing.assert_frame_equal(found.replace({"": np.nan}), stored, atol=1e-4, check_dtype=False)
    # Nothing beats the AU-only ceiling without a cue, nor motion alone with one.
    blind = tables["summary"].query("condition != 'shift' and (condition == 'no cue' or variant == 'motion only')")
    assert len(blind) > 3
    # With few seeds a small margin for chance: two standard errors of 360 clips.
    assert (blind["accuracy"] <= blind["ceiling_au_only"] + 2 * np.sqrt(0.42 * 0.58 / 360)).all()
