"""Every method of attribution: closed forms, one planted patch, one contract, and a model left as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted_readers import CONFIG, LinearReader, PatchReader, cell_mask
from tiny_clips import tiny_clips, tiny_model
from torch import nn

from medn_lab import diagnose
from medn_lab.diagnose import (
    attribute_pair,
    attribution_targets,
    bare_change,
    frame_ablation,
    grad_cam,
    gradient_shap,
    integrated_gradients,
    occlusion,
    saliency,
)
from medn_lab.diagnose.attribution import registered_methods
from medn_lab.evaluate import predict
from medn_lab.model import MEDN, MEDNConfig

METHODS = tuple(registered_methods())
QUICK = {"integrated_gradients": {"n_steps": 4}, "gradient_shap": {"n_samples": 3}, "occlusion": {"patch": 16}}


def run(method, model, clips, **arguments):
    return getattr(diagnose, method)(model, clips, **QUICK.get(method, {}), **arguments)


@pytest.fixture(scope="module")
def clips():
    return tiny_clips(n_subjects=2, clips_per_subject=2)


@pytest.fixture(scope="module")
def model(clips):
    return tiny_model(clips)


@pytest.fixture(scope="module")
def linear():
    return LinearReader()


@pytest.fixture(scope="module")
def weights(linear):
    return {
        "frames": linear.of_frames.detach().permute(0, 2, 3, 1).numpy(),
        "flow": linear.of_flow.detach().permute(1, 2, 0).numpy(),
    }


@pytest.fixture(scope="module")
def reader():
    return PatchReader()


def change_of(clips):
    frames = clips.frames.astype(np.float32) / 255
    return frames - frames[:, :1]


class TestALinearNetwork:
    """What each method must give is known to the last digit."""

    def test_saliency_is_the_weights(self, linear, weights, clips):
        found = saliency(linear, clips, target="happiness")
        for name, weight in weights.items():
            np.testing.assert_allclose(getattr(found, name), np.broadcast_to(weight, getattr(found, name).shape))

    @pytest.mark.parametrize(
        ("method", "options"),
        [(integrated_gradients, {"n_steps": 3}), (gradient_shap, {"frames_noise": 0, "flow_noise": 0, "n_samples": 2})],
    )
    def test_path_methods_are_weights_times_departure(self, linear, weights, clips, method, options):
        found = method(linear, clips, target="happiness", **options)
        np.testing.assert_allclose(found.frames, change_of(clips) * weights["frames"], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found.flow, clips.flow * weights["flow"], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found.totals, found.scores - found.baseline_scores, rtol=1e-3, atol=1e-2)
        assert found.sanity["completeness_error"] < 1e-3

    def test_occlusion_gives_a_patch_the_sum_of_its_products(self, linear, weights, clips):
        found = occlusion(linear, clips, target="happiness", patch=8)
        for name, products in (
            ("frames", change_of(clips) * weights["frames"]),
            ("flow", clips.flow * weights["flow"]),
        ):
            axes = (1, 4) if name == "frames" else (3,)
            blocks = [
                values.sum(axis=axes).reshape(len(clips), 4, 8, 4, 8).sum(axis=(2, 4))
                for values in (getattr(found, name), products)
            ]
            np.testing.assert_allclose(blocks[0], blocks[1], rtol=1e-3, atol=2e-3)

    def test_overlapping_patches_share_a_pixel_evenly(self, linear, weights, clips):
        found = occlusion(linear, clips, target="AU12", patch=16, stride=8)
        products = (clips.flow * weights["flow"]).sum(axis=3)
        # The upper left cell lies in one patch alone; the next in two.
        first, second = products[:, :16, :16].sum(axis=(1, 2)), products[:, :16, 8:24].sum(axis=(1, 2))
        np.testing.assert_allclose(found.flow[:, 0, 0, 0], first / (2 * 256), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found.flow[:, 0, 12, 0], (first + second) / (4 * 256), rtol=1e-3, atol=1e-5)

    def test_frame_ablation_gives_a_frame_the_sum_of_its_products(self, linear, weights, clips):
        found = frame_ablation(linear, clips, target="happiness")
        expected = (change_of(clips) * weights["frames"]).sum(axis=(2, 3, 4))
        np.testing.assert_allclose(found.course, expected, rtol=1e-3, atol=2e-3)
        assert found.flow is None

    def test_bare_change_knows_no_weight(self, linear, clips):
        found = bare_change(linear, clips, target="happiness")
        np.testing.assert_allclose(found.frames, change_of(clips), atol=1e-6)
        np.testing.assert_allclose(found.flow, clips.flow)

    @pytest.mark.filterwarnings("ignore:the saliency map of the .* is 0 everywhere")
    def test_a_difference_of_emotions_is_the_difference_of_their_maps(self, linear, clips):
        first, second, difference = (
            saliency(linear, clips, target=target) for target in ("happiness", "others", "happiness - others")
        )
        np.testing.assert_allclose(difference.frames, first.frames - second.frames)
        np.testing.assert_allclose(difference.flow, first.flow - second.flow)


class TestOnePlantedPatch:
    """A network that reads one patch of one frame, and one cell of the flow: whatever a map shows must be there."""

    @pytest.mark.parametrize("method", [name for name in METHODS if name not in ("bare_change", "frame_ablation")])
    def test_all_that_a_map_holds_lies_on_the_patch(self, reader, clips, method):
        options = {"occlusion": {"patch": 8}, "gradient_shap": {"frames_noise": 0}}.get(method, {})
        found = getattr(diagnose, method)(reader, clips, target="happiness", **options)
        on_frames = np.abs(found.frames).sum(axis=(1, 4))
        on_flow = np.abs(found.flow).sum(axis=3)
        frames_mask, flow_mask = cell_mask((2, 1)).numpy(), cell_mask((1, 2)).numpy()
        np.testing.assert_allclose(on_frames[:, frames_mask].sum(axis=1) / on_frames.sum(axis=(1, 2)), 1, atol=1e-5)
        if method == "grad_cam":
            # The grid is enlarged smoothly: the strongest pixels are the cell's, and half of the map at least.
            strongest = on_flow.reshape(len(clips), -1).argmax(axis=1)
            assert flow_mask.ravel()[strongest].all()
            assert (on_flow[:, flow_mask].sum(axis=1) / on_flow.sum(axis=(1, 2)) > 0.5).all()
        else:
            np.testing.assert_allclose(on_flow[:, flow_mask].sum(axis=1) / on_flow.sum(axis=(1, 2)), 1, atol=1e-5)

    def test_in_time_it_lies_on_the_moment_that_is_read(self, reader, clips):
        course = frame_ablation(reader, clips, target="happiness").course
        assert (np.abs(course[:, 5]) > 0).all()
        np.testing.assert_allclose(np.delete(course, 5, axis=1), 0, atol=1e-7)

    def test_bare_change_does_not_lie_there(self, reader, clips):
        heat = np.abs(bare_change(reader, clips, target="happiness").frames).sum(axis=(1, 4))
        share = heat[:, cell_mask((2, 1)).numpy()].sum(axis=1) / heat.sum(axis=(1, 2))
        assert (share < 0.2).all()

    def test_grad_cam_puts_each_token_back_in_its_place(self, clips):
        # Position 9 is gathered first, 3 second: without their places the heat would lie on patches 0 and 1.
        reader = PatchReader(frames_cell=(2, 1), kept=((3, 9, 0), (9,)))
        found = grad_cam(reader, clips, target="happiness", weights="each")
        change = change_of(clips)[:, 5].reshape(len(clips), 4, 8, 4, 8, 3).mean(axis=(2, 4))[:, 2, 1]  # (n, 3)
        summed = 2 * (change * [4.0, 1.0, -2.0]).sum(axis=1)  # the feature: both keep rates hold it
        slope = 20 * (1 - np.tanh(20 * summed) ** 2)
        assert found.frames_heat.shape == (len(clips), 8, 32, 32)
        places = found.frames_heat.reshape(len(clips), 8, 4, 8, 4, 8).sum(axis=(3, 5))
        # A token is a place with its whole course: an eighth of its value in each of the eight frames.
        expected = np.repeat((slope * summed)[:, None] / 8, 8, axis=1)
        np.testing.assert_allclose(places[:, :, 2, 1], expected, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(np.delete(places.reshape(len(clips), 8, 16), 9, axis=2), 0, atol=1e-7)

    def test_classic_grad_cam_does_not_land_there(self, reader, clips):
        # It gives every place the mean slope, so that what is read in one patch is looked for in all of them.
        heat = np.abs(grad_cam(reader, clips, target="happiness", weights="mean").frames).sum(axis=(1, 4))
        share = heat[:, cell_mask((2, 1)).numpy()].sum(axis=1) / heat.sum(axis=(1, 2))
        assert (share < 0.6).all()

    @pytest.mark.filterwarnings("ignore:the grad_cam map of the .* is 0 everywhere")
    def test_a_dropped_position_has_exactly_nothing(self, clips):
        reader = PatchReader(frames_cell=(2, 1), kept=((3, 0), (3,)))
        found = grad_cam(reader, clips, target="others")
        assert np.abs(found.frames).max() == 0


class TestGradCamAgainstCaptum:
    """Captum's LayerGradCam, where it can be brought to look at the same thing."""

    def test_on_the_flow_stem(self, model, clips):
        from captum.attr import LayerGradCam

        flow = torch.from_numpy(clips.flow).permute(0, 3, 1, 2)
        explain = LayerGradCam(lambda x: model(None, x).au_logits, model.motion_branch.stem)
        theirs = explain.attribute(flow, target=1, relu_attributions=False)
        side = theirs.shape[-1]
        enlarged = nn.functional.interpolate(theirs, size=(32, 32), mode="bilinear")[:, 0].detach().numpy()
        found = grad_cam(model, clips, target=model.config.aus[1], weights="mean")
        np.testing.assert_allclose(found.flow_heat * (32 / side) ** 2, enlarged, rtol=1e-4, atol=1e-7)

    def test_on_tokens_brought_to_channels_first(self, clips):
        from captum.attr import LayerGradCam

        dense = MEDN(MEDNConfig.for_clips(clips, dim=32, branches="emotion", keep_rates=(1.0,)), seed=1).eval()
        found = grad_cam(dense, clips, target="happiness", weights="mean")

        class ChannelsFirst(nn.Module):
            def __init__(self, norm):
                super().__init__()
                self.norm, self.here = norm, nn.Identity()

            def forward(self, x):
                return self.here(self.norm(x).permute(0, 2, 1)).permute(0, 2, 1)

        dense.emotion_branch.norm = ChannelsFirst(dense.emotion_branch.norm)
        frames = torch.from_numpy(clips.frames).permute(0, 1, 4, 2, 3).float() / 255
        explain = LayerGradCam(lambda x: dense(x).logits, dense.emotion_branch.norm.here)
        theirs = explain.attribute(frames, target=0, relu_attributions=False)[:, 0].detach()  # (b, k)
        kept = dense(frames).sevit_output.kept[0]
        placed = torch.zeros_like(theirs).scatter(1, kept, theirs).numpy()
        blocks = found.frames_heat.reshape(len(clips), 8, 8, 4, 8, 4).sum(axis=(1, 3, 5)).reshape(placed.shape)
        np.testing.assert_allclose(blocks, placed, rtol=1e-3, atol=1e-6)


