"""A model that answers at once says what it says in a batch, and one input at a time what it says without the other."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_clips import tiny_clips

from medn_lab.diagnose import kept_tokens
from medn_lab.evaluate import extract_features, live_predictor, predict
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import LivePrediction

ABOUT = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def clips():
    return tiny_clips(n_subjects=2, clips_per_subject=2)


def small(clips, **changes) -> MEDN:
    return MEDN(replace(MEDNConfig.for_clips(clips, dim=32, patch=8), **changes))


@pytest.fixture(scope="module", params=["none", "bottleneck"])
def model(clips, request):
    return small(clips, decoupling=request.param)


def test_the_whole_answer_is_what_predict_and_extract_features_say(model, clips):
    answers = live_predictor(model)(clips)
    whole, features = predict(model, clips), extract_features(model, clips)
    np.testing.assert_allclose(answers.predictions.logits, whole.logits, **ABOUT)
    np.testing.assert_allclose(answers.predictions.au_logits, whole.au_logits, **ABOUT)
    for name in ("motion", "emotion", "fused", "gate"):
        np.testing.assert_allclose(getattr(answers.features, name), getattr(features, name), **ABOUT)
    made = {name: value for name, value in whole.source.items() if name != "run"}  # no run record: a face that is moved
    assert answers.predictions.source == made
    assert answers.predictions.table.equals(whole.table)


def test_what_was_kept_is_what_kept_tokens_says(model, clips):
    answers, kept = live_predictor(model)(clips), kept_tokens(model, clips)
    assert (answers.kept.masks == kept.masks).all()
    assert answers.kept.kept_shares == kept.kept_shares
    np.testing.assert_allclose(answers.kept.scores, kept.scores, **ABOUT)


def test_one_input_alone_is_the_model_shown_nothing_by_the_other(model, clips):
    answers = live_predictor(model)(clips)
    without_flow = predict(model, replace(clips, flow=np.zeros_like(clips.flow)))
    stilled = predict(model, replace(clips, frames=np.repeat(clips.frames[:, :1], 8, axis=1)))
    np.testing.assert_allclose(answers.frames_alone.logits, without_flow.logits, **ABOUT)
    np.testing.assert_allclose(answers.flow_alone.logits, stilled.logits, **ABOUT)
    assert not np.allclose(answers.frames_alone.logits, answers.flow_alone.logits)


@pytest.mark.parametrize("branches", ["motion", "emotion"])
def test_a_model_of_one_branch_answers_once(clips, branches):
    answers = live_predictor(small(clips, branches=branches))(clips)
    assert answers.frames_alone is None
    assert answers.flow_alone is None
    assert answers.features.gate is None
    assert (answers.kept is None) == (branches == "motion")
    assert (answers.predictions.au_logits is None) == (branches == "emotion")


def test_each_module_keeps_its_mode(clips):
    model = small(clips).train()
    model.motion_branch.eval()
    live_predictor(model)(clips)
    assert model.training
    assert model.head.training
    assert not model.motion_branch.stem.training
    assert not any(parameter.grad is not None for parameter in model.parameters())
    assert torch.is_grad_enabled()


def test_torch_gets_its_threads_back(model, clips):
    count = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        live_predictor(model)(clips)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(count)


def test_clips_of_another_size_are_one_sentence(model):
    with pytest.raises(ValueError, match="16x16 px but the model reads 32x32"):
        live_predictor(model)(tiny_clips(n_subjects=1, clips_per_subject=1, size=32).__class__(
            np.zeros((1, 8, 16, 16, 3), np.uint8), np.zeros((1, 16, 16, 2), np.float32),
            tiny_clips(n_subjects=1, clips_per_subject=1).table,
        ))  # fmt: skip


def test_answers_of_different_clips_do_not_go_together(model, clips):
    answers = live_predictor(model)(clips)
    other = live_predictor(model)(clips.select(clips.table["clip_id"][::-1]))
    with pytest.raises(ValueError, match="features and predictions of"):
        LivePrediction(answers.predictions, other.features)


def test_the_repr_names_model_and_answers(model, clips):
    said = repr(live_predictor(model)(clips))
    assert said.startswith(f"LivePrediction of {model.name} to 4 clips: tiny0_s00_c00 ")
    assert said.endswith("and 1 more")
