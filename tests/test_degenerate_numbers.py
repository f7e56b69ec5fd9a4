"""Numbers at their worst: whatever the clips hold, a figure is a number, or its row gives the reason why it is none."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from slow_cases import mostly_slow

from medn_lab.diagnose import dependence, integrated_gradients, leakage, saliency, selection_measures, umap
from medn_lab.evaluate import au_detection, evaluate_loso, extract_features, predict
from medn_lab.model import MEDNConfig
from medn_lab.train import TrainConfig, fit

QUICK = TrainConfig(epochs=1, batch_size=8)


def labelled(clips, **columns):
    return replace(clips, table=clips.table.assign(**columns))


HARMED = {
    "nothing at all": lambda c: replace(c, frames=np.full_like(c.frames, 90), flow=np.zeros_like(c.flow)),
    "one person": lambda c: labelled(c, subject="00"),
    "a person of one class": lambda c: labelled(c, label=c.table["label"].where(c.table["subject"] != "00", "others")),
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
        maps = integrated_gradients(model, harmed.select(harmed.table["clip_id"][:2]), target="happiness", n_steps=2)
        made = umap(features, method="pca")
        if harm == "one person":
            for call in (lambda: leakage(features), lambda: evaluate_loso(config, harmed, training=QUICK)):
                with pytest.raises(ValueError, match="2 subjects"):
                    call()
        else:
            check_reasons(leakage(features, n_shuffles=2, n_resamples=20), "value", "null_mean")
            found = evaluate_loso(config, harmed, training=QUICK, n_jobs=1, progress=False)
            check_reasons(found.folds, "accuracy")
            check_reasons(au_detection(found.predictions), "auc")
            assert np.isfinite(found.scores()[["value", "low", "high", "floor"]]).all(axis=None)
    arrays = (predictions.logits, predictions.au_probabilities, features.motion, features.emotion, features.gate)
    for array in (*arrays, maps.flow, *made.maps.values()):
        assert np.isfinite(array).all()
    check_reasons(dependence(features), "value")
    check_reasons(selection_measures(features)(harmed.table["clip_id"][:12]), "value")


@pytest.mark.parametrize(("value", "fact"), [(np.nan, "1 of 24 clips holds NaN"), (1e30, "scores of 1 of 24 clips")])
def test_a_value_that_is_no_number_or_overflows_is_refused_by_clip(model, clips, value, fact):
    spoiled = replace(clips, flow=clips.flow.copy())
    spoiled.flow[7, 5, 5, 0] = value
    for call in (predict, extract_features):
        with pytest.raises(ValueError, match=f"{fact}.*such as.*'tiny0_s01_c01'"):
            call(model, spoiled)
    with pytest.raises(ValueError, match=r"holds NaN or infinity|1 of 24 .*extreme flow"):
        saliency(model, spoiled, target="happiness")
    if np.isnan(value):
        with pytest.raises(ValueError, match=fact):
            fit(model, spoiled, training=QUICK, progress=False)
