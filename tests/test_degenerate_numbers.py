"""Numbers at their worst: whatever the clips hold, a figure is a number, or its row says why it is none."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from slow_cases import mostly_slow

from medn_lab.diagnose import dependence, integrated_gradients, leakage, saliency, selection_measures, umap
from medn_lab.evaluate import au_detection, evaluate_loso, extract_features, predict
from medn_lab.model import MEDNConfig
from medn_lab.train import TrainConfig, fit

QUICK = TrainConfig(epochs=1, batch_size=8)


def labelled(clips, **columns):
    return replace(clips, table=clips.table.assign(**columns))


def copied(clips):
    """The first two persons' clips again as those of the other two."""
    frames, flow = clips.frames.copy(), clips.flow.copy()
    frames[12:], flow[12:] = frames[:12], flow[:12]
    return replace(clips, frames=frames, flow=flow)


HARMED = {
    "zero flow": lambda c: replace(c, flow=np.zeros_like(c.flow)),
    "constant frames": lambda c: replace(c, frames=np.full_like(c.frames, 90)),
    "nothing at all": lambda c: replace(c, frames=np.full_like(c.frames, 90), flow=np.zeros_like(c.flow)),
    "duplicated clips": copied,
    "an AU without positives": lambda c: labelled(c, AU12=0.0),
    "an AU that is not known": lambda c: labelled(c, AU12=np.nan),
    "a person of one class": lambda c: labelled(c, label=c.table["label"].where(c.table["subject"] != "00", "others")),
    "a class of one person": lambda c: labelled(c, label=np.where(c.table["subject"] == "00", "happiness", "others")),
    "a fold of one clip": lambda c: c.select(c.table["clip_id"][5:]),
    "one person": lambda c: labelled(c, subject="00"),
}


@pytest.fixture(params=mostly_slow(HARMED, quick=3))
def harmed(request, clips):
    return HARMED[request.param](clips)


def is_told(table: pd.DataFrame, *figures: str) -> None:
    """Every row without a figure has a reason."""
    missing = table[table[list(figures)].isna().any(axis=1)]
    said = missing["reason" if "reason" in table else "error"]
    assert (said.str.len() > 5).all(), missing


def quiet(call):
    """The result of a call that may warn, but not of a division by zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return call()


def test_predictions_features_and_maps_of_attribution_are_numbers(model, harmed):
    said = predict(model, harmed)
    features = extract_features(model, harmed)
    two = harmed.select(harmed.table["clip_id"][:2])
    map_ = quiet(lambda: integrated_gradients(model, two, target="happiness", n_steps=2))
    for array in (said.logits, said.au_probabilities, features.motion, features.emotion, features.gate, map_.flow):
        assert np.isfinite(array).all()


def test_every_figure_of_the_branches_is_a_number_or_says_why_not(model, harmed):
    features = extract_features(model, harmed)
    is_told(dependence(features), "value")
    if harmed.table["subject"].nunique() > 1:
        is_told(leakage(features, n_shuffles=2, n_resamples=20), "value", "null_mean")
    else:
        with pytest.raises(ValueError, match="there are fewer than 2 subjects"):
            leakage(features)
    is_told(selection_measures(features)(harmed.table["clip_id"][:12]), "value")
    made = quiet(lambda: umap(features, method="pca"))
    assert all(np.isfinite(xy).all() for xy in made.maps.values())


@pytest.mark.parametrize("harmed", mostly_slow(reversed(HARMED), quick=2), indirect=True)
def test_every_fold_has_its_scores_or_says_why_not(clips, harmed):
    if harmed.table["subject"].nunique() == 1:
        with pytest.raises(ValueError, match="at least 2 subjects"):
            evaluate_loso(MEDNConfig.for_clips(clips, dim=16), harmed, training=QUICK, n_jobs=1, progress=False)
        return
    config = MEDNConfig.for_clips(harmed, dim=16, branches="motion")
    found = quiet(lambda: evaluate_loso(config, harmed, training=QUICK, n_jobs=1, progress=False))
    is_told(found.folds, "accuracy")
    assert np.isfinite(found.scores()[["value", "low", "high", "floor"]]).all(axis=None)
    is_told(au_detection(found.predictions), "auc")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused_by_clip(model, clips, value):
    flow = clips.flow.copy()
    flow[3, 5, 5, 0] = value
    spoiled = replace(clips, flow=flow)
    for call in (
        lambda: predict(model, spoiled),
        lambda: extract_features(model, spoiled),
        lambda: fit(model, spoiled, training=QUICK, progress=False),
        lambda: saliency(model, spoiled, target="happiness"),
    ):
        with pytest.raises(ValueError, match=r"1 of 24 clips holds NaN or infinity, such as 'tiny0_s00_c03'"):
            call()


def test_a_flow_that_overflows_the_network_is_refused_by_clip(model, clips):
    flow = clips.flow.copy()
    flow[7] = 1e30
    spoiled = replace(clips, flow=flow)
    for call in (predict, extract_features):
        with pytest.raises(ValueError, match=r"scores of 1 of 24 clips are not numbers, such as those of .*s01_c01"):
            call(model, spoiled)
    with pytest.raises(ValueError, match=r"1 of 24 .*tiny0_s01_c01.*extreme flow"):
        saliency(model, spoiled, target="happiness")