def test_integrated_gradients_are_captums_own(model, clips):
    """The map of both inputs is what captum gives for the bare logit."""
    from captum.attr import IntegratedGradients

    frames = torch.from_numpy(clips.frames).permute(0, 1, 4, 2, 3).float() / 255
    flow = torch.from_numpy(clips.flow).permute(0, 3, 1, 2).contiguous()
    still = (frames[:, :1].expand_as(frames).contiguous(), torch.zeros_like(flow))
    theirs = IntegratedGradients(lambda a, b: model(a, b).logits[:, 0]).attribute((frames, flow), still, n_steps=6)
    found = integrated_gradients(model, clips, target="happiness", n_steps=6)
    np.testing.assert_allclose(found.frames, theirs[0].permute(0, 1, 3, 4, 2).numpy(), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.flow, theirs[1].permute(0, 2, 3, 1).numpy(), rtol=1e-3, atol=1e-6)


def test_gradient_shap_has_the_expectation_of_captums(clips):
    """On a smooth network the means of many draws meet."""
    from captum.attr import GradientShap

    reader = PatchReader()
    flow = torch.from_numpy(clips.flow[:1]).permute(0, 3, 1, 2)
    np.random.seed(0)  # noqa: NPY002 (captum draws from it)
    torch.manual_seed(0)
    theirs = GradientShap(lambda x: reader(None, x).logits[:, 0]).attribute(
        flow, torch.zeros_like(flow), n_samples=2000, stdevs=0.02
    )
    one = replace(clips.select(clips.table["clip_id"][:1]), frames=None)
    found = gradient_shap(reader, one, target="happiness", n_samples=2000, flow_noise=0.02)
    heat, expected = found.flow_heat[0], theirs[0].sum(dim=0).numpy()
    assert np.abs(heat - expected).max() < 0.1 * np.abs(expected).max()
    assert abs(heat.sum() - expected.sum()) < 0.03 * np.abs(expected).sum()


