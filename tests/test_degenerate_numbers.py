"""Numbers at their worst: a figure is a number or has a reason, and a constant branch is dead, not decoupled."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses, mostly_slow

from medn_lab import diagnose, view, widgets
from medn_lab.diagnose.similarity import MEASURES
from medn_lab.evaluate import au_detection, evaluate_loso, extract_features, predict
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import BranchFeatures, constant_reason, is_constant
from medn_lab.train import TrainConfig, fit

QUICK = TrainConfig(epochs=1, batch_size=8)
N = 60
DEAD = "the emotion branch is constant"
NOISE = np.random.default_rng(0).normal(size=(N, 6))
ROUNDING = 3.0 + 4e-7 * NOISE
SIZES = np.array([3.0, -2.0, 1e-3, 0.0, 0.5, -1.0])
CONSTANT = (np.zeros((N, 6)), ROUNDING, ROUNDING.astype(np.float32), 1e-9 * ROUNDING, SIZES + 4e-7 * NOISE)
ALIVE = (1e-6 * NOISE, 1e-12 * NOISE, 100 + NOISE, np.tri(N, 6, k=-3), np.c_[np.ones((N, 5)), NOISE[:, :1]])
TABLE = pd.DataFrame({"clip_id": [f"c{k}" for k in range(N)], "subject": [f"s{k // 10}" for k in range(N)]}).assign(
    label=np.where(np.arange(N) % 2 == 0, "fear", "happiness"), action_units="12",
    AU4=1.0 * (np.arange(N) % 3 == 0), AU12=1.0 * (np.arange(N) % 5 < 2),
)  # fmt: skip


def features(emotion=ROUNDING):
    return BranchFeatures(NOISE[:, ::-1].copy(), emotion, NOISE.copy(), TABLE)


def nothing(*figures):
    return np.isnan(np.array(figures, dtype=float)).all()


def test_what_differs_by_rounding_alone_is_constant_and_no_measure_has_a_value_and_no_test_a_p():
    for values in CONSTANT:
        assert is_constant(values)
        assert constant_reason({"motion": NOISE, "emotion": values, "fused": None}) == DEAD
        for measure in (*MEASURES, "trustworthiness", "continuity", "neighbour_overlap"):
            assert nothing(getattr(diagnose, measure)(NOISE, values)), measure
    for values in ALIVE:
        assert not is_constant(values)
        assert diagnose.dependence(features(values))["reason"].eq("").all()
    for measure in [*MEASURES][:3]:  # of a clip that alone departs from the others U-centring leaves only rounding
        assert all(nothing(getattr(diagnose, measure)(NOISE[:n], np.eye(n, 1, k=-2))) for n in (5, 20, 60)), measure
    assert nothing(diagnose.linear_cka(np.eye(N, 6, k=3), np.eye(N, 6, k=3)))
    for measure in (diagnose.hsic, lambda x, y: 0.7):  # any other function, too
        test = diagnose.permutation_test(measure, NOISE, ROUNDING, n_permutations=9)
        assert nothing(test.value, test.p_value, test.figures["null_mean"])
        assert test.reason == "y is constant"
    # What a factor explains but for rounding is constant given it.
    emotion = 3.0 * (TABLE["label"] == "fear").to_numpy()[:, None] + 1.0 + 4e-7 * NOISE
    assert not is_constant(emotion)
    assert not diagnose.partial_out(emotion, factors=TABLE["label"]).any()
    rows = diagnose.decoupling_report(features(emotion), given=["label"], n_permutations=9, targets=[]).table
    assert set(rows.loc[rows["given"] == "label", "reason"]) == {f"{DEAD} given label"}
    assert rows.loc[rows["given"] == "label", "value"].isna().all()


def test_probes_leaks_pairs_and_the_figures_of_a_selection_name_the_branch(clips):
    found = diagnose.probe(ROUNDING, TABLE["AU4"], subjects=TABLE["subject"], n_shuffles=3)
    assert (nothing(found.value), found.reason) == (True, "the features are constant")
    leaks = diagnose.leakage(features(), n_shuffles=2, n_resamples=20).set_index("branch")
    assert leaks.loc["emotion", ["value", "null_mean", "p", "excess"]].isna().all(axis=None)
    assert set(leaks.loc["emotion", "reason"]) == {DEAD}
    assert leaks.loc["motion", "value"].notna().all()
    measured = diagnose.selection_measures(features())(TABLE["clip_id"][:40])
    gone = measured[(measured["kind"] == "dependence") | (measured["branch"] == "emotion")]
    assert (gone["value"].isna().all(), set(gone["reason"])) == (True, {DEAD})
    assert not {"dependence_linear_cka", "leak_aus_from_emotion"} & set(diagnose.decoupling_watch(clips).of(features()))


def test_the_report_names_the_branch_in_table_headline_picture_and_panel():
    given = replace(features(), nats=np.full(N, 0.3, np.float32))
    report = diagnose.decoupling_report(given, n_permutations=9, n_shuffles=2, n_exchanges=19)
    assert ("AUs from the emotion branch" in repr(report), DEAD in repr(report)) == (False, True)
    dead = report.table["kind"].isin(["dependence", "information"]) | (report.table["branch"] == "emotion")
    assert report.table.loc[dead, ["value", "p"]].isna().all(axis=None)
    assert report.table.loc[dead, "reason"].str.startswith(DEAD).all()
    assert DEAD in view.plot_leakage(report).to_json()
    panel = widgets.DecouplingPanel(report)
    for family in ("dependence", "leakage", "information"):
        panel.family = family
        numbers = np.flatnonzero((panel.selection["kind"] == family) & (panel.selection["branch"] != "motion"))
        assert "no value, the emotion branch is constant" in panel.explain(int(numbers[0]))


def test_maps_and_their_figures_name_the_branch():
    with pytest.warns(UserWarning, match=DEAD):
        made = diagnose.umap(features(), method="pca")
    assert (made.emotion_xy.any(), DEAD in repr(made), "nan" in repr(made)) == (False, True, False)
    assert nothing(made.trustworthiness["emotion"])
    assert "constant" in view.plot_embedding(made).to_json()
    with pytest.warns(UserWarning, match=DEAD):
        maps = diagnose.aligned_umap({"dead": features(), "alive": features(NOISE)}, method="pca")
    assert nothing(maps["alive"].params["shift"]["emotion"])
    assert maps["alive"].trustworthiness["emotion"] > 0.5
    with pytest.warns(UserWarning, match=DEAD):
        found = diagnose.map_stability(features(), seeds=(0, 1), branches=["emotion"])
    assert found.table[["overlap", "disparity"]].isna().all(axis=None)
    assert set(found.table["reason"]) == {DEAD}


UNVARIED = {
    "frames do not move": lambda c: replace(c, frames=np.repeat(c.frames[:, :1], c.frames.shape[1], axis=1)),
    "all clips have the same frames": lambda c: replace(c, frames=np.repeat(c.frames[:1], len(c), axis=0)),
    "flow is 0 in all clips": lambda c: replace(c, flow=np.zeros_like(c.flow)),
    "all clips have the same flow": lambda c: replace(c, flow=np.full_like(c.flow, 0.5)),
    "no AU": lambda c: replace(c, table=c.table.assign(**dict.fromkeys(c.aus, 0.0))),
}


@pytest.mark.parametrize("warned", mostly_slow(UNVARIED, quick=2))
def test_fit_warns_where_an_input_does_not_vary_and_the_branch_that_reads_it_has_no_figure(clips, warned):
    clips = UNVARIED[warned](clips)
    model = MEDN(MEDNConfig.for_clips(clips, dim=16), seed=0)
    with pytest.warns(UserWarning, match=warned):
        fit(model, clips, training=QUICK, progress=False)
    if warned == "frames do not move":
        found = diagnose.dependence(extract_features(model, clips, batch_size=7))
        assert (found["value"].isna().all(), set(found["reason"])) == (True, {DEAD})
        two = clips.select(clips.table["clip_id"][:2])
        with pytest.warns(UserWarning, match="is 0 everywhere in all 2 clips"):
            diagnose.integrated_gradients(model, two, target="happiness", n_steps=2)


def labelled(clips, **columns):
    return replace(clips, table=clips.table.assign(**columns))


HARMED = {
    "nothing at all": lambda c: replace(c, frames=np.full_like(c.frames, 90), flow=np.zeros_like(c.flow)),
    "one person": lambda c: labelled(c, subject="00"),
    "a class of one person": lambda c: labelled(c, label=np.where(c.table["subject"] == "00", "happiness", "others")),
    "a fold of one clip": lambda c: c.select(c.table["clip_id"][5:]),
    "an AU without positives": lambda c: labelled(c, AU12=0.0),
    "an AU that is not known": lambda c: labelled(c, AU12=np.nan),
    "duplicated clips": lambda c: replace(c, frames=c.frames[np.arange(24) % 12], flow=c.flow[np.arange(24) % 12]),
}


def check_reasons(table, *figures):
    """Every row without a figure has a reason."""
    missing = table[table[list(figures)].isna().any(axis=1)]
    assert (missing["reason" if "reason" in table else "error"].str.len() > 5).all(), missing


@pytest.mark.parametrize("harm", mostly_slow(HARMED, quick=2))
def test_every_figure_is_a_number_or_has_a_reason(clips, model, harm):
    harmed = HARMED[harm](clips)
    predictions, features = predict(model, harmed), extract_features(model, harmed)
    config = MEDNConfig.for_clips(harmed, dim=16, branches="motion")
    with warnings.catch_warnings():  # no division by zero
        warnings.simplefilter("ignore", UserWarning)
        few = harmed.select(harmed.table["clip_id"][:2])
        maps = diagnose.integrated_gradients(model, few, target="happiness", n_steps=2)
        made = diagnose.umap(features, method="pca")
        if harm == "one person":
            for call in (lambda: diagnose.leakage(features), lambda: evaluate_loso(config, harmed, training=QUICK)):
                assert_refuses(call, match="2 subjects")
        else:
            check_reasons(diagnose.leakage(features, n_shuffles=2, n_resamples=20), "value", "null_mean")
            found = evaluate_loso(config, harmed, training=QUICK, n_jobs=1, progress=False)
            check_reasons(found.folds, "accuracy")
            check_reasons(au_detection(found.predictions), "auc")
            assert np.isfinite(found.scores()[["value", "low", "high", "floor"]]).all(axis=None)
    arrays = (predictions.logits, predictions.au_probabilities, features.motion, features.emotion, features.gate)
    for array in (*arrays, maps.flow, *made.maps.values()):
        assert np.isfinite(array).all()
    check_reasons(diagnose.dependence(features), "value")
    check_reasons(diagnose.selection_measures(features)(harmed.table["clip_id"][:12]), "value")


@pytest.mark.parametrize(("value", "fact"), [(np.nan, "1 of 24 clips holds NaN"), (1e30, "scores of 1 of 24 clips")])
def test_a_value_that_is_no_number_or_overflows_is_refused_by_clip(model, clips, value, fact):
    spoiled = replace(clips, flow=clips.flow.copy())
    spoiled.flow[7, 5, 5, 0] = value
    for call in (predict, extract_features):
        assert_refuses(call, model, spoiled, match=f"{fact}.*such as.*'tiny0_s01_c01'")
    assert_refuses(diagnose.saliency, model, spoiled, target="happiness", match="holds NaN|1 of 24 .*extreme flow")
    if np.isnan(value):
        assert_refuses(fit, model, spoiled, training=QUICK, progress=False, match=fact)
