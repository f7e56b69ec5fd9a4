"""A branch that is constant is dead, not decoupled: no figure, but one sentence that names the branch."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from slow_cases import mostly_slow
from tiny_clips import tiny_clips

from medn_lab import diagnose, view
from medn_lab.evaluate import extract_features
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import BranchFeatures, constant_reason, is_constant
from medn_lab.train import TrainConfig, fit
from medn_lab.widgets import DecouplingPanel

N = 60
DEAD = "the emotion branch is constant"
NOISE = np.random.default_rng(0).normal(size=(N, 6))
ROUNDING = 3.0 + 4e-7 * NOISE
CONSTANT = {
    "equal": np.full((N, 6), 3.0),
    "zero": np.zeros((N, 6)),
    "rounding": ROUNDING,
    "columns of many sizes": np.array([3.0, -2.0, 1e-3, 0.0, 0.5, -1.0]) + 4e-7 * NOISE,
    "float32": ROUNDING.astype(np.float32),
    "small": 1e-9 * ROUNDING,
}
ALIVE = {
    "size 1e-6": 1e-6 * NOISE,
    "size 1e-12": 1e-12 * NOISE,
    "one clip differs": np.r_[np.ones((N - 1, 6)), np.zeros((1, 6))],
    "one column": np.c_[np.ones((N, 5)), NOISE[:, :1]],
    "around 100": 100 + NOISE,
}
TABLE = pd.DataFrame({"clip_id": [f"c{k}" for k in range(N)], "subject": [f"s{k // 10}" for k in range(N)]}).assign(
    label=np.where(np.arange(N) % 2 == 0, "fear", "happiness"), action_units="12",
    AU4=1.0 * (np.arange(N) % 3 == 0), AU12=1.0 * (np.arange(N) % 5 < 2),
)  # fmt: skip
MEASURES = ("linear_cka", "distance_correlation", "hsic", "canonical_correlations", "branch_correlation")


def features(emotion=ROUNDING):
    return BranchFeatures(NOISE[:, ::-1].copy(), emotion, NOISE.copy(), TABLE)


def nothing(*figures):
    return np.isnan(np.array(figures, dtype=float)).all()


def test_what_differs_by_rounding_alone_is_constant_and_no_measure_has_a_value_and_no_test_a_p():
    for name, values in CONSTANT.items():
        assert is_constant(values), name
        assert constant_reason({"motion": NOISE, "emotion": values, "fused": None}) == DEAD
        for measure in (*MEASURES, "absolute_cosine", "trustworthiness", "continuity", "neighbour_overlap"):
            assert nothing(getattr(diagnose, measure)(NOISE, values)), (name, measure)
    for name, values in ALIVE.items():
        assert not is_constant(values), name
        assert diagnose.dependence(features(values))["reason"].eq("").all()
    for measure in (*(getattr(diagnose, name) for name in MEASURES), lambda x, y: 0.7):  # any other function, too
        test = diagnose.permutation_test(measure, NOISE, ROUNDING, n_permutations=9)
        assert nothing(test.value, test.p_value, test.figures["null_mean"])
        assert test.reason == "y is constant"


def test_what_a_factor_explains_but_for_rounding_is_constant_given_it():
    emotion = 3.0 * (TABLE["label"] == "fear").to_numpy()[:, None] + 1.0 + 4e-7 * NOISE
    assert not is_constant(emotion)
    assert not diagnose.partial_out(emotion, factors=TABLE["label"]).any()
    report = diagnose.decoupling_report(features(emotion), given=["label"], n_permutations=9, targets=[])
    rows = report.table[report.table["given"] == "label"]
    assert rows["value"].isna().all()
    assert set(rows["reason"]) == {f"{DEAD} given label"}


def test_probes_leaks_pairs_and_the_figures_of_a_selection_name_the_branch():
    found = diagnose.probe(ROUNDING, TABLE["AU4"], subjects=TABLE["subject"], n_shuffles=3)
    assert (nothing(found.value), found.reason) == (True, "the features are constant")
    leaks = diagnose.leakage(features(), n_shuffles=2, n_resamples=20).set_index("branch")
    assert leaks.loc["emotion", ["value", "null_mean", "p", "excess"]].isna().all(axis=None)
    assert set(leaks.loc["emotion", "reason"]) == {DEAD}
    assert leaks.loc["motion", "value"].notna().all()
    measured = diagnose.selection_measures(features())(TABLE["clip_id"][:40])
    gone = measured[(measured["kind"] == "dependence") | (measured["branch"] == "emotion")]
    assert (gone["value"].isna().all(), set(gone["reason"])) == (True, {DEAD})
    watched = diagnose.decoupling_watch(tiny_clips()).of(features())
    assert not {"dependence_linear_cka", "leak_aus_from_emotion"} & set(watched)


def test_the_report_names_the_branch_in_table_headline_page_and_pictures(tmp_path):
    given = replace(features(), nats=np.full(N, 0.3, np.float32))
    report = diagnose.decoupling_report(given, n_permutations=9, n_shuffles=2, n_exchanges=19)
    assert "AUs from the emotion branch" not in repr(report)
    dead = report.table["kind"].isin(["dependence", "information"]) | (report.table["branch"] == "emotion")
    assert report.table.loc[dead, ["value", "p"]].isna().all(axis=None)
    assert report.table.loc[dead, "reason"].str.startswith(DEAD).all()
    pictures = [
        view.plot_leakage(report),
        view.plot_dependence(report),
        view.plot_decoupling(report, kind="information"),
    ]
    for text in (repr(report), report.to_html(tmp_path / "r.html").read_text(), *(one.to_json() for one in pictures)):
        assert DEAD in text
    named = [note.text for note in pictures[0].layout.annotations if note.x == 1]
    assert set(named) - {"<b>an unnamed model</b>"} == {"constant"}
    panel = DecouplingPanel(report)
    for family in ("dependence", "leakage", "information"):
        panel.family = family
        numbers = np.flatnonzero((panel.selection["kind"] == family) & (panel.selection["branch"] != "motion"))
        assert "no value, the emotion branch is constant" in panel.explain(int(numbers[0]))


def test_maps_and_their_figures_name_the_branch():
    with pytest.warns(UserWarning, match=DEAD):
        made = diagnose.umap(features(), method="pca")
    assert not made.emotion_xy.any()
    assert nothing(made.trustworthiness["emotion"])
    assert DEAD in repr(made)
    assert "nan" not in repr(made)
    picture = view.plot_embedding(made).to_json()
    assert ("reason" in picture + repr(made), "constant" in picture) == (False, True)
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
def test_fit_warns_where_an_input_does_not_vary_and_the_branch_that_reads_it_has_no_figure(warned):
    clips = UNVARIED[warned](tiny_clips())
    model = MEDN(MEDNConfig.for_clips(clips, dim=16), seed=0)
    with pytest.warns(UserWarning, match=warned):
        fit(model, clips, training=TrainConfig(epochs=2, batch_size=8), progress=False)
    if warned == "frames do not move":
        found = diagnose.dependence(extract_features(model, clips, batch_size=7))
        assert (found["value"].isna().all(), set(found["reason"])) == (True, {DEAD})
        two = clips.select(clips.table["clip_id"][:2])
        with pytest.warns(UserWarning, match="is 0 everywhere in all 2 clips"):
            diagnose.integrated_gradients(model, two, target="happiness", n_steps=2)
