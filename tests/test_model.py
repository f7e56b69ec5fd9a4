"""The network: shapes, gradients, what each branch may see, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_clips import tiny_clips

from medn_lab.model import (
    MEDN,
    NETWORKS,
    CoFM,
    MEDNConfig,
    SEVit,
    adversarial_loss,
    as_inputs,
    check_clips,
    cross_covariance_loss,
    hsic_loss,
    load_pretrained,
    orthogonal_loss,
    pretrained_names,
    weights_sha256,
)
from medn_lab.model.decoupling import GaussianCode
from medn_lab.model.sevit import BLOCKS
from medn_lab.train import medn_loss, read_targets

SMALL = MEDNConfig(size=32, dim=32, depth=1, classes=("happiness", "others"), aus=("AU1", "AU12", "AU14"))
VARIANTS = [
    SMALL,
    replace(SMALL, decoupling="none", fusion="concat"),
    replace(SMALL, decoupling="bottleneck", fusion="sum"),
    replace(SMALL, decoupling="hsic"),
    replace(SMALL, decoupling="adversarial", depth=2),
    replace(SMALL, decoupling="cross_covariance", keep_rates=(1.0,)),
    replace(SMALL, branches="motion"),
    replace(SMALL, branches="emotion"),
    replace(SMALL, attention="joint", depth=2),
]


def described(config):
    return f"{config.branches}-{config.fusion}-{config.decoupling}-{config.keep_rates}-{config.attention}"


@pytest.mark.parametrize("config", VARIANTS, ids=described)
def test_every_parameter_receives_a_gradient(config):
    clips = tiny_clips()
    model = MEDN(config).train()
    # The last layer of the learned score starts at zero, which hides the gradient of the layer before it.
    if model.emotion_branch is not None:
        torch.nn.init.normal_(model.emotion_branch.score.correction[-1].weight)
    output = model(*as_inputs(config, clips, rows=np.arange(len(clips))))
    targets = read_targets(config, clips.table, label="label", training=True)
    medn_loss(output, targets, config=config)["loss"].backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A softmax over one scale has nothing to learn, and a bias before it never has.
    allowed = {"emotion_branch.mixer.bias"} | (
        {"emotion_branch.mixer.weight"} if len(config.keep_rates) == 1 else set()
    )
    assert set(without) <= allowed


@pytest.mark.parametrize("config", VARIANTS, ids=described)
def test_what_is_returned_is_the_features_and_the_head_on_the_fused_one(config):
    model = MEDN(config).eval()
    given = torch.rand(3, 8, 3, 32, 32), torch.rand(3, 2, 32, 32)
    features, out = model.forward_features(*given), model(*given)
    assert out._fields == ("logits", *features._fields)
    torch.testing.assert_close(out.logits, model.forward_head(features.fused), rtol=0, atol=0)
    for name in ("au_logits", "motion", "emotion", "fused", "gate", "nats", "guess"):
        one, other = getattr(features, name), getattr(out, name)
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("config", VARIANTS, ids=described)
def test_output_shapes_are_those_stated(config):
    model = MEDN(config).eval()
    out = model(torch.rand(3, 8, 3, 32, 32), torch.rand(3, 2, 32, 32))
    assert out.logits.shape == (3, 2)
    assert out.fused.shape == (3, 32)
    if config.branches != "emotion":
        assert out.au_logits.shape == (3, 3)
        assert out.motion.shape == (3, 32)
    if config.branches != "motion":
        assert out.emotion.shape == (3, config.emotion_dim)
    if config.branches == "both":
        assert (out.gate is not None) == (config.fusion == "cofm")


@pytest.mark.parametrize(("attention", "one_set"), [("divided", False), ("joint", True)])
def test_joint_attention_reads_a_clips_tokens_as_one_set_and_divided_does_not(attention, one_set):
    torch.manual_seed(0)
    block, tokens = BLOCKS[attention](16, 2, 0.0).eval(), torch.randn(2, 4, 6, 16)
    order = torch.randperm(4 * 6)

    def exchanged(x):
        return x.flatten(1, 2)[:, order].unflatten(1, (4, 6))

    assert torch.allclose(block(exchanged(tokens)), exchanged(block(tokens)), atol=1e-5) == one_set


def test_the_keep_rates_gather_that_share_of_positions_without_repeats():
    branch = SEVit(MEDNConfig(size=64, keep_rates=(0.5, 0.25, 0.125))).eval()
    kept = branch(torch.rand(2, 8, 3, 64, 64)).kept
    assert [places.shape[1] for places in kept] == [32, 16, 8]
    for places in kept:
        assert all(len(set(row.tolist())) == len(row) for row in places)
    assert set(kept[2][0].tolist()) <= set(kept[0][0].tolist())


def test_an_untrained_sevit_keeps_the_position_that_changes():
    config = MEDNConfig(size=32, dim=32, keep_rates=(1 / 16,))
    branch = SEVit(config).eval()
    frames = torch.full((1, 8, 3, 32, 32), 0.5)
    frames[0, 4, 0, 8:16, 16:24] += 0.1  # patch row 1, column 2 reddens
    assert branch(frames).kept[0].tolist() == [[1 * 4 + 2]]


def test_dropped_positions_do_not_reach_the_feature(monkeypatch):
    branch = SEVit(MEDNConfig(size=32, dim=32, keep_rates=(0.25,))).eval()
    # A score reads all positions; held fixed, what is left is the path through the tokens.
    monkeypatch.setattr(branch.score, "forward", lambda detail, mean: torch.arange(16.0)[None])
    frames = torch.rand(1, 8, 3, 32, 32)
    chequered = 0.1 * (-1.0) ** torch.arange(8).add(torch.arange(8)[:, None])  # leaves a patch's mean as it is

    def feature_with_texture_at(row, column):
        changed = frames.clone()
        changed[:, 4, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += chequered
        return branch(changed).feature

    assert branch(frames).kept[0].tolist() == [[15, 14, 13, 12]]
    torch.testing.assert_close(feature_with_texture_at(1, 2), branch(frames).feature)
    assert not torch.allclose(feature_with_texture_at(3, 2), branch(frames).feature, atol=1e-4)


def test_the_emotion_branch_does_not_see_a_constant_face():
    branch = SEVit(MEDNConfig(size=32, dim=32)).eval()
    one, other = (torch.rand(1, 1, 3, 32, 32).expand(1, 8, 3, 32, 32) for _ in range(2))
    torch.testing.assert_close(branch(one).feature, branch(other).feature)


def test_au_logits_depend_on_the_flow_alone():
    model = MEDN(SMALL).eval()
    flow = torch.rand(2, 2, 32, 32)
    first = model(torch.rand(2, 8, 3, 32, 32), flow)
    second = model(torch.rand(2, 8, 3, 32, 32), flow)
    torch.testing.assert_close(first.au_logits, second.au_logits)
    assert not torch.allclose(first.logits, second.logits)


def test_under_the_bottleneck_emotion_cannot_teach_the_motion_branch():
    model = MEDN(replace(SMALL, decoupling="bottleneck")).train()
    out = model(torch.rand(4, 8, 3, 32, 32), torch.rand(4, 2, 32, 32))
    out.logits.sum().backward()
    assert all(p.grad is None for p in model.motion_branch.parameters())


def test_under_the_bottleneck_logits_see_frames_only_through_the_code():
    model = MEDN(replace(SMALL, decoupling="bottleneck")).eval()
    torch.nn.init.zeros_(model.code.encode.weight)
    torch.nn.init.zeros_(model.code.encode.bias)
    flow = torch.rand(2, 2, 32, 32)
    first = model(torch.rand(2, 8, 3, 32, 32), flow)
    second = model(torch.rand(2, 8, 3, 32, 32), flow)
    torch.testing.assert_close(first.logits, second.logits)
    torch.testing.assert_close(first.nats, torch.zeros(2))


def test_in_evaluation_the_code_has_the_resolution_of_its_noise():
    code = GaussianCode(replace(SMALL, decoupling="bottleneck", code_dim=2)).eval()
    torch.nn.init.zeros_(code.encode.weight)
    # Means 2.4 and 0.1 with standard deviations 1 and 0.5: two steps of 1, and nothing that was ever received.
    code.encode.bias.data = torch.tensor([2.4, 0.1, 0.0, 2 * np.log(0.5)], dtype=torch.float32)
    feature = torch.zeros(1, 32, requires_grad=True)
    sent, _, nats = code(feature)
    torch.testing.assert_close(sent, torch.tensor([[2.0, 0.0]]))
    expected = 0.5 * (2.4**2 + 0.1**2 + 0.25 - 2 * np.log(0.5) - 1)
    torch.testing.assert_close(nats, torch.tensor([expected], dtype=torch.float32))
    torch.nn.init.ones_(code.encode.weight)
    code(feature)[0].sum().backward()
    torch.testing.assert_close(feature.grad, torch.full((1, 32), 2.0))


def test_in_training_the_code_is_sampled_around_its_mean():
    code = GaussianCode(replace(SMALL, decoupling="bottleneck", code_dim=1)).train()
    torch.nn.init.zeros_(code.encode.weight)
    code.encode.bias.data = torch.tensor([2.0, 2 * np.log(0.5)], dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sent = code(torch.zeros(20_000, 32))[0]
    assert sent.mean().item() == pytest.approx(2.0, abs=0.02)
    assert sent.std().item() == pytest.approx(0.5, abs=0.02)


def test_the_adversary_learns_to_guess_while_the_emotion_feature_learns_to_hide():
    model = MEDN(replace(SMALL, decoupling="adversarial"))
    generator = torch.Generator().manual_seed(0)
    motion = torch.randn(64, 32, generator=generator)
    feature = motion.clone().requires_grad_()  # an emotion feature that is the motion feature itself
    before = adversarial_loss(motion, model.adversary(feature))
    before.backward()
    steps = [(p, p.grad.clone()) for p in model.adversary.parameters()]
    with torch.no_grad():
        hidden = adversarial_loss(motion, model.adversary(feature - feature.grad * 20))
        for parameter, gradient in steps:
            parameter -= 0.1 * gradient
        guessed = adversarial_loss(motion, model.adversary(feature))
    assert guessed < before < hidden


def test_adversarial_loss_closed_forms():
    motion = torch.tensor([[-2.0], [2.0]], requires_grad=True)
    assert adversarial_loss(motion, torch.zeros(2, 1)).item() == pytest.approx(1.0, abs=1e-5)
    assert adversarial_loss(motion, torch.tensor([[-1.0], [1.0]])).item() == pytest.approx(0.0, abs=1e-5)
    guess = torch.zeros(2, 1, requires_grad=True)
    adversarial_loss(motion, guess).backward()
    assert motion.grad is None
    assert guess.grad is not None


def test_named_sizes_grow_and_the_largest_is_about_a_vit_s():
    sizes = [sum(p.numel() for p in MEDN(MEDNConfig.named(name)).parameters()) for name in NETWORKS]
    assert sizes == sorted(sizes)
    assert 20e6 < sizes[-1] < 30e6
    with pytest.raises(ValueError, match="no network 'medn_huge'; there are medn_tiny"):
        MEDNConfig.named("medn_huge")


def test_scales_share_the_first_attention_over_time():
    branch = SEVit(replace(SMALL, depth=2, keep_rates=(0.5, 0.25), dropout=0.0)).eval()
    frames = torch.rand(3, 8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    calls = []
    branch.blocks[0].temporal.register_forward_hook(lambda *_: calls.append(1))
    both = branch(frames).tokens[:, 1]
    assert len(calls) == 1
    branch.kept_positions = branch.kept_positions[1:]  # the finer scale on its own
    torch.testing.assert_close(branch(frames).tokens[:, 0], both)


@pytest.mark.parametrize(("frames", "flow", "branch"), [(None, 1, "motion"), (1, None, "emotion")])
def test_one_absent_input_leaves_the_other_branch(frames, flow, branch):
    model = MEDN(SMALL).eval()
    out = model(
        None if frames is None else torch.rand(2, 8, 3, 32, 32), None if flow is None else torch.rand(2, 2, 32, 32)
    )
    assert out.gate is None
    torch.testing.assert_close(out.fused, getattr(out, branch))


def test_the_gate_interpolates_between_the_sides():
    fusion = CoFM(16, heads=4)
    for asks in (fusion.motion_asks, fusion.emotion_asks):
        torch.nn.init.zeros_(asks.out.weight)
        torch.nn.init.zeros_(asks.out.bias)
    motion, emotion = torch.rand(5, 16), torch.rand(5, 16)
    fused, gate = fusion(motion, torch.rand(5, 3, 16), emotion, torch.rand(5, 2, 16))
    torch.testing.assert_close(fused, gate * motion + (1 - gate) * emotion)


def test_orthogonal_loss_closed_forms():
    east, north = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    assert orthogonal_loss(east, north).item() == pytest.approx(0.0)
    assert orthogonal_loss(east, -3 * east).item() == pytest.approx(1.0)
    assert orthogonal_loss(east, east + north / 2).item() == pytest.approx(0.5)


def test_dependence_losses_are_one_for_a_copy_and_small_for_noise():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(400, 1, generator=generator), torch.randn(400, 1, generator=generator)
    assert cross_covariance_loss(x, -2 * x).item() == pytest.approx(1.0, abs=1e-4)
    assert hsic_loss(x, x).item() == pytest.approx(1.0, abs=1e-5)
    assert cross_covariance_loss(x, y).item() < 0.02
    assert hsic_loss(x, y).item() < 0.02


def test_hsic_sees_what_a_covariance_does_not():
    x = torch.linspace(-1, 1, 201)[:, None]
    assert cross_covariance_loss(x, x.square()).item() < 1e-6
    assert hsic_loss(x, x.square()).item() > 0.1


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator():
    before = torch.random.get_rng_state()
    first, second, third = MEDN(SMALL, seed=1), MEDN(SMALL, seed=1), MEDN(SMALL, seed=2)
    assert weights_sha256(first) == weights_sha256(second) != weights_sha256(third)
    assert torch.equal(before, torch.random.get_rng_state())


def test_weights_survive_saving_and_loading(tmp_path):
    model = MEDN(replace(SMALL, decoupling="bottleneck"), seed=3)
    model.save_pretrained(tmp_path / "mine")
    loaded = load_pretrained(tmp_path / "mine")
    assert weights_sha256(loaded) == weights_sha256(model)
    assert loaded.config == model.config
    assert loaded.name == "mine"
    assert not loaded.training


def test_an_unknown_pretrained_name_lists_those_there_are():
    with pytest.raises(FileNotFoundError, match=r"no pretrained model 'medn_huge'; there are: .*") as caught:
        load_pretrained("medn_huge")
    assert all(name in str(caught.value) for name in pretrained_names())


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    with pytest.raises(ValueError, match=r"Pickled weights .* are not read"):
        load_pretrained(tmp_path)


def test_weights_that_are_not_those_of_the_card_are_refused(tmp_path):
    MEDN(SMALL).save_pretrained(tmp_path)
    (tmp_path / "figures.json").write_text(json.dumps({"sha256": "0" * 64}))
    with pytest.raises(ValueError, match="its card says 000000000000"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"keep_rates": (0.0,)}, r"keep_rates must be in \(0, 1\]"),
        ({"keep_rates": ()}, "at least one"),
        ({"size": 60}, "at least 16 and a multiple of patch 8"),
        ({"size": 8}, "at least 16"),
        ({"dim": 30}, "multiple of 8 and of heads"),
        ({"classes": ("one",)}, "at least two"),
        ({"fusion": "magic"}, "fusion must be one of cofm, concat, sum; got 'magic'"),
        ({"decoupling": "magic"}, "decoupling must be one of orthogonal"),
        ({"flow_channels": 1}, "flow_channels must be 2"),
        ({"dropout": 1.0}, "dropout must be in"),
    ],
)
def test_a_configuration_out_of_range_is_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(SMALL, **changes)


def test_wrong_shapes_are_refused_with_both_shapes():
    model = MEDN(SMALL)
    with pytest.raises(ValueError, match=r"frames are \(2, 7, 3, 32, 32\), this model reads \(b, 8, 3, 32, 32\)"):
        model(torch.rand(2, 7, 3, 32, 32), torch.rand(2, 2, 32, 32))
    with pytest.raises(ValueError, match=r"flow is \(2, 2, 64, 64\)"):
        model(torch.rand(2, 8, 3, 32, 32), torch.rand(2, 2, 64, 64))
    with pytest.raises(ValueError, match="neither frames nor flow"):
        model()


def test_clips_that_do_not_fit_are_refused_with_the_cure():
    clips = tiny_clips()
    with pytest.raises(ValueError, match=r"clips are 32x32 px but the model reads 64x64; prepare them at size=64"):
        check_clips(MEDNConfig(), clips)
    with pytest.raises(ValueError, match="have 8 frames but the model reads 12"):
        check_clips(replace(SMALL, n_frames=12), clips)
    broken = clips.flow.copy()
    broken[3, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="flow of 1 of 24 clips holds NaN or infinity, such as 'tiny0_s00_c03'"):
        check_clips(SMALL, replace(clips, flow=broken))


def test_a_flow_pack_of_28_pixels_without_aus_is_read_by_the_motion_branch():
    model = MEDN(MEDNConfig(size=28, aus=(), branches="motion", flow_channels=3)).eval()
    out = model(flow=torch.rand(2, 3, 28, 28))
    assert out.au_logits is None
    assert out.logits.shape == (2, 5)


def test_a_configuration_fitted_to_clips_reads_them():
    clips = tiny_clips()
    config = MEDNConfig.for_clips(clips, dim=32)
    check_clips(config, clips)
    assert config.classes == ("happiness", "others")
    assert config.aus == ("AU1", "AU12", "AU14")
    assert MEDNConfig.for_clips(replace(clips, frames=None)).branches == "motion"