class TestTheContract:
    """One shape of answer for every method, from every kind of network."""

    @pytest.mark.parametrize("method", METHODS)
    def test_values_have_the_inputs_shape_and_belong_to_the_clips(self, model, clips, method):
        found = run(method, model, clips, target="others")
        assert found.frames.shape == clips.frames.shape
        assert found.frames.dtype == np.float32
        assert (found.flow is None) == (method == "frame_ablation")
        assert found.flow is None or found.flow.shape == clips.flow.shape
        assert np.isfinite(found.frames).all()
        assert np.abs(found.frames).max() > 0
        assert found.method == method
        assert list(found.table["clip_id"]) == list(clips.table["clip_id"])
        np.testing.assert_allclose(found.scores, predict(model, clips).logits[:, 1], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("method", METHODS)
    def test_a_clips_map_does_not_depend_on_the_clips_beside_it(self, model, clips, method):
        ids = list(clips.table["clip_id"])
        whole = run(method, model, clips, target="happiness")
        single = run(method, model, clips.select(ids[::-1]), target="happiness", batch_size=1).select(ids)
        for name in ("frames", "flow"):
            if getattr(whole, name) is not None:
                largest = np.abs(getattr(whole, name)).max()
                np.testing.assert_allclose(getattr(single, name), getattr(whole, name), atol=2e-4 * largest)

    @pytest.mark.parametrize("method", METHODS)
    def test_nothing_is_left_behind(self, clips, method):
        model = MEDN(MEDNConfig.for_clips(clips, dim=32, decoupling="bottleneck", keep_rates=(0.5,))).train()
        model.motion_branch.stem.eval()  # frozen by its owner, and to be found so
        before = {name: module.training for name, module in model.named_modules()}
        state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        run(method, model, clips, target="happiness")
        assert {name: module.training for name, module in model.named_modules()} == before
        assert all(p.grad is None and p.requires_grad for p in model.parameters())
        assert not hooks_of(model)
        assert torch.equal(torch.get_rng_state(), state)
        assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002

    @pytest.mark.parametrize("method", [name for name in METHODS if name != "bare_change"])
    def test_nothing_is_left_behind_after_an_error(self, clips, method):
        model = MEDN(MEDNConfig.for_clips(clips, dim=32, decoupling="bottleneck", keep_rates=(0.5,))).train()
        calls = []

        def fail(*_):
            calls.append(1)
            if len(calls) > 2:  # let the scores pass, and stop the method at its work
                raise RuntimeError("planted")

        handle = model.head.register_forward_hook(fail)
        with pytest.raises(RuntimeError, match="planted"):
            run(method, model, clips, target="happiness")
        handle.remove()
        assert model.training
        assert not hooks_of(model)

    @pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "grad_cam"])
    def test_it_works_where_the_caller_has_switched_gradients_off(self, model, clips, method):
        own = run(method, model, clips, target="happiness")
        with torch.no_grad():
            found = run(method, model, clips, target="happiness")
        assert np.abs(found.flow).max() > 0
        np.testing.assert_allclose(found.flow, own.flow, rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(found.frames, own.frames, rtol=1e-5, atol=1e-8)

    def test_the_users_own_gradients_are_kept(self, model, clips):
        weight = model.head[1].weight
        weight.grad = torch.ones_like(weight)
        saliency(model, clips, target="happiness")
        assert torch.equal(weight.grad, torch.ones_like(weight))
        weight.grad = None

    def test_a_map_can_be_made_again_from_its_params(self, model, clips, tmp_path):
        found = occlusion(model, clips, target="happiness", patch=16, stride=8)
        found.save(tmp_path / "map")
        loaded = type(found).load(tmp_path / "map")
        again = getattr(diagnose, loaded.method)(model, clips, target=loaded.target, **loaded.params)
        np.testing.assert_array_equal(again.flow, found.flow)
        np.testing.assert_array_equal(loaded.scores, found.scores)


def hooks_of(model):
    return [
        name
        for name, module in model.named_modules()
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    ]


class TestBranchesAndInputs:
    """What is not there has no map, and what cannot be said gets a sentence."""

    @pytest.mark.parametrize(
        ("branches", "there", "missing"), [("motion", "flow", "frames"), ("emotion", "frames", "flow")]
    )
    def test_a_single_branch_has_one_map(self, clips, branches, there, missing):
        model = MEDN(MEDNConfig.for_clips(clips, dim=32, branches=branches, keep_rates=(0.5,)))
        for method in METHODS:
            if method == "frame_ablation" and branches == "motion":
                continue
            found = run(method, model, clips, target="happiness")
            assert getattr(found, there) is not None
            assert getattr(found, missing) is None
            assert found.branch == branches

    def test_clips_without_one_input_leave_the_other(self, model, clips):
        only_flow = saliency(model, replace(clips, frames=None), target="happiness")
        assert only_flow.frames is None
        assert only_flow.branch == "motion"
        only_frames = saliency(model, replace(clips, flow=None), target="happiness")
        assert only_frames.flow is None
        assert only_frames.branch == "emotion"

    def test_a_target_that_needs_what_is_not_there_gets_a_sentence(self, model, clips):
        with pytest.raises(ValueError, match="'AU12' needs the clips' flow, and these clips hold frames alone"):
            saliency(model, replace(clips, flow=None), target="AU12")
        with pytest.raises(ValueError, match="'gate' needs the clips' frames, and these clips hold flow alone"):
            saliency(model, replace(clips, frames=None), target="gate")
        with pytest.raises(ValueError, match="'happiness from motion' needs the clips' frames"):
            saliency(model, replace(clips, frames=None), target="happiness from motion")

    def test_frame_ablation_of_what_sees_no_frames_gets_a_sentence(self, model, clips):
        with pytest.raises(ValueError, match="frame_ablation says something about frames alone, and 'AU12'"):
            frame_ablation(model, clips, target="AU12")

    def test_arguments_out_of_range_get_a_sentence(self, model, clips):
        with pytest.raises(ValueError, match="n_steps must be at least 1; got 0"):
            integrated_gradients(model, clips, target="others", n_steps=0)
        with pytest.raises(ValueError, match="n_samples must be at least 1; got 0"):
            gradient_shap(model, clips, target="others", n_samples=0)
        with pytest.raises(ValueError, match="noise must not be negative; got -1"):
            gradient_shap(model, clips, target="others", frames_noise=-1)
        with pytest.raises(ValueError, match="patch is 8 px and stride 9"):
            occlusion(model, clips, target="others", stride=9)
        with pytest.raises(ValueError, match="a patch of 64 px does not fit into a crop of 32 px"):
            occlusion(model, clips, target="others", patch=64)
        with pytest.raises(ValueError, match="weights must be each or mean; got 'max'"):
            grad_cam(model, clips, target="others", weights="max")
        with pytest.raises(ValueError, match="batch_size must be at least 1; got 0"):
            saliency(model, clips, target="others", batch_size=0)

    def test_a_network_with_a_bottleneck_owes_its_emotions_to_the_flow_too(self, clips):
        # Training cuts this path; a map that kept the cut would show no flow and break completeness.
        model = MEDN(MEDNConfig.for_clips(clips, dim=32, decoupling="bottleneck", keep_rates=(0.5,)), seed=2)
        found = saliency(model, clips, target="happiness")
        place = np.unravel_index(np.abs(found.flow[0]).argmax(), found.flow[0].shape)
        step = np.zeros_like(clips.flow)
        step[0][place] = 1e-2
        up, down = (
            saliency(model, replace(clips, flow=clips.flow + sign * step), target="happiness").scores[0]
            for sign in (1, -1)
        )
        assert found.flow[0][place] == pytest.approx((up - down) / 2e-2, rel=0.05)
        contribution = integrated_gradients(model, clips, target="happiness from motion", n_steps=32)
        assert contribution.sanity["completeness_error"] < 0.02

    def test_a_rounded_code_is_attributed_before_it_is_rounded(self, clips):
        # In steps as wide as its noise the score stands still between jumps, and no slope adds up to it.
        model = MEDN(
            MEDNConfig.for_clips(clips, dim=32, decoupling="bottleneck", keep_rates=(1.0,), fusion="sum"), seed=2
        )
        with torch.no_grad():
            model.code.bin_width.fill_(7.0)  # every code lies in the bin around 0
        assert np.ptp(predict(model, replace(clips, flow=0 * clips.flow)).logits, axis=0).max() < 1e-5
        found = integrated_gradients(model, clips, target="happiness from emotion", n_steps=64)
        assert np.abs(found.frames).max() > 0
        assert found.sanity["completeness_error"] < 0.05
        assert not hooks_of(model)


class TestTargets:
    """The grammar of what can be attributed."""

    def test_every_target_that_is_listed_can_be_attributed(self, model, clips):
        one = clips.select(clips.table["clip_id"][:1])
        for target in attribution_targets(model):
            found = saliency(model, one, target=target)
            assert found.target == target
            assert np.isfinite(found.scores).all()

    def test_a_contribution_is_what_the_logit_gains_by_the_branch(self, model, clips):
        with_both = predict(model, clips).logits[:, 0]
        still_flow = predict(model, replace(clips, flow=np.zeros_like(clips.flow))).logits[:, 0]
        motion = integrated_gradients(model, clips, target="happiness from motion", n_steps=16)
        np.testing.assert_allclose(motion.scores, with_both - still_flow, atol=1e-5)
        np.testing.assert_allclose(motion.baseline_scores, 0, atol=1e-6)
        np.testing.assert_allclose(motion.totals, with_both - still_flow, atol=2e-3)
        assert motion.frames is None
        assert motion.branch == "motion"
        emotion = saliency(model, clips, target="happiness from emotion")
        frames = torch.from_numpy(clips.frames).permute(0, 1, 4, 2, 3).float() / 255
        flow, onset = torch.from_numpy(clips.flow).permute(0, 3, 1, 2), frames[:, :1]
        with (
            torch.no_grad()
        ):  # the other branch sees its clip while this one's fades: two points, and on along the line
            near, nearer = (model(onset + share * (frames - onset), flow).logits[:, 0] for share in (0.006, 0.003))
        np.testing.assert_allclose(emotion.scores, with_both - (2 * nearer - near).numpy(), atol=1e-4)
        assert np.abs(emotion.scores).min() > 0.01
        assert emotion.flow is None

    def test_the_gate_and_a_norm_are_the_models_own(self, model, clips):
        features = diagnose_features(model, clips)
        gate = saliency(model, clips, target="gate")
        np.testing.assert_allclose(gate.scores, features.gate.mean(axis=1), atol=1e-5)
        norm = saliency(model, clips, target="norm of motion")
        np.testing.assert_allclose(norm.scores, np.linalg.norm(features.motion, axis=1), rtol=1e-4)
        assert norm.frames is None
        assert saliency(model, clips, target="norm of emotion").flow is None

    def test_spaces_do_not_matter(self, model, clips):
        found = saliency(model, clips, target="  happiness-others   from  motion ")
        assert found.target == "happiness - others from motion"

    def test_a_class_that_is_written_like_a_rule_is_the_class(self, clips):
        named = replace(CONFIG, classes=("fear", "anger", "fear - anger"))
        model = MEDN(replace(named, aus=clips.aus))
        np.testing.assert_allclose(
            saliency(model, clips, target="fear - anger").scores, predict(model, clips).logits[:, 2], atol=1e-5
        )

    @pytest.mark.parametrize(
        "target",
        ["joy", "happiness - joy", "happiness - happiness", "AU12 from motion", "norm of gate", "joy from motion"],
    )
    def test_an_unknown_target_lists_those_there_are(self, model, clips, target):
        with pytest.raises(
            ValueError, match=f"'{target}' is no target of this model; there are happiness, others, AU1"
        ):
            saliency(model, clips, target=target)

    def test_a_single_branch_has_no_gate_and_no_contributions(self, clips):
        model = MEDN(MEDNConfig.for_clips(clips, dim=32, branches="motion"))
        assert attribution_targets(model) == [
            "happiness",
            "others",
            "AU1",
            "AU12",
            "AU14",
            "norm of motion",
            "norm of fused",
        ]
        for target in ("gate", "happiness from motion", "norm of emotion"):
            with pytest.raises(ValueError, match="is no target of this model"):
                saliency(model, clips, target=target)
        concatenated = MEDN(MEDNConfig.for_clips(clips, dim=32, fusion="concat"))
        with pytest.raises(ValueError, match="'gate' is no target"):
            saliency(concatenated, clips, target="gate")


def diagnose_features(model, clips):
    from medn_lab.evaluate import extract_features

    return extract_features(model, clips)


class TestAPair:
    """Two clips that move alike, asked one question."""

    def test_the_maps_add_up_to_how_far_apart_the_model_puts_them(self, model, clips):
        # Dense, so that stillness looks the same on every face and the baselines fall out of the difference.
        model = MEDN(replace(model.config, keep_rates=(1.0,)), seed=3)
        a, b = "tiny0_s00_c00", "tiny0_s01_c01"
        found = attribute_pair(model, clips, clip_a=a, clip_b=b, params={"n_steps": 64})
        labels = clips.table.set_index("clip_id")["label"]
        assert found.target == f"{labels[a]} - {labels[b]}"
        assert list(found.table["clip_id"]) == [a, b]
        assert found.baseline_scores[0] == pytest.approx(found.baseline_scores[1], abs=1e-3)
        apart = float((found.scores - found.baseline_scores) @ [1, -1])
        assert found.totals[0] - found.totals[1] == pytest.approx(apart, abs=0.05 * abs(apart) + 1e-3)

    def test_two_clips_of_one_emotion_get_a_sentence(self, model, clips):
        same = clips.table.groupby("label")["clip_id"].apply(list)
        pair = next(ids for ids in same if len(ids) > 1)[:2]
        with pytest.raises(ValueError, match="two emotions"):
            attribute_pair(model, clips, clip_a=pair[0], clip_b=pair[1])
        with pytest.raises(ValueError, match="there is no attribution method 'lime'; there are saliency"):
            attribute_pair(model, clips, clip_a="tiny0_s00_c00", clip_b="tiny0_s01_c01", method="lime")
