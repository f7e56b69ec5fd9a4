"""A model run over clips: live answers equal those of a batch, layers are read by hooks that leave nothing behind."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from refusals import assert_refuses
from tiny_clips import tiny_clips

from medn_lab.diagnose import kept_tokens
from medn_lab.evaluate import extract_features, layer_features, live_predictor, predict
from medn_lab.model import MEDN, MEDNConfig, as_inputs

ABOUT = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def few():
    return tiny_clips(n_subjects=2, clips_per_subject=2)


def small(clips, **changes) -> MEDN:
    return MEDN(replace(MEDNConfig.for_clips(clips, dim=32, patch=8, keep_rates=(0.5, 0.25)), **changes))


@pytest.fixture(scope="module")
def model(few):
    return small(few, decoupling="bottleneck")


@pytest.fixture(scope="module")
def answers(model, few):
    return live_predictor(model)(few)


def test_the_whole_answer_is_that_of_the_batch_functions(model, few, answers):
    whole, features, kept = predict(model, few), extract_features(model, few), kept_tokens(model, few)
    for found, expected, names in (
        (answers.predictions, whole, ("logits", "au_logits")),
        (answers.features, features, ("motion", "emotion", "fused", "gate", "nats")),
        (answers.kept, kept, ("masks", "scores", "mix")),
    ):
        for name in names:
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), **ABOUT)
    # There is no run record: the clip may be a face that is being changed.
    assert answers.predictions.source == {name: value for name, value in whole.source.items() if name != "run"}
    assert answers.predictions.table.equals(whole.table)


def test_one_input_alone_is_the_model_shown_nothing_by_the_other(model, few, answers):
    without_flow = predict(model, replace(few, flow=np.zeros_like(few.flow)))
    stilled = predict(model, replace(few, frames=np.repeat(few.frames[:, :1], 8, axis=1)))
    np.testing.assert_allclose(answers.frames_alone.logits, without_flow.logits, **ABOUT)
    np.testing.assert_allclose(answers.flow_alone.logits, stilled.logits, **ABOUT)
    assert not np.allclose(answers.frames_alone.logits, answers.flow_alone.logits)


@pytest.mark.parametrize("branches", ["motion", "emotion"])
def test_a_model_of_one_branch_answers_once(few, branches):
    answers = live_predictor(small(few, branches=branches))(few)
    assert answers.frames_alone is answers.flow_alone is answers.features.gate is None
    has = answers.kept is not None, answers.predictions.au_logits is not None
    assert has == (branches == "emotion", branches == "motion")


def test_layers_keep_channels_or_their_last_axis_and_no_hook_stays_behind(few):
    plain, names = small(few, decoupling="none", dim=16, heads=2).eval(), ["motion_branch.stem", "emotion_branch.norm"]
    inputs, runs = as_inputs(plain.config, few, rows=np.arange(len(few))), []
    with torch.inference_mode():
        grid = plain.motion_branch.stem(inputs.flow * plain.motion_branch.gain)
        with plain.emotion_branch.norm.register_forward_hook(lambda _, __, out: runs.append(out)):
            nats = plain(*inputs).nats
    plain.train()
    stem, norm, summary = layer_features(plain, few, layers=[*names, "emotion_branch.summary"], batch_size=3).values()
    np.testing.assert_allclose(stem, grid.mean(dim=(2, 3)), atol=1e-5)
    assert (len(runs), nats) == (2, None)  # once a scale
    np.testing.assert_allclose(norm, torch.stack([x.mean(dim=1) for x in runs]).mean(dim=0), atol=1e-5)
    np.testing.assert_allclose(summary, extract_features(plain, few).emotion, atol=1e-5)
    assert summary.index.tolist() == few.table["clip_id"].tolist()
    for layer, error, fact in (
        ("motion_branch", ValueError, "'motion_branch' does not give a row a clip"),
        ("motion_branch.trunk", AttributeError, "trunk"),
        ("emotion_branch.blocks", ValueError, r"'emotion_branch.blocks' does not run"),
    ):
        assert_refuses(layer_features, plain, few, layers=[layer], match=fact, error=error)
    assert plain.training
    assert not [m for m in plain.modules() if m._forward_hooks or m._forward_pre_hooks]
