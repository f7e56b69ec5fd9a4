"""Integrated gradients: completeness, what a logit cannot see, and the planted regions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_clips import tiny_clips

import medn_lab as medn
from medn_lab.diagnose import bare_change, integrated_gradients, planted_interval, planted_mass, randomisation_check
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
            self.name, self.config = (
                "linear",
                MEDNConfig(size=32, dim=32, classes=("a", "b"), aus=(), branches="motion"),
            )
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
    found, change, random = (
        planted_mass(one, truth=drawn.truth, region="AU12", of="flow")
        for one in (
            integrated_gradients(shipped, clips, target="AU12"),
            bare_change(shipped, clips, target="AU12"),
            randomisation_check(shipped, clips, target="AU12", n_draws=1).randomised,
        )
    )
    assert (found.share > found.chance).mean() > 0.9
    assert planted_interval(found).low > 0
    # More than because something moves there, and more than any network's map would.
    assert found.share.mean() > 1.3 * change.share.mean()
    assert found.share.mean() > 1.3 * random.share.mean()


def test_emotion_attribution_in_the_frames_falls_on_the_planted_cue_region(shipped, drawn):
    clips = drawn.where(cue="flush", label="disgust")
    clips = clips.select(clips.table["clip_id"][::2])
    found, change = (
        planted_mass(method(shipped, clips, target="disgust"), truth=drawn.truth, region="cue", of="frames")
        for method in (integrated_gradients, bare_change)
    )
    assert found.share.mean() > 3 * found.chance.mean()
    assert change.share.mean() == pytest.approx(change.chance.mean(), rel=0.3)  # a blush is fainter than noise
    assert planted_interval(found, of="hits").value > 0.5


def made_of(clips, **maps):
    return Attribution(
        **({"frames": None, "flow": None} | maps), table=clips.table, target="x", branch="both", method="x"
    )


def test_planted_mass_looks_where_the_clips_own_kind_of_cue_lies():
    clips = medn.synthetic_clips(n_subjects=2, clips_per_subject=5, n_frames=6, cue="colour+brightness", seed=4)
    kinds = clips.truth.table["cue_kind"]
    assert set(kinds) == {"colour", "brightness"}
    of_brightness = clips.truth.cue_mask[[0] * 5 + [1] * 5, clips.truth.cue_kinds.index("brightness")]
    heat = np.zeros(clips.frames.shape, np.float32) + of_brightness[:, None, :, :, None]
    found = planted_mass(made_of(clips, frames=heat), truth=clips.truth, region="cue", of="frames")
    np.testing.assert_allclose(found.share, kinds == "brightness")
    np.testing.assert_array_equal(found.planted, clips.table["cue"] != "still")


def test_planted_mass_closed_forms(drawn):
    clips = drawn.select(drawn.table["clip_id"][:3])
    masks = np.stack([drawn.truth.cue_region(name) for name in clips.table["clip_id"]])
    inside = planted_mass(
        made_of(clips, flow=-masks[..., None].astype(np.float32)), truth=drawn.truth, region="cue", of="flow"
    )
    np.testing.assert_allclose(inside.share, 1)
    np.testing.assert_allclose(inside.hits, 1)
    even = planted_mass(
        made_of(clips, flow=np.ones((3, 64, 64, 1), np.float32)), truth=drawn.truth, region="cue", of="flow"
    )
    np.testing.assert_allclose(even.share, even.chance, rtol=1e-5)
    np.testing.assert_allclose(even.hits, even.chance, rtol=1e-5)  # all pixels are the strongest: the share of them
    nothing = planted_mass(
        made_of(clips, flow=np.zeros((3, 64, 64, 1), np.float32)), truth=drawn.truth, region="cue", of="flow"
    )
    assert nothing.share.tolist() == nothing.hits.tolist() == [0, 0, 0]
    half = np.zeros((3, 8, 64, 64, 3), np.float32)
    half[:, 2, :, :, 0] = masks
    half[:, 5, :, :, 1] = -1.0 * masks  # signs and moments do not cancel
    in_time = planted_mass(made_of(clips, frames=half), truth=drawn.truth, region="cue", of="frames")
    np.testing.assert_allclose(in_time.share, 1)


def test_clips_in_which_nothing_was_planted_are_left_out_of_the_mean(drawn):
    even = made_of(drawn, flow=np.ones((len(drawn), 64, 64, 1), np.float32))
    cue = planted_mass(even, truth=drawn.truth, region="cue", of="flow")
    assert cue.planted.tolist() == (drawn.table["cue"] != "still").tolist()
    assert (
        f"({cue.planted.sum()} clips of 4 subjects; {(~cue.planted).sum()} without it left out)" in cue.attrs["summary"]
    )
    au = planted_mass(even, truth=drawn.truth, region="AU12", of="flow")
    assert au.planted.tolist() == (drawn.table["AU12"] == 1).tolist()
    own = planted_mass(even, truth=drawn.truth, region="AUs", of="flow")
    row = next(place for place in range(len(drawn)) if drawn.table["action_units"][place] == "12")
    assert own.chance[row] == pytest.approx(au.chance[row])
    assert (own.chance >= np.where(au.planted, au.chance, 0) - 1e-9).all()


def test_the_interval_of_planted_mass_resamples_subjects(drawn):
    flow = np.zeros((len(drawn), 64, 64, 1), np.float32)
    masks = np.stack([drawn.truth.cue_region(name) for name in drawn.table["clip_id"]])
    first = (drawn.table["subject"] == drawn.table["subject"][0]).to_numpy()
    flow[first] = masks[first][..., None]  # one subject of four has all of its map there
    flow[~first] = ~masks[~first][..., None]
    found = planted_interval(
        planted_mass(made_of(drawn, flow=flow), truth=drawn.truth, region="cue", of="flow"), of="share"
    )
    assert found.n_subjects == 4
    # One of four subjects: Wilson's interval with Student's t of three degrees of freedom is wide on both sides.
    assert found.low < 0.05
    assert found.high > 0.6
    alone = drawn.select(drawn.table["clip_id"][first])
    with pytest.raises(ValueError, match="at least 2 subjects"):
        planted_interval(planted_mass(made_of(alone, flow=flow[first]), truth=drawn.truth, region="cue", of="flow"))


def test_what_was_not_planted_gets_a_sentence(drawn):
    clips = drawn.select(drawn.table["clip_id"][:3])
    even = made_of(clips, flow=np.ones((3, 64, 64, 1), np.float32))
    with pytest.raises(ValueError, match="the attribution has no frames"):
        planted_mass(even, truth=drawn.truth, region="cue", of="frames")
    with pytest.raises(ValueError, match="no region 'AU99' was planted; there are cue, AUs, AU1"):
        planted_mass(even, truth=drawn.truth, region="AU99", of="flow")
    with pytest.raises(ValueError, match=r"the maps are \(32, 32\) px but the truth \(64, 64\)"):
        planted_mass(replace(even, flow=even.flow[:, ::2, ::2]), truth=drawn.truth, region="cue", of="flow")
    with pytest.raises(ValueError, match="of must be frames or flow"):
        planted_mass(even, truth=drawn.truth, region="cue", of="faces")


def test_nothing_is_left_behind_on_the_model():
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
