"""The network: shapes, gradients, what each branch may see, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import assert_refuses, mostly_slow

from medn_lab.model import MEDN, CoFM, MEDNConfig, SEVit, as_inputs, check_clips, load_pretrained, weights_sha256
from medn_lab.model.branches import Whiten, place_courses
from medn_lab.model.decoupling import GaussianCode, adversarial_loss, cross_covariance_loss, hsic_loss, orthogonal_loss
from medn_lab.train import TrainConfig, medn_loss, read_targets

SMALL = MEDNConfig(size=32, dim=32, depth=1, classes=("happiness", "others"), aus=("AU1", "AU12", "AU14"))
CODED = replace(SMALL, decoupling="bottleneck")
VARIANTS = [
    SMALL,
    replace(CODED, fusion="sum"),
    replace(SMALL, branches="motion"),
    replace(SMALL, branches="emotion"),
    replace(SMALL, decoupling="none", fusion="concat", keep_rates=(1.0,)),
    replace(SMALL, decoupling="adversarial", patch=8, n_frames=5, depth=2),
]


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def still(layer):
    """Set a layer to 0."""
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)


@pytest.mark.parametrize("config", mostly_slow(VARIANTS, quick=4), ids=lambda c: f"{c.branches}-{c.decoupling}")
def test_shapes_are_those_stated_and_every_parameter_receives_a_gradient(config, clips):
    clips = replace(clips, frames=clips.frames[:, : config.n_frames])
    model = MEDN(config).train()
    out = model(*as_inputs(config, clips, rows=np.arange(24)))
    has_motion, has_emotion = config.branches != "emotion", config.branches != "motion"
    width = config.code_dim if config.decoupling == "bottleneck" else 32
    found = [None if part is None else part.shape[1] for part in (out.logits, out.au_logits, out.motion, out.emotion)]
    assert found == [2, *((3, 32) if has_motion else (None, None)), width if has_emotion else None]
    assert (out.gate is not None) == (config.fusion == "cofm" and has_motion and has_emotion)
    targets = read_targets(config, clips.table, label="label", training=True)
    medn_loss(out, targets, config=config, training=TrainConfig())["loss"].backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    # A softmax over one scale has nothing to learn, and a bias before a softmax never has.
    allowed = {"emotion_branch.mixer.bias", "emotion_branch.pool.bias"}
    assert without <= allowed | ({"emotion_branch.mixer.weight"} if len(config.keep_rates) == 1 else set())


def test_a_course_is_the_motion_of_its_place_in_pixels_and_its_colour_change_without_that_of_the_light():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    for right, down in ((0.3, 0.0), (0.0, -0.5), (-0.2, 0.4)):
        # Waves of 6 and 7 pixels, as a camera sees them before and after a motion of so many pixels.
        skin, moved = (0.5 + 0.15 * torch.sin(x - dx) * torch.cos(0.9 * (y - dy)) for dx, dy in ((0, 0), (right, down)))
        frames = torch.stack([skin, skin, moved, skin + 0.1])[None, :, None].expand(1, 4, 3, 64, 64)
        inner = place_courses(frames, patch=4)[0][0].unflatten(0, (16, 16))[2:14, 2:14].flatten(0, 1)
        expected = torch.tensor([[0.0, 0.0], [right, down], [0.0, 0.0]]).expand_as(inner)  # still, moved, lit
        torch.testing.assert_close(inner, expected, atol=1e-3, rtol=0.2)  # a slope over two pixels is too flat
    frames = torch.full((1, 4, 3, 32, 32), 0.4)
    frames += torch.tensor([0.0, 0.1, 0.2, 0.3]).view(1, 4, 1, 1, 1)  # a lamp
    frames[0, 2, 0, 8:12, 20:24] += 0.064
    expected = torch.zeros(64, 3, 3)
    expected[2 * 8 + 5, 1, 0] = 0.064
    expected[:, 1, 0] -= 0.064 / 64
    torch.testing.assert_close(place_courses(frames, patch=4)[1][0], expected, atol=1e-6, rtol=0)


def test_whitening_gives_every_direction_the_same_size_and_does_not_enlarge_what_grey_clips_lack():
    mixing = torch.tensor([[1.0, 0.9, 0.8], [0.0, 0.02, 0.01], [0.0, 0.0, 0.01]])
    rows = torch.randn(5000, 3) @ mixing + torch.tensor([3.0, 0.0, -1.0])
    norm = Whiten(3).train()
    for _ in range(200):
        white = norm(rows)
    torch.testing.assert_close(norm.eval()(rows), white)  # the running covariance has arrived
    torch.testing.assert_close(torch.cov(white.T), torch.eye(3), atol=3e-2, rtol=0)
    torch.testing.assert_close(white.mean(dim=0), torch.zeros(3), atol=1e-2, rtol=0)
    white = Whiten(3).train()(torch.rand(1000, 1).expand(1000, 3))
    assert white.std(dim=0).max() < 2
    assert (white - white.mean(dim=1, keepdim=True)).abs().max() < 0.05


@pytest.mark.parametrize(("size", "n_frames"), mostly_slow([(64, 2), (112, 16)]))
def test_sevit_reads_other_crops_and_clip_lengths_and_grey_frames(size, n_frames):
    frames = 0.4 + 0.2 * torch.rand(4, 1, 1, size, size).repeat(1, n_frames, 3, 1, 1)
    frames[:2, -1, :, 8:16, 16:32] += 0.05  # two clips change, two are still
    branch = SEVit(MEDNConfig(size=size, n_frames=n_frames, dim=32)).train()
    branch(frames).feature.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in branch.parameters())
    found = branch.eval()(frames)
    assert {row * (size // 4) + column for row in (2, 3) for column in (4, 5, 6, 7)} <= set(found.kept[1][0].tolist())
    torch.testing.assert_close(found.feature[2], found.feature[3])
    assert not torch.allclose(found.feature[0], found.feature[2], atol=1e-4)


def test_dropped_positions_do_not_reach_the_feature(monkeypatch):
    branch = SEVit(MEDNConfig(size=32, dim=32, keep_rates=(1 / 16,))).eval()
    # A score reads all positions; held fixed, what is left is the path through the tokens.
    monkeypatch.setattr(branch, "score", lambda course: torch.arange(64.0)[None])
    frames = 0.5 + 0.02 * torch.rand(1, 8, 3, 32, 32)
    features = [branch(frames).feature]
    for row, column in ((1, 2), (7, 5)):
        changed = frames.clone()  # at the edge, with texture that leaves a place's mean as it is
        changed[:, 4, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 0.02 * torch.tensor([1, 1, -1, -1])
        features.append(branch(changed).feature)
    assert branch(frames).kept[0].tolist() == [[63, 62, 61, 60]]
    torch.testing.assert_close(features[1], features[0])
    assert not torch.allclose(features[2], features[0], atol=1e-4)


def test_a_scale_keeps_its_share_of_places_and_does_not_depend_on_the_others():
    branch = SEVit(replace(SMALL, depth=2, keep_rates=(0.5, 0.25), dropout=0.0)).eval()
    frames = torch.rand(3, 8, 3, 32, 32)
    kept, both = branch(frames).kept, branch(frames).tokens[:, 1]
    assert [len(set(places[0].tolist())) for places in kept] == [32, 16]
    assert set(kept[1][0].tolist()) <= set(kept[0][0].tolist())
    branch.kept_positions = branch.kept_positions[1:]  # the finer scale alone
    torch.testing.assert_close(branch(frames).tokens[:, 0], both)


@pytest.mark.parametrize("config", [SMALL, CODED], ids=["orthogonal", "bottleneck"])
def test_aus_come_from_the_flow_alone_and_under_the_bottleneck_logits_see_frames_through_the_code(config):
    model, frames, flow = MEDN(config).eval(), torch.rand(2, 2, 8, 3, 32, 32), torch.rand(2, 2, 32, 32)
    first, second = (model(one, flow) for one in frames)
    torch.testing.assert_close(first.au_logits, second.au_logits)
    assert not torch.allclose(first.logits, second.logits)
    for alone in ("motion", "emotion") if config is SMALL else ("motion",):  # one absent input leaves the other branch
        out = model(*((None, flow) if alone == "motion" else (frames[0], None)))
        assert out.gate is None
        torch.testing.assert_close(out.fused, getattr(out, alone))
    if config is CODED:
        still(model.code.encode)
        first, second = (model(one, flow) for one in frames)
        torch.testing.assert_close(first.logits, second.logits)
        torch.testing.assert_close(first.nats, torch.zeros(2))
        model.train()(frames[0], flow).logits.sum().backward()  # emotion cannot teach the motion branch
        assert all(p.grad is None for p in model.motion_branch.parameters())


def test_the_gate_interpolates_between_the_sides():
    fusion = CoFM(16, heads=4)
    still(fusion.motion_asks.out)
    still(fusion.emotion_asks.out)
    motion, emotion, tokens = torch.rand(5, 16), torch.rand(5, 16), torch.rand(5, 3, 16)
    fused, gate = fusion(motion, tokens, emotion, tokens)
    torch.testing.assert_close(fused, gate * motion + (1 - gate) * emotion)
    summed, none = CoFM(16, heads=4, how="sum")(motion, tokens, emotion, tokens)
    assert (torch.equal(summed, motion + emotion), none) == (True, None)


def code_of(means, deviations):
    """A code whose means do not depend on the feature and whose noise is given."""
    code = GaussianCode(32, code_dim=len(means)).eval()
    torch.nn.init.zeros_(code.encode.weight)
    code.encode.bias.data = torch.cat([torch.tensor(means), 2 * torch.tensor(deviations).log()])
    return code


def test_the_code_is_sampled_in_training_and_then_lies_in_bins_as_wide_as_the_noise_of_training():
    sent = code_of([2.0], [0.5]).train()(torch.zeros(20_000, 32))[0]
    assert (sent.mean().item(), sent.std().item()) == (pytest.approx(2.0, abs=0.02), pytest.approx(0.5, abs=0.02))
    first, second = (code_of([1.3, -0.8], [deviation] * 2)(torch.zeros(1, 32))[0] for deviation in (0.3, 0.7))
    assert torch.equal(first, second), "not as wide as the noise of the clip"
    code, feature = code_of([2.4, 0.1], [1.0, 0.5]), torch.zeros(1, 32, requires_grad=True)
    for _ in range(100):
        code.train()(torch.rand(8, 32))
    sent, _, nats = code.eval()(feature)
    # Means 2.4 and 0.1 in bins of 1 and 0.5: two bins of 1, and nothing that was ever received.
    torch.testing.assert_close(sent, torch.tensor([[2.0, 0.0]]), atol=1e-3, rtol=0)
    assert nats.item() == pytest.approx(0.5 * (2.4**2 + 0.1**2 + 0.25 - 2 * np.log(0.5) - 1), rel=1e-5)
    torch.nn.init.ones_(code.encode.weight)
    code(feature)[0].sum().backward()
    assert (feature.grad > 0).all()


def test_decoupling_losses_have_their_closed_forms_and_those_of_dependence_are_one_for_a_copy_and_small_for_noise():
    for loss, motion, other, expected in (
        (orthogonal_loss, [[1.0, 0.0]], [[0.0, 2.0]], 0.0),
        (orthogonal_loss, [[1.0, 0.0]], [[1.0, 1.0]], 0.5),
        (adversarial_loss, [[-2.0], [2.0]], [[0.0], [0.0]], 1.0),
        (adversarial_loss, [[-2.0], [2.0]], [[-1.0], [1.0]], 0.0),
    ):
        assert loss(torch.tensor(motion), torch.tensor(other)).item() == pytest.approx(expected, abs=1e-5)

    x, y = torch.randn(2, 400, 1)
    assert cross_covariance_loss(x, -2 * x).item() == pytest.approx(1.0, abs=1e-4)
    assert hsic_loss(x, x).item() == pytest.approx(1.0, abs=1e-5)
    assert max(cross_covariance_loss(x, y).item(), hsic_loss(x, y).item()) < 0.02
    x = torch.linspace(-1, 1, 201)[:, None]  # a dependence that a covariance does not see
    assert cross_covariance_loss(x, x.square()).item() < 1e-6
    assert hsic_loss(x, x.square()).item() > 0.1


def test_the_adversary_learns_to_guess_while_the_emotion_feature_learns_to_hide():
    model = MEDN(replace(SMALL, decoupling="adversarial"))
    out = model(torch.rand(64, 8, 3, 32, 32), torch.rand(64, 2, 32, 32))
    motion = torch.randn(64, 32).requires_grad_()  # what the emotion feature holds, too: it predicts it in part
    with torch.no_grad():
        motion += 50 * (out.emotion - out.emotion.mean(dim=0))
    before = adversarial_loss(motion, out.guess)
    moved, *steps = torch.autograd.grad(before, [out.emotion, *model.adversary.parameters()], retain_graph=True)
    assert torch.autograd.grad(before, motion, allow_unused=True) == (None,)
    with torch.no_grad():
        hidden = adversarial_loss(motion, model.adversary(out.emotion - moved))
        for parameter, gradient in zip(model.adversary.parameters(), steps, strict=True):
            parameter -= 0.1 * gradient
        guessed = adversarial_loss(motion, model.adversary(out.emotion))
    assert guessed < before < hidden


def test_the_seed_decides_the_weights_which_survive_saving_and_are_held_against_their_card(tmp_path):
    before, folder = torch.random.get_rng_state(), tmp_path / "mine"
    first, model, third = (MEDN(CODED, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    model.save_pretrained(folder)
    loaded = load_pretrained(folder)
    assert len({weights_sha256(one) for one in (first, model, loaded, MEDN.from_pretrained(folder))}) == 1
    assert weights_sha256(third) != weights_sha256(model)
    assert (loaded.config, loaded.name, loaded.training) == (model.config, "mine", False)
    (folder / "figures.json").write_text(json.dumps({"sha256": "0" * 64}))
    assert_refuses(load_pretrained, folder, match="000000000000")
    assert_refuses(load_pretrained, "medn_huge", match=r"medn_huge.*medn_tiny\.synthme_v2", error=FileNotFoundError)


def test_a_configuration_fits_its_clips_and_a_wrong_field_or_input_is_refused_by_its_name(clips):
    frames, flow = torch.rand(2, 8, 3, 32, 32), torch.rand(2, 2, 32, 32)
    config = MEDNConfig.for_clips(clips, dim=32)
    check_clips(config, clips)
    assert (config.classes, config.aus) == (("happiness", "others"), ("AU1", "AU12", "AU14"))
    for lacking, branches in (("frames", "motion"), ("flow", "emotion")):
        assert MEDNConfig.for_clips(replace(clips, **{lacking: None})).branches == branches
    assert MEDNConfig.from_json(json.dumps(json.loads(SMALL.to_json()) | {"attention": "divided"})) == SMALL  # of 0.1.0
    assert_refuses(replace, SMALL, keep_rates=(0.0,), match=r"keep_rates.*\(0, 1\]")
    assert_refuses(replace, SMALL, size=62, match="62.*multiple of patch 4")
    assert_refuses(MEDN(SMALL), frames[:, 1:], flow, match=r"frames.*\(2, 7, 3, 32, 32\).*\(b, 8, 3, 32, 32\)")
    assert_refuses(MEDN(replace(SMALL, branches="motion")), frames, match="'motion' was given nothing that it reads")
    assert_refuses(check_clips, MEDNConfig(), clips, match=r"32x32.*64x64.*size=64")
