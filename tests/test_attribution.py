"""Every attribution method: closed forms, one planted patch, one contract, and a model left as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted_readers import CONFIG, LinearReader, PatchReader, cell_mask
from slow_cases import mostly_slow
from tiny_clips import tiny_clips, tiny_model

from medn_lab import diagnose
from medn_lab.diagnose import attribution_targets, compare_attributions, grad_cam, integrated_gradients, saliency
from medn_lab.diagnose.attribution import registered_methods
from medn_lab.evaluate import extract_features, predict
from medn_lab.model import MEDN, MEDNConfig

METHODS = tuple(registered_methods())
QUICK = {"integrated_gradients": {"n_steps": 4}, "occlusion": {"patch": 16}}
EXACT = {"integrated_gradients": {"n_steps": 3}, "occlusion": {"patch": 8}}


def run(method, model, clips, **arguments):
    return getattr(diagnose, method)(model, clips, **QUICK.get(method, {}), **arguments)


@pytest.fixture(scope="module")
def clips():
    return tiny_clips(n_subjects=1, clips_per_subject=2)


@pytest.fixture(scope="module")
def model(clips):
    return tiny_model(clips)


@pytest.fixture(scope="module")
def linear():
    return LinearReader()


@pytest.fixture(scope="module")
def weights(linear):
    frames, flow = linear.of_frames.detach(), linear.of_flow.detach()
    return {"frames": frames.permute(0, 2, 3, 1).numpy(), "flow": flow.permute(1, 2, 0).numpy()}


def bottleneck(clips, **config):
    config = {"dim": 32, "decoupling": "bottleneck", "keep_rates": (0.5,), **config}
    return MEDN(MEDNConfig.for_clips(clips, **config), seed=2)


def change_of(clips):
    frames = clips.frames.astype(np.float32) / 255
    return frames - frames[:, :1]


def of_patches(values):
    """Sums over patches of 8 px of values (n, ..., h, w, c), and over all else."""
    heat = values.sum(axis=(1, -1) if values.ndim == 5 else -1)
    return heat.reshape(len(heat), 4, 8, 4, 8).sum(axis=(2, 4))


def test_a_new_method_is_known_by_its_name_to_everything_that_takes_methods(linear, weights, clips):
    @diagnose.attribution_method(complete=True)
    def slope_times_change(score, inputs, fixed, *, scale: float = 1.0):
        """The slope at the clip times the change since the baseline."""
        inputs = tuple(value.detach().requires_grad_() for value in inputs)
        slopes = torch.autograd.grad(score(*inputs, *fixed).sum(), inputs)
        departures = zip(inputs, score.baselines(inputs), slopes, strict=True)
        return tuple(scale * slope * (value - base) for value, base, slope in departures)

    try:
        found = slope_times_change(linear, clips, target="happiness")
        np.testing.assert_allclose(found.flow, clips.flow * weights["flow"], rtol=1e-3, atol=1e-5)
        assert (found.method, found.params) == ("slope_times_change", {"scale": 1.0})
        table = compare_attributions(linear, clips, target="happiness", methods=["slope_times_change"], n_draws=1)
        assert table["spearman"].max() < 0.5
        make = diagnose.Attributor(linear, clips, params={"slope_times_change": {"scale": 2.0}}, n_checked=2)
        checked = make.check(clips.table["clip_id"][0], target="happiness", method="slope_times_change")
        np.testing.assert_allclose(checked.flow[0], 2 * found.flow[0], rtol=1e-5)
    finally:
        del registered_methods()["slope_times_change"]

    def taken(score, inputs, fixed): ...

    taken.__name__ = "saliency"
    with pytest.raises(ValueError, match="saliency"):
        diagnose.attribution_method()(taken)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "grad_cam"])
def test_a_map_has_its_closed_form(linear, weights, clips, method):
    """On a linear network what each method must give is known to the last digit."""
    found = getattr(diagnose, method)(linear, clips, target="happiness - others", **EXACT.get(method, {}))
    # What a patch or a frame has is the sum of its products.
    summed = {"occlusion": of_patches, "frame_ablation": lambda values: values.sum(axis=(2, 3, 4))}
    for name, change in (("frames", change_of(clips)), ("flow", clips.flow)):
        values, weight = getattr(found, name), weights[name]
        if values is None:
            assert (method, name) == ("frame_ablation", "flow")
            continue
        expected = {"saliency": weight + 0 * change, "bare_change": change}.get(method, weight * change)
        values, expected = (summed.get(method, np.asarray)(one) for one in (values, expected))
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=2e-3 if method in summed else 1e-5)
    assert found.sanity.get("completeness_error", 0) < 1e-3


@pytest.mark.filterwarnings("ignore:the .* map of the .* is 0 everywhere")
def test_grad_cam_puts_each_token_back_in_its_place_and_a_dropped_one_has_nothing(clips):
    # Position 9 is gathered first, 3 second: without their places the heat would lie on patches 0 and 1.
    found = grad_cam(PatchReader(frames_cell=(2, 1), kept=((3, 9, 0), (9,))), clips, target="happiness")
    change = change_of(clips)[:, 5].reshape(len(clips), 4, 8, 4, 8, 3).mean(axis=(2, 4))[:, 2, 1]  # (n, 3)
    summed = 2 * (change * [4.0, 1.0, -2.0]).sum(axis=1)  # the feature: both keep rates hold it
    slope = 20 * (1 - np.tanh(20 * summed) ** 2)
    places = found.frames_heat.reshape(len(clips), 8, 4, 8, 4, 8).sum(axis=(3, 5))
    # A token is a place with its whole course: an eighth of its value in each of the eight frames.
    expected = np.repeat((slope * summed)[:, None] / 8, 8, axis=1)
    np.testing.assert_allclose(places[:, :, 2, 1], expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(np.delete(places.reshape(len(clips), 8, 16), 9, axis=2), 0, atol=1e-7)
    cell = np.abs(found.flow).sum(axis=3)[:, cell_mask((1, 2)).numpy()].sum(axis=1)
    assert (cell > 0.5 * np.abs(found.flow).sum(axis=(1, 2, 3))).all()  # the cell that is read, enlarged smoothly
    found = grad_cam(PatchReader(frames_cell=(2, 1), kept=((3, 0), (3,))), clips, target="others")
    assert np.abs(found.frames).max() == 0


def test_grad_cam_on_the_flow_stem_is_captums(model, clips):
    from captum.attr import LayerGradientXActivation

    flow = torch.from_numpy(clips.flow).permute(0, 3, 1, 2).contiguous()
    explain = LayerGradientXActivation(lambda x: model(None, x).au_logits, model.motion_branch.stem)
    theirs = explain.attribute(flow, target=1).sum(dim=1, keepdim=True)
    enlarged = torch.nn.functional.interpolate(theirs, size=(32, 32), mode="bilinear")[:, 0].detach().numpy()
    found = grad_cam(model, clips, target=model.config.aus[1])
    np.testing.assert_allclose(found.flow_heat * (32 / theirs.shape[-1]) ** 2, enlarged, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", mostly_slow(METHODS, quick=3))
def test_values_have_the_inputs_shape_and_do_not_depend_on_other_clips(model, clips, method):
    found = run(method, model, clips, target="others")
    assert found.frames.shape == clips.frames.shape
    assert found.frames.dtype == np.float32
    assert (found.flow is None) == (method == "frame_ablation")
    assert np.abs(found.frames).max() > 0
    np.testing.assert_allclose(found.scores, predict(model, clips).logits[:, 1], rtol=1e-4, atol=1e-5)
    ids = list(clips.table["clip_id"])
    with torch.no_grad():  # a caller may have switched gradients off
        single = run(method, model, clips.select(ids[::-1]), target="others", batch_size=1).select(ids)
    for one, whole in ((single.frames, found.frames), (single.flow, found.flow)):
        if whole is not None:
            np.testing.assert_allclose(one, whole, atol=2e-4 * np.abs(whole).max())


def test_nothing_is_left_behind_also_after_an_error(clips):
    model, calls = bottleneck(clips).train(), []
    model.motion_branch.stem.eval()  # frozen by its owner
    before = {name: module.training for name, module in model.named_modules()}
    state, bins = torch.get_rng_state(), model.code.bin_width.clone()

    def fail(*_):
        calls.append(1)
        if len(calls) > 2:  # let the scores pass, and stop the method at its work
            raise RuntimeError("planted")

    def left_as_it_was():
        kinds = ("_forward_hooks", "_forward_pre_hooks")
        assert not [one for one in model.modules() if any(getattr(one, kind) for kind in kinds)]
        assert {name: module.training for name, module in model.named_modules()} == before
        assert all(value.grad is None and value.requires_grad for value in model.parameters())
        assert torch.equal(model.code.bin_width, bins)

    grad_cam(model, clips, target="happiness")
    left_as_it_was()
    with model.head.register_forward_hook(fail), pytest.raises(RuntimeError, match="planted"):
        grad_cam(model, clips, target="happiness")
    left_as_it_was()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_single_branch_or_input_has_one_map(model, clips):
    for branches, there, missing in (("motion", "flow", "frames"), ("emotion", "frames", "flow")):
        alone = MEDN(MEDNConfig.for_clips(clips, dim=32, branches=branches, keep_rates=(0.5,)))
        methods = [name for name in METHODS if name != "frame_ablation" or branches == "emotion"]
        found = [run(method, alone, clips, target="happiness") for method in methods]
        for one in (*found, saliency(model, replace(clips, **{missing: None}), target="happiness")):
            assert getattr(one, there) is not None
            assert (getattr(one, missing), one.branch) == (None, branches)


def test_what_cannot_be_attributed_is_refused(model, clips):
    for missing, options, facts in (
        ("flow", {"target": "AU12"}, "'AU12'.*flow.*frames"),
        ("frames", {"target": "happiness from motion"}, "'happiness from motion'.*frames"),
        (None, {"target": "AU12", "method": "frame_ablation"}, "frames.*'AU12'"),
        (None, {"method": "occlusion", "params": {"patch": 64}}, "64 px.*32 px"),
        (None, {"method": "lime"}, "'lime'.*saliency, integrated_gradients"),
        (None, {"method": "occlusion", "params": {"window": 3}}, "window.*patch"),
    ):
        given = replace(clips, **{missing: None}) if missing else clips
        with pytest.raises(ValueError, match=facts):
            diagnose.randomisation_check(model, given, **{"target": "happiness", "method": "saliency", **options})


def test_under_a_bottleneck_emotions_depend_on_the_flow_too(clips):
    # Training cuts this path; a map that kept the cut would show no flow and break completeness.
    model = bottleneck(clips)
    found = saliency(model, clips, target="happiness")
    place = np.unravel_index(np.abs(found.flow[0]).argmax(), found.flow[0].shape)
    step = np.zeros_like(clips.flow)
    step[0][place] = 1e-2
    moved = (replace(clips, flow=clips.flow + sign * step) for sign in (1, -1))
    up, down = (saliency(model, one, target="happiness").scores[0] for one in moved)
    assert found.flow[0][place] == pytest.approx((up - down) / 2e-2, rel=0.05)


@pytest.mark.slow
def test_a_rounded_code_is_attributed_before_it_is_rounded(clips):
    # In steps as wide as its noise the score stands still between jumps, and no slope adds up to it.
    model = bottleneck(clips, keep_rates=(1.0,), fusion="sum")
    with torch.no_grad():
        model.code.bin_width.fill_(7.0)  # every code lies in the bin around 0
    assert np.ptp(predict(model, replace(clips, flow=0 * clips.flow)).logits, axis=0).max() < 1e-5
    found = integrated_gradients(model, clips, target="happiness from emotion", n_steps=64)
    assert np.abs(found.frames).max() > 0
    assert found.sanity["completeness_error"] < 0.05


def test_every_target_that_is_listed_can_be_attributed_and_is_the_models_own_figure(model, clips):
    found = {target: saliency(model, clips, target=target) for target in attribution_targets(model)}
    assert all(maps.target == target for target, maps in found.items())
    features = extract_features(model, clips)
    np.testing.assert_allclose(found["gate"].scores, features.gate.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(found["norm of motion"].scores, np.linalg.norm(features.motion, axis=1), rtol=1e-4)
    expected = predict(model, clips).au_probabilities[:, clips.aus.index("AU12")]
    np.testing.assert_allclose(1 / (1 + np.exp(-found["AU12"].scores)), expected, rtol=1e-4)
    assert found["AU12"].frames is found["norm of motion"].frames is found["norm of emotion"].flow is None


def test_a_contribution_is_what_the_logit_gains_by_the_branch(model, clips):
    with_both = predict(model, clips).logits[:, 0]
    still_flow = predict(model, replace(clips, flow=np.zeros_like(clips.flow))).logits[:, 0]
    motion = integrated_gradients(model, clips, target="happiness from motion", n_steps=16)
    np.testing.assert_allclose(motion.scores, with_both - still_flow, atol=1e-5)
    np.testing.assert_allclose(motion.totals, with_both - still_flow, atol=2e-3)
    assert (motion.frames, motion.branch, motion.baseline_scores.any()) == (None, "motion", False)
    emotion = saliency(model, clips, target="happiness from emotion")
    frames = torch.from_numpy(clips.frames).permute(0, 1, 4, 2, 3).float() / 255
    flow, onset = torch.from_numpy(clips.flow).permute(0, 3, 1, 2), frames[:, :1]
    # The other branch sees its clip while this one's fades: two points, and on along the line.
    with torch.no_grad():
        near, nearer = (model(onset + share * (frames - onset), flow).logits[:, 0] for share in (0.006, 0.003))
    np.testing.assert_allclose(emotion.scores, with_both - (2 * nearer - near).numpy(), atol=1e-4)
    assert np.abs(emotion.scores).min() > 0.01
    assert emotion.flow is None


def test_a_class_may_be_written_like_a_rule_and_an_unknown_target_lists_those_there_are(model, clips):
    found = saliency(model, clips, target="  happiness-others   from  motion ")
    assert found.target == "happiness - others from motion"
    named = MEDN(replace(CONFIG, classes=("fear", "anger", "fear - anger"), aus=clips.aus))
    expected = predict(named, clips).logits[:, 2]
    np.testing.assert_allclose(saliency(named, clips, target="fear - anger").scores, expected, atol=1e-5)
    motion = MEDN(MEDNConfig.for_clips(clips, dim=32, branches="motion"))
    expected = ["happiness", "others", "AU1", "AU12", "AU14", "norm of motion", "norm of fused"]
    assert attribution_targets(motion) == expected
    plain = MEDN(MEDNConfig.for_clips(clips, dim=32, fusion="concat"))
    for one, target in (
        *((motion, target) for target in ("gate", "happiness from motion", "norm of emotion")),
        *((model, target) for target in ("joy", "happiness - happiness", "AU12 from motion")),
        (plain, "gate"),
    ):
        with pytest.raises(ValueError, match=f"'{target}'.*happiness, others"):
            saliency(one, clips, target=target)
