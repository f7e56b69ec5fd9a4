"""Methods put to one trial: the figures are those of the single instruments, and the pictures show them."""

import numpy as np
import pytest
from tiny_clips import tiny_model

from medn_lab.diagnose import compare_attributions, planted_interval, planted_mass, randomisation_check
from medn_lab.synthme import synthetic_clips
from medn_lab.view import plot_attribution_comparison, plot_randomisation

METHODS = ("bare_change", "saliency", "integrated_gradients")
FEW_STEPS = {"integrated_gradients": {"n_steps": 4}}


@pytest.fixture(scope="module")
def clips():
    drawn = synthetic_clips(n_subjects=2, clips_per_subject=6, size=64, seed=2, n_jobs=1)
    return drawn.with_table(drawn.table.assign(label=drawn.table["emotion"]))


@pytest.fixture(scope="module")
def model(clips):
    return tiny_model(clips)


@pytest.fixture(scope="module")
def trial(model, clips):
    return compare_attributions(
        model, clips, target="happiness", methods=METHODS, params=FEW_STEPS, truth=clips.truth, n_draws=1
    )


def row(trial, method, of):
    return trial[(trial["method"] == method) & (trial["input"] == of)].iloc[0]


def test_the_figures_are_those_of_the_single_instruments(trial, model, clips):
    assert [*zip(trial["method"], trial["input"], strict=True)] == [
        (m, of) for m in METHODS for of in ("frames", "flow")
    ]
    check = randomisation_check(model, clips, target="happiness", method="saliency", n_draws=1)
    for of, region in (("frames", "cue"), ("flow", "AUs")):
        found = row(trial, "saliency", of)
        last = check.table[(check.table["stage"] == "all weights") & (check.table["input"] == of)].iloc[0]
        np.testing.assert_allclose(found[["spearman", "ssim"]].tolist(), last[["spearman", "ssim"]].tolist(), rtol=1e-6)
        own, drawn = (
            planted_mass(a, truth=clips.truth, region=region, of=of) for a in (check.attribution, check.randomised)
        )
        assert found["share"] == pytest.approx(planted_interval(own, of="share").value)
        assert found["low"] == pytest.approx(planted_interval(own, of="share").low)
        assert found["random_share"] == pytest.approx(drawn.share[drawn.planted].mean())
        assert (found["region"], found["n_planted"]) == (region, own.planted.sum())


def test_a_map_without_a_network_survives_and_adds_nothing_to_its_random_self(trial):
    for of in ("frames", "flow"):
        found = row(trial, "bare_change", of)
        assert found["survives"]
        assert found["spearman_absolute"] == pytest.approx(1)
        assert found["share"] == pytest.approx(found["random_share"])


def test_only_methods_that_promise_completeness_have_its_error(trial):
    has = trial.groupby("method")["completeness_error"].apply(lambda errors: errors.notna().all())
    assert has.to_dict() == {"bare_change": False, "saliency": False, "integrated_gradients": True}


def test_an_au_as_target_is_looked_for_in_its_own_region(model, clips):
    found = compare_attributions(model, clips, target="AU4", methods=["saliency"], truth=clips.truth, n_draws=1)
    assert found["region"].tolist() == ["AU4"]
    shown = int(clips.table["AU4"].sum())
    assert found["n_planted"].tolist() == [shown]


def test_a_region_planted_in_no_clip_has_no_figure_and_one_subject_no_interval(model, clips):
    still = clips.select(clips.table.loc[clips.table["cue"] == "still", "clip_id"])
    found = row(
        compare_attributions(model, still, target="happiness", methods=["saliency"], truth=clips.truth, n_draws=1),
        "saliency",
        "frames",
    )
    assert found["n_planted"] == 0
    assert np.isnan(found["share"])
    one = clips.select(clips.table.loc[clips.table["subject"] == clips.table["subject"].iloc[0], "clip_id"])
    found = compare_attributions(model, one, target="happiness", methods=["saliency"], truth=clips.truth, n_draws=1)
    assert np.isnan(found["low"]).all()
    assert found["share"].notna().any()


def test_without_a_truth_there_is_no_share(model, clips):
    found = compare_attributions(model, clips, target="happiness", methods=["saliency"], n_draws=1)
    assert "share" not in found
    figure = plot_attribution_comparison(found)
    assert not [trace for trace in figure.data if (trace.meta or "").endswith("share")]


def test_no_method_gets_a_sentence(model, clips):
    with pytest.raises(ValueError, match="no method is named"):
        compare_attributions(model, clips, target="happiness", methods=())


def test_the_picture_shows_the_table(trial):
    figure = plot_attribution_comparison(trial)
    traces = {trace.meta: trace for trace in figure.data if trace.meta}
    for of in ("frames", "flow"):
        rows = trial[trial["input"] == of]
        np.testing.assert_allclose(traces[f"{of} share"].x, rows["share"])
        np.testing.assert_allclose(traces[f"{of} random"].x, rows["random_share"])
        np.testing.assert_allclose(traces[f"{of} area"].x, rows["area"])
        marked = [symbol == "circle-open" for symbol in traces[f"{of} alike"].marker.symbol]
        assert marked == rows["survives"].tolist()
    hostile = trial.assign(target="<img src=x>")
    assert "<img" not in plot_attribution_comparison(hostile).to_json()


def test_the_cascade_begins_at_the_map_itself_and_ends_at_all_weights(model, clips):
    check = randomisation_check(model, clips, target="happiness", method="saliency", randomise="modules", n_draws=1)
    figure = plot_randomisation(check.table)
    curve = next(trace for trace in figure.data if trace.meta == "frames spearman_absolute")
    rows = check.table[check.table["input"] == "frames"]
    np.testing.assert_allclose(curve.y, [1, *rows["spearman_absolute"]])
    assert (curve.x[0], curve.x[-1]) == ("as it was", "all weights")


@pytest.mark.parametrize("draw", [plot_randomisation, plot_attribution_comparison])
def test_a_table_of_something_else_gets_a_sentence(draw, trial):
    with pytest.raises(ValueError, match="the table lacks"):
        draw(trial[["method"]])
    full = trial.assign(stage="all weights", n_draws=1)
    with pytest.raises(ValueError, match="has no row"):
        draw(full.iloc[:0])
