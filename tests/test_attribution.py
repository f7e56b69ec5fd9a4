"""Integrated gradients: completeness, what a logit cannot see, and the planted regions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_clips import tiny_clips

import medn_lab as medn
from medn_lab.diagnose import integrated_gradients, planted_mass
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import Attribution


@pytest.fixture(scope="module")
def drawn():
    return medn.synthetic_clips(n_subjects=4, clips_per_subject=12, seed=1)


@pytest.fixture(scope="module")
def shipped():
    return medn.load_pretrained()


def test_a_linear_logit_is_attributed_exactly():
    class Linear(torch.nn.Module):
        """Emotion logits that are fixed sums over the flow."""

        def __init__(self, weight):
            super().__init__()
            self.config = MEDNConfig(size=32, dim=32, classes=("a", "b"), aus=(), branches="motion")
            self.motion_branch = torch.nn.Identity()
            self.weight = torch.nn.Parameter(weight)

        def forward(self, frames, flow):
            score = (flow * self.weight).sum(dim=(1, 2, 3))
            return medn.model.MEDNOutput(torch.stack([score, -score], dim=1), None, None, None, None, None)

    clips = tiny_clips(n_subjects=2, clips_per_subject=2)
    weight = torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(0))
    found = integrated_gradients(Linear(weight), clips, target="b")
    np.testing.assert_allclose(found.flow, -clips.flow * weight.permute(1, 2, 0).numpy(), rtol=1e-3, atol=1e-5)
    assert found.frames is None
    assert found.sanity["completeness_error"] < 1e-4


def test_an_au_logit_owes_nothing_to_the_frames(shipped, drawn):
    clips = drawn.select(drawn.table["clip_id"][:4])
    found = integrated_gradients(shipped, clips, target="AU12")
    assert found.frames is None
    assert np.abs(found.flow).max() > 0
    assert found.sanity["completeness_error"] < 0.05


def test_au_attribution_falls_on_the_planted_au_region(shipped, drawn):
    clips = drawn.where(AU12=1.0)
    found = planted_mass(
        integrated_gradients(shipped, clips, target="AU12"), truth=drawn.truth, region="AU12", of="flow"
    )
    assert (found.share > found.chance).mean() > 0.9
    assert found.share.mean() > 1.5 * found.chance.mean()


def test_emotion_attribution_in_the_frames_falls_on_the_planted_cue_region(shipped, drawn):
    clips = drawn.where(cue="flush", label="disgust")
    found = planted_mass(
        integrated_gradients(shipped, clips, target="disgust"), truth=drawn.truth, region="cue", of="frames"
    )
    assert found.share.mean() > 3 * found.chance.mean()


def test_planted_mass_closed_forms(drawn):
    clips = drawn.select(drawn.table["clip_id"][:3])
    masks = np.stack([drawn.truth.cue_region(name) for name in clips.table["clip_id"]])
    made = {"table": clips.table, "frames": None, "target": "x", "branch": "both", "method": "none"}
    inside = planted_mass(
        Attribution(flow=-masks[..., None].astype(np.float32), **made), truth=drawn.truth, region="cue", of="flow"
    )
    np.testing.assert_allclose(inside.share, 1)
    assert inside.hits.all()
    even = planted_mass(
        Attribution(flow=np.ones((3, 64, 64, 1), np.float32), **made), truth=drawn.truth, region="cue", of="flow"
    )
    np.testing.assert_allclose(even.share, even.chance, rtol=1e-5)
    nothing = planted_mass(
        Attribution(flow=np.zeros((3, 64, 64, 1), np.float32), **made), truth=drawn.truth, region="cue", of="flow"
    )
    assert nothing.share.tolist() == [0, 0, 0]
    assert not nothing.hits.any()
    with pytest.raises(ValueError, match="the attribution has no frames"):
        planted_mass(
            Attribution(flow=even.share[:, None, None, None], **made), truth=drawn.truth, region="cue", of="frames"
        )


def test_nothing_is_left_behind_on_the_model(drawn):
    clips = tiny_clips(n_subjects=2, clips_per_subject=2)
    model = MEDN(MEDNConfig.for_clips(clips, dim=32)).train()
    integrated_gradients(model, clips, target="others", n_steps=4)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())


def test_an_unknown_target_lists_those_there_are():
    clips = tiny_clips(n_subjects=2, clips_per_subject=2)
    model = MEDN(MEDNConfig.for_clips(clips, dim=32))
    with pytest.raises(ValueError, match="'joy' is no target of this model; there are happiness, others, AU1"):
        integrated_gradients(model, clips, target="joy")
    emotion_only = MEDN(replace(model.config, branches="emotion"))
    with pytest.raises(ValueError, match="'AU12' is no target"):
        integrated_gradients(emotion_only, clips, target="AU12")
