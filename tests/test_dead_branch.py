"""A branch that is constant is dead, not decoupled: no figure, but one sentence that names the branch."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from slow_cases import mostly_slow
from tiny_clips import tiny_clips

from medn_lab import view
from medn_lab.diagnose import (
    absolute_cosine,
    aligned_umap,
    branch_correlation,
    canonical_correlations,
    continuity,
    decoupling_report,
    decoupling_watch,
    dependence,
    distance_correlation,
    hsic,
    integrated_gradients,
    leakage,
    linear_cka,
    map_stability,
    neighbour_overlap,
    pair_separation,
    partial_out,
    permutation_test,
    probe,
    rank_pairs,
    selection_measures,
    trustworthiness,
    umap,
)
from medn_lab.evaluate import extract_features
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import BranchFeatures, constant_reason, is_constant
from medn_lab.train import TrainConfig, fit
from medn_lab.widgets import DecouplingPanel

N = 60
DEAD = "the emotion branch is constant"
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(N, 6))

CONSTANT = {
    "equal": np.full((N, 6), 3.0),
    "zero": np.zeros((N, 6)),
    "noise of 4e-7 around 3": 3.0 + 4e-7 * NOISE,
    "columns of many sizes": np.array([3.0, -2.0, 1e-3, 0.0, 0.5, -1.0]) + 4e-7 * NOISE,
    "float32": (3.0 + 4e-7 * NOISE).astype(np.float32),
    "small": 1e-9 * (3.0 + 4e-7 * NOISE),
}
ALIVE = {
    "size 1e-6": 1e-6 * NOISE,
    "size 1e-12": 1e-12 * NOISE,
    "one clip differs": np.r_[np.ones((N - 1, 6)), np.zeros((1, 6))],
    "one column": np.c_[np.ones((N, 5)), NOISE[:, :1]],
    "around 100": 100 + NOISE,
}


def table():
    made = pd.DataFrame({"clip_id": [f"c{k}" for k in range(N)], "subject": np.repeat([f"s{k}" for k in range(6)], 10)})
    made["label"] = np.where(np.arange(N) % 2 == 0, "fear", "happiness")
    made["AU4"], made["AU12"] = 1.0 * (np.arange(N) % 3 == 0), 1.0 * (np.arange(N) % 5 < 2)
    return made.assign(action_units="12")


def features(emotion=CONSTANT["noise of 4e-7 around 3"], **parts):
    return BranchFeatures(parts.get("motion", NOISE[:, ::-1].copy()), emotion, NOISE.copy(), table())


@pytest.mark.parametrize("name", list(CONSTANT))
def test_what_differs_by_rounding_alone_is_constant(name):
    assert is_constant(CONSTANT[name])
    assert constant_reason({"motion": NOISE, "emotion": CONSTANT[name], "fused": None}) == DEAD


@pytest.mark.parametrize("name", list(ALIVE))
def test_small_features_that_differ_are_not_constant(name):
    assert not is_constant(ALIVE[name])
    assert constant_reason({"emotion": ALIVE[name]}) == ""
    assert dependence(features(ALIVE[name]))["reason"].eq("").all()


MEASURES = [linear_cka, distance_correlation, hsic, canonical_correlations, branch_correlation, absolute_cosine]


@pytest.mark.parametrize("measure", MEASURES)
def test_no_measure_has_a_value_and_no_test_a_p(measure):
    for constant in CONSTANT.values():
        assert np.isnan(measure(NOISE, constant)).all(axis=None)
        for tested in (measure, lambda x, y: 0.7):  # a measure of the user's own, too
            test = permutation_test(tested, NOISE, constant, n_permutations=9)
            assert np.isnan([test.value, test.p_value, test.null_mean]).all()
            assert test.reason == "y is constant"
            assert "y is constant" in repr(test)


def test_what_a_factor_explains_but_for_rounding_is_constant_given_it():
    emotion = 3.0 * (table()["label"] == "fear").to_numpy()[:, None] + 1.0 + 4e-7 * NOISE
    assert not is_constant(emotion)
    assert not partial_out(emotion, factors=table()["label"]).any()
    report = decoupling_report(features(emotion), given=["label"], n_permutations=9, targets=[])
    rows = report.table[report.table["given"] == "label"]
    assert rows["value"].isna().all()
    assert set(rows["reason"]) == {f"{DEAD} given label"}


def test_probes_leaks_and_the_figures_of_a_selection_name_the_branch():
    found = probe(CONSTANT["noise of 4e-7 around 3"], table()["AU4"], subjects=table()["subject"], n_shuffles=3)
    assert np.isnan(found.value)
    assert found.reason == "the features are constant"
    leaks = leakage(features(), n_shuffles=2, n_resamples=20).set_index("branch")
    assert leaks.loc["emotion", ["value", "null_mean", "p", "excess"]].isna().all(axis=None)
    assert set(leaks.loc["emotion", "reason"]) == {DEAD}
    assert leaks.loc["motion", "value"].notna().all()
    measured = selection_measures(features(), n_permutations=3, n_shuffles=2)(table()["clip_id"][:40])
    gone = measured[(measured["kind"] == "dependence") | (measured["branch"] == "emotion")]
    assert gone["value"].isna().all()
    assert set(gone["reason"]) == {DEAD}
    watched = decoupling_watch(tiny_clips(), label="label").of(features())
    assert np.isnan([watched["dependence_linear_cka"], watched["leak_aus_from_emotion"]]).all()


def test_the_report_names_the_branch_in_table_headline_page_and_pictures(tmp_path):
    report = decoupling_report(features(), n_permutations=9, n_shuffles=2)
    assert DEAD in repr(report)
    assert "AUs from the emotion branch" not in repr(report)
    own = report.table[(report.table["kind"] == "dependence") | (report.table["branch"] == "emotion")]
    assert own[["value", "p"]].isna().all(axis=None)
    assert own["reason"].str.startswith(DEAD).all()
    page = report.to_html(tmp_path / "report.html").read_text()
    assert DEAD in page
    for figure in (view.plot_dependence(report), view.plot_leakage(report)):
        assert DEAD in figure.to_json()
    named = [note.text for note in view.plot_leakage(report).layout.annotations if note.x == 1]
    assert set(named) - {"<b>an unnamed model</b>"} == {"constant"}


def test_information_in_a_constant_code_is_no_figure():
    given = replace(features(), nats=np.full(N, 0.3, np.float32))
    report = decoupling_report(given, n_permutations=3, targets=["aus"], n_shuffles=2)
    assert DEAD in view.plot_decoupling(report, kind="information").to_json()
    panel = DecouplingPanel(report)
    for family in ("dependence", "leakage", "information"):
        panel.family = family
        numbers = np.flatnonzero((panel.selection["kind"] == family) & (panel.selection["branch"] != "motion"))
        assert "no value, the emotion branch is constant" in panel.explain(int(numbers[0]))
    row = report.table.set_index("kind").loc["information"]
    assert np.isnan(row["value"])
    assert row["reason"] == DEAD


def test_maps_and_their_figures_name_the_branch():
    dead = CONSTANT["noise of 4e-7 around 3"]
    for measure in (trustworthiness, continuity, neighbour_overlap):
        assert np.isnan(measure(dead, NOISE))
        assert np.isnan(measure(NOISE, dead))
    with pytest.warns(UserWarning, match=DEAD):
        made = umap(features(), method="pca")
    assert not made.emotion_xy.any()
    assert np.isnan(made.trustworthiness["emotion"])
    assert DEAD in repr(made)
    assert "nan" not in repr(made)
    assert "reason" not in view.plot_embedding(made).to_json() + repr(made)
    assert "constant" in view.plot_embedding(made).to_json()
    with pytest.warns(UserWarning, match=DEAD):
        maps = aligned_umap({"dead": features(), "alive": features(NOISE)}, method="pca")
    assert np.isnan(maps["alive"].params["shift"]["emotion"])
    assert maps["alive"].trustworthiness["emotion"] > 0.5
    with pytest.warns(UserWarning, match=DEAD):
        found = map_stability(features(), seeds=(0, 1), branches=["emotion"])
    assert found.table[["overlap", "disparity"]].isna().all(axis=None)
    assert DEAD in repr(found)


def test_distances_of_pairs_name_the_branch():
    ranked = rank_pairs(table(), features=features())
    assert ranked[["emotion_distance", "emotion_separation", "emotion_beyond"]].isna().all(axis=None)
    assert ranked["motion_similarity"].notna().all()
    assert DEAD in ranked.attrs["rule"]
    found = pair_separation(table(), features=features(), n_resamples=20)
    row = found.set_index("branch").loc["emotion"]
    assert np.isnan([row["value"], row["low"], row["high"]]).all()
    assert DEAD in found.attrs["summary"]
    assert DEAD in view.plot_pair_separation(found).to_json()


def test_a_model_of_clips_that_do_not_move_has_no_figure_of_its_emotion_branch():
    clips = tiny_clips()
    still = replace(clips, frames=np.repeat(clips.frames[:, :1], clips.frames.shape[1], axis=1))
    model = MEDN(MEDNConfig.for_clips(still, dim=16), seed=0)
    with pytest.warns(UserWarning, match="frames do not move"):
        fit(model, still, training=TrainConfig(epochs=2, batch_size=8), progress=False)
    given = extract_features(model, still, batch_size=7)
    found = dependence(given)
    assert found["value"].isna().all()
    assert set(found["reason"]) == {DEAD}
    with pytest.warns(UserWarning, match="is 0 everywhere in all 2 clips"):
        integrated_gradients(model, still.select(still.table["clip_id"][:2]), target="happiness", n_steps=2)


UNVARIED = {
    "frames do not move": lambda c: replace(c, frames=np.repeat(c.frames[:, :1], c.frames.shape[1], axis=1)),
    "all clips have the same frames": lambda c: replace(c, frames=np.repeat(c.frames[:1], len(c), axis=0)),
    "flow is 0 in all clips": lambda c: replace(c, flow=np.zeros_like(c.flow)),
    "all clips have the same flow": lambda c: replace(c, flow=np.full_like(c.flow, 0.5)),
    "no AU": lambda c: replace(c, table=c.table.assign(**dict.fromkeys(c.aus, 0.0))),
}


@pytest.mark.parametrize("said", mostly_slow(UNVARIED, quick=2))
def test_fit_warns_where_an_input_does_not_vary(said):
    clips = UNVARIED[said](tiny_clips())
    with pytest.warns(UserWarning, match=said):
        fit(MEDN(MEDNConfig.for_clips(clips, dim=16)), clips, training=TrainConfig(epochs=1), progress=False)
