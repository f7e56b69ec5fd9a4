"""Every attribution method: closed forms, one planted patch, one contract, and a model left as it was.

Whether a map can be believed: figures with closed forms, against captum, on random weights, on planted regions.
"""

import copy
from dataclasses import replace
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from cases import assert_refuses, mostly_slow
from einops import rearrange
from scipy.stats import spearmanr
from tiny_clips import tiny_clips, tiny_model
from torch import nn

import medn_lab as medn
from medn_lab import diagnose
from medn_lab.diagnose import check_attribution, compare_attributions, planted_mass, randomisation_check, saliency
from medn_lab.diagnose.attribution import completeness, random_model, registered_methods
from medn_lab.evaluate import extract_features, predict
from medn_lab.model import MEDN, MEDNConfig, MEDNOutput, SEVitOutput, weights_sha256

SIZE, N_FRAMES, PATCH = 32, 8, 8
FLOW_CELL, MOMENT = (1, 2), 5  # what a PatchReader reads of the flow, and when it reads the frames
CLASSES = ("happiness", "others")

CONFIG = MEDNConfig(size=SIZE, n_frames=N_FRAMES, patch=PATCH, dim=32, classes=CLASSES, aus=("AU1", "AU12"))


# --- networks with the outside of a MEDN whose inside can be computed by hand -----------------------------------------


class LinearReader(nn.Module):
    """Emotion logits that are fixed sums over frames and flow, an AU logit that is one over the flow."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.config, self.name = CONFIG, "linear"
        self.motion_branch = nn.Identity()
        self.of_frames = nn.Parameter(torch.randn(N_FRAMES, 3, SIZE, SIZE, generator=generator))
        self.of_flow = nn.Parameter(torch.randn(2, SIZE, SIZE, generator=generator))

    def forward(self, frames: torch.Tensor | None, flow: torch.Tensor | None) -> MEDNOutput:
        score = 0.0 if frames is None else (frames * self.of_frames).flatten(1).sum(dim=1)
        au = None if flow is None else (flow * self.of_flow).flatten(1).sum(dim=1)
        score = score if au is None else score + au
        au_logits = None if au is None else torch.stack([0 * au, au], dim=1)
        return MEDNOutput(torch.stack([score, 0 * score], dim=1), au_logits, None, None, None, None)


class PatchMotion(nn.Module):
    """Reads the mean flow of one cell of a grid, through a layer that is called as the real stem is."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.AvgPool2d(PATCH)
        self.weight = nn.Parameter(torch.tensor([2.0, -3.0]))

    def forward(self, flow: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        grid = self.stem(flow)  # (b, 2, 4, 4)
        feature = grid[:, :, *FLOW_CELL] * self.weight
        return feature, rearrange(grid, "b d h w -> b (h w) d"), feature


class PatchEmotion(nn.Module):
    """Reads the mean change of one patch at one moment, among tokens that were gathered out of order."""

    def __init__(self, cell: tuple[int, int], kept: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        self.norm, self.kept = nn.Identity(), kept
        self.place = cell[0] * (SIZE // PATCH) + cell[1]
        self.weight = nn.Parameter(torch.tensor([4.0, 1.0, -2.0]))

    def forward(self, frames: torch.Tensor) -> SEVitOutput:
        b, change = len(frames), frames - frames[:, :1]
        means = nn.functional.avg_pool2d(rearrange(change, "b t c h w -> (b t) c h w"), PATCH)
        tokens = rearrange(means, "(b t) c h w -> b (h w) (t c)", b=b)  # a place with its course
        feature = 0 * frames.flatten(1)[:, :3]  # what is not read still is part of the graph
        for places in self.kept:  # one call a keep rate, as SEVit does
            read = self.norm(tokens[:, list(places)])
            if self.place in places:
                course = read[:, places.index(self.place)].unflatten(1, (-1, 3))
                feature = feature + course[:, MOMENT] * self.weight
        kept = tuple(torch.tensor(places).expand(b, -1) for places in self.kept)
        mix = torch.full((b, len(kept)), 1 / len(kept))
        return SEVitOutput(feature, feature.unsqueeze(1), mix, torch.zeros(b, (SIZE // PATCH) ** 2), kept)


class PatchReader(nn.Module):
    """A network that reads one 8 px patch of the frames at one moment, and one cell of the flow, and nothing else.

    `kept` holds the positions kept at each keep rate, in the order in which they are gathered.
    """

    def __init__(self, *, frames_cell: tuple[int, int], kept: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        self.config, self.name = CONFIG, "reads one patch"
        self.motion_branch, self.emotion_branch = PatchMotion(), PatchEmotion(frames_cell, kept)

    def forward(self, frames: torch.Tensor | None, flow: torch.Tensor | None) -> MEDNOutput:
        motion, _, au_logits = (None, None, None) if flow is None else self.motion_branch(flow)
        emotion = None if frames is None else self.emotion_branch(frames)
        score = 0.0 if motion is None else torch.tanh(motion.sum(dim=1))
        score = score if emotion is None else score + torch.tanh(20 * emotion.feature.sum(dim=1))
        logits, feature = torch.stack([score, -score], dim=1), getattr(emotion, "feature", None)
        return MEDNOutput(logits, au_logits, motion, feature, None, None, sevit_output=emotion)


# --- maps of these and of real networks -------------------------------------------------------------------------------

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


LINEAR = LinearReader()
WEIGHTS = {
    "frames": LINEAR.of_frames.detach().permute(0, 2, 3, 1).numpy(),
    "flow": LINEAR.of_flow.detach().permute(1, 2, 0).numpy(),
}


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


def test_a_new_method_is_known_by_its_name_to_everything_that_takes_methods(clips):
    @diagnose.attribution_method(complete=True)
    def slope_times_change(score, inputs, fixed, *, scale: float = 1.0):
        """The slope at the clip times the change since the baseline."""
        inputs = tuple(value.detach().requires_grad_() for value in inputs)
        slopes = torch.autograd.grad(score(*inputs, *fixed).sum(), inputs)
        departures = zip(inputs, score.baselines(inputs), slopes, strict=True)
        return tuple(scale * slope * (value - base) for value, base, slope in departures)

    try:
        found = slope_times_change(LINEAR, clips, target="happiness")
        np.testing.assert_allclose(found.flow, clips.flow * WEIGHTS["flow"], rtol=1e-3, atol=1e-5)
        assert (found.method, found.params) == ("slope_times_change", {"scale": 1.0})
        table = compare_attributions(LINEAR, clips, target="happiness", methods=["slope_times_change"], n_draws=1)
        assert table["spearman"].max() < 0.5
        make = diagnose.Attributor(LINEAR, clips, params={"slope_times_change": {"scale": 2.0}}, n_checked=2)
        checked = make.check(clips.table["clip_id"][0], target="happiness", method="slope_times_change")
        np.testing.assert_allclose(checked.flow[0], 2 * found.flow[0], rtol=1e-5)
    finally:
        del registered_methods()["slope_times_change"]

    def taken(score, inputs, fixed): ...

    taken.__name__ = "saliency"
    assert_refuses(diagnose.attribution_method(), taken, match="saliency")


@pytest.mark.parametrize("method", [name for name in METHODS if name != "grad_cam"])
def test_a_map_has_its_closed_form(clips, method):
    """On a linear network what each method must give is known to the last digit."""
    found = getattr(diagnose, method)(LINEAR, clips, target="happiness - others", **EXACT.get(method, {}))
    # What a patch or a frame has is the sum of its products.
    summed = {"occlusion": of_patches, "frame_ablation": lambda values: values.sum(axis=(2, 3, 4))}
    for name, change in (("frames", change_of(clips)), ("flow", clips.flow)):
        values, weight = getattr(found, name), WEIGHTS[name]
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
    found = diagnose.grad_cam(PatchReader(frames_cell=(2, 1), kept=((3, 9, 0), (9,))), clips, target="happiness")
    change = change_of(clips)[:, 5].reshape(len(clips), 4, 8, 4, 8, 3).mean(axis=(2, 4))[:, 2, 1]  # (n, 3)
    summed = 2 * (change * [4.0, 1.0, -2.0]).sum(axis=1)  # the feature: both keep rates hold it
    slope = 20 * (1 - np.tanh(20 * summed) ** 2)
    places = found.frames_heat.reshape(len(clips), 8, 4, 8, 4, 8).sum(axis=(3, 5))
    # A token is a place with its whole course: an eighth of its value in each of the eight frames.
    expected = np.repeat((slope * summed)[:, None] / 8, 8, axis=1)
    np.testing.assert_allclose(places[:, :, 2, 1], expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(np.delete(places.reshape(len(clips), 8, 16), 9, axis=2), 0, atol=1e-7)
    cell = np.abs(found.flow)[:, 8:16, 16:24].sum(axis=(1, 2, 3))
    assert (cell > 0.5 * np.abs(found.flow).sum(axis=(1, 2, 3))).all()  # the cell that is read, enlarged smoothly
    found = diagnose.grad_cam(PatchReader(frames_cell=(2, 1), kept=((3, 0), (3,))), clips, target="others")
    assert np.abs(found.frames).max() == 0


def test_grad_cam_on_the_flow_stem_is_captums(model, clips):
    from captum.attr import LayerGradientXActivation

    flow = torch.from_numpy(clips.flow).permute(0, 3, 1, 2).contiguous()
    explain = LayerGradientXActivation(lambda x: model(None, x).au_logits, model.motion_branch.stem)
    theirs = explain.attribute(flow, target=1).sum(dim=1, keepdim=True)
    enlarged = torch.nn.functional.interpolate(theirs, size=(32, 32), mode="bilinear")[:, 0].detach().numpy()
    found = diagnose.grad_cam(model, clips, target=model.config.aus[1])
    np.testing.assert_allclose(found.flow_heat * (32 / theirs.shape[-1]) ** 2, enlarged, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", mostly_slow(METHODS, quick=3))
def test_values_have_the_inputs_shape_and_do_not_depend_on_other_clips(model, clips, method):
    found = run(method, model, clips, target="others")
    assert (found.frames.shape, found.frames.dtype) == (clips.frames.shape, np.float32)
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
    model, fail = bottleneck(clips).train(), Mock(side_effect=[None, None, RuntimeError("planted")])  # after the scores
    model.motion_branch.stem.eval()  # frozen by its owner
    before = {name: module.training for name, module in model.named_modules()}
    state, bins = torch.get_rng_state(), model.code.bin_width.clone()

    def left_as_it_was():
        kinds = ("_forward_hooks", "_forward_pre_hooks")
        assert not [one for one in model.modules() if any(getattr(one, kind) for kind in kinds)]
        assert {name: module.training for name, module in model.named_modules()} == before
        assert all(value.grad is None and value.requires_grad for value in model.parameters())
        assert torch.equal(model.code.bin_width, bins)

    diagnose.grad_cam(model, clips, target="happiness")
    left_as_it_was()
    with model.head.register_forward_hook(fail), pytest.raises(RuntimeError, match="planted"):
        diagnose.grad_cam(model, clips, target="happiness")
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
    refuses = partial(assert_refuses, randomisation_check, model, target="happiness", method="saliency")
    refuses(replace(clips, flow=None), target="AU12", match="'AU12'.*flow.*frames")
    refuses(replace(clips, frames=None), target="happiness from motion", match="'happiness from motion'.*frames")
    refuses(clips, target="AU12", method="frame_ablation", match="frames.*'AU12'")
    refuses(clips, method="occlusion", params={"patch": 64}, match="64 px.*32 px")
    refuses(clips, method="lime", match="'lime'.*saliency, integrated_gradients")
    refuses(clips, method="occlusion", params={"window": 3}, match="window.*patch")


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
    found = diagnose.integrated_gradients(model, clips, target="happiness from emotion", n_steps=64)
    assert np.abs(found.frames).max() > 0
    assert found.sanity["completeness_error"] < 0.05


def test_every_target_that_is_listed_can_be_attributed_and_is_the_models_own_figure(model, clips):
    found = {target: saliency(model, clips, target=target) for target in diagnose.attribution_targets(model)}
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
    motion = diagnose.integrated_gradients(model, clips, target="happiness from motion", n_steps=16)
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
    assert diagnose.attribution_targets(motion) == expected
    for one, target in (
        *((motion, target) for target in ("gate", "happiness from motion", "norm of emotion")),
        *((model, target) for target in ("joy", "happiness - happiness", "AU12 from motion")),
        (MEDN(MEDNConfig.for_clips(clips, dim=32, fusion="concat")), "gate"),
    ):
        assert_refuses(saliency, one, clips, target=target, match=f"'{target}'.*happiness, others")


@pytest.fixture(scope="module")
def faces():
    return medn.synthetic_clips(n_subjects=4, clips_per_subject=3, n_frames=2, seed=1, n_jobs=1)


@pytest.fixture(scope="module")
def face_model(faces):
    return tiny_model(faces)


def made_of(clips, **parts):
    maps = {"frames": None, "flow": None, "method": "x"} | parts
    return medn.records.Attribution(**maps, table=clips.table, target="x", branch="both")


def test_completeness_has_its_closed_form():
    flow = np.zeros((4, 2, 2, 1), np.float32)
    flow[:, 0, 0, 0], scores = [1.0, 2.0, 3.0, -1.0], np.float32([1.5, 2.0, 3.0, -1.5])
    four = tiny_clips(n_subjects=2, clips_per_subject=2)
    found = completeness(made_of(four, flow=flow, scores=scores, baseline_scores=np.zeros(4)))
    assert found == pytest.approx({"completeness_error": 1 / 8, "completeness_gap_95": 0.5})  # gaps are pooled


def test_slopes_of_a_linear_network_predict_it_exactly_hold_still_and_differ_from_their_control(clips):
    maps = (method(LINEAR, clips, target="happiness") for method in (saliency, diagnose.bare_change))
    slopes, change = (check_attribution(one, model=LINEAR, clips=clips).sanity for one in maps)
    assert max(slopes["infidelity"], slopes["sensitivity"]) < 1e-4 < 0.5 < slopes["random_infidelity_low"]
    assert change["random_infidelity_low"] == pytest.approx(change["infidelity"], abs=1e-6)  # it uses no weight


@pytest.mark.filterwarnings("ignore:the saliency map of the .* is 0 everywhere")
def test_a_target_that_nothing_changes_has_no_figure_and_another_model_is_refused(model, clips):
    reader = PatchReader(frames_cell=(0, 0), kept=((3,),))  # its patch is dropped, and its flow cell is still
    still = replace(clips, flow=np.zeros_like(clips.flow))
    checked = check_attribution(saliency(reader, still, target="happiness"), model=reader, clips=still, n_draws=1)
    assert not {"infidelity", "sensitivity"} & set(checked.sanity)
    found, other = saliency(model, clips, target="AU12"), MEDN(model.config, seed=8)
    assert_refuses(check_attribution, found, model=other, clips=clips, match="AU12 of 'tiny0_s00_c00'")


@pytest.mark.parametrize("method", [saliency, diagnose.occlusion])
def test_infidelity_and_sensitivity_are_captums(model, clips, method):
    from captum.attr import Saliency
    from captum.metrics import infidelity, sensitivity_max

    one = clips.select(clips.table["clip_id"][:1])
    found = method(model, one, target="AU12")
    ours = check_attribution(found, model=model, clips=one, n_draws=0, seed=4).sanity
    generator = torch.Generator().manual_seed(4)  # upper and left edges of the squares
    top, left = (torch.randint(25, (32, 1, 1), generator=generator) for _ in range(2))
    rows, columns = torch.arange(32).view(1, -1, 1), torch.arange(32).view(1, 1, -1)
    mask = ((rows >= top) & (rows < top + 8) & (columns >= left) & (columns < left + 8))[:, None].expand(32, 2, 32, 32)
    flow, values = (torch.from_numpy(each.flow).permute(0, 3, 1, 2).contiguous() for each in (one, found))

    def au12(x):
        return model(None, x).au_logits[:, 1]

    def stilled(x):
        return mask * flow if method is saliency else mask.float(), torch.where(mask, 0.0, x)

    how = {"inputs": flow, "n_perturb_samples": 32}
    left_over = infidelity(au12, stilled, attributions=values, normalize=True, **how)
    whole = infidelity(au12, stilled, attributions=0 * values, **how)
    assert ours["infidelity"] == pytest.approx(float(left_over / whole), rel=1e-2, abs=1e-4)
    if method is saliency:
        noise = 2 * torch.rand((4, *flow.shape[1:]), generator=torch.Generator().manual_seed(4)) - 1
        theirs = sensitivity_max(
            lambda given: Saliency(au12).attribute(tuple(one.requires_grad_() for one in given), abs=False),
            (flow,), perturb_func=lambda given, radius: (given + radius * noise,), perturb_radius=0.02,
            n_perturb_samples=4,
        )  # fmt: skip
        assert ours["sensitivity"] == pytest.approx(float(theirs), rel=1e-3)


def test_the_control_of_infidelity_is_that_of_random_models_maps(model, clips):
    own, how = saliency(model, clips, target="AU12"), {"model": model, "seed": 4}
    found = check_attribution(own, clips=clips, n_draws=2, **how)
    of_each = []
    for seed in (4, 5):
        maps = saliency(random_model(model, seed=seed), clips, target="AU12")
        # With the scores of the model, whose losses it is to predict.
        alone = (replace(maps, scores=found.scores).select([one]) for one in clips.table["clip_id"])
        figures = [check_attribution(one, clips=clips, n_draws=0, **how).sanity["infidelity"] for one in alone]
        of_each.append(np.median(figures))
    expected = {"_low": min(of_each), "": np.mean(of_each), "_high": max(of_each)}
    assert {end: found.sanity[f"random_infidelity{end}"] for end in expected} == pytest.approx(expected)
    assert found.sanity["random_draws"] == 2
    turned = clips.select(clips.table["clip_id"][::-1])  # clips are joined by clip_id
    assert check_attribution(own, clips=turned, n_draws=2, **how).sanity == found.sanity


def test_a_map_that_never_looked_at_the_model_is_marked_and_slopes_of_a_linear_network_are_not(model, clips):
    found = randomisation_check(model, clips, target="happiness", method="bare_change", n_draws=1)
    assert found["survives"].tolist() == [True, True]
    np.testing.assert_allclose(found[["spearman", "spearman_absolute"]], 1, atol=1e-6)
    found = randomisation_check(LINEAR, clips, target="happiness", method="saliency", n_draws=2)
    assert not found["survives"].any()
    # 1024 independent pixels: the rank correlation has a standard deviation of 1/32.
    assert found[["spearman", "spearman_absolute"]].abs().to_numpy().max() < 0.13
    found = randomisation_check(LINEAR, clips, target="happiness", method="frame_ablation", n_draws=1)
    assert list(found["input"]) == ["frames"]  # time is compared as time
    assert abs(found["spearman"].iloc[0]) < 1


def test_a_cascade_goes_from_the_output_down_to_all_weights_of_a_model_that_is_left_as_it_was(model, clips):
    before, state = weights_sha256(model), torch.get_rng_state()
    how = {"target": "AU12", "method": "saliency", "n_draws": 1}
    found = randomisation_check(model, clips, randomise="modules", seed=5, **how)
    by_stage = found.set_index("stage")["spearman"]
    assert (by_stage.index[0], by_stage.index[-1], len(by_stage)) == ("head", "all weights", 4)
    np.testing.assert_allclose(by_stage.iloc[:-1], 1, atol=1e-6)  # head, fusion and emotion branch are not used
    assert by_stage.iloc[-1] < 0.5
    # All weights at once: the rank correlation of the two maps by scipy; the same seed repeats.
    at_once, other = (randomisation_check(model, clips, seed=seed, **how)["spearman"][0] for seed in (5, 6))
    maps = [saliency(one, clips, target="AU12").flow.sum(axis=3) for one in (model, random_model(model, seed=5))]
    expected = np.mean([spearmanr(a, b, axis=None).statistic for a, b in zip(*maps, strict=True)])
    assert [by_stage.iloc[-1], at_once] == pytest.approx([expected] * 2, abs=1e-6)
    assert other != at_once
    assert weights_sha256(model) == before
    assert torch.equal(torch.get_rng_state(), state)
    curve = next(trace for trace in medn.view.plot_randomisation(found).data if trace.meta == "flow spearman_absolute")
    np.testing.assert_allclose(curve.y, [1, *found["spearman_absolute"]])  # begins at the map itself
    assert_refuses(randomisation_check, model, clips, randomise="half", **how, match=r"all or modules.*'half'")


def test_every_weight_is_drawn_anew_also_by_the_seed_of_the_network(clips):
    own = MEDN(MEDNConfig.for_clips(clips, dim=32, branches="motion"), seed=0)
    trained, generator = copy.deepcopy(own), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in trained.parameters():  # no weight is where it began
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
    for one in (own, trained):
        for (name, before), after in zip(one.named_parameters(), random_model(one, seed=0).parameters(), strict=True):
            constant = one is own and before.std() == 0  # biases and norms begin at 0 or 1
            assert constant or torch.isclose(before, after, rtol=1e-3).float().mean() < 0.1, name


@pytest.mark.slow
def test_of_the_shipped_model_maps_lie_on_what_was_planted(shipped):
    drawn = medn.synthetic_clips(n_subjects=3, clips_per_subject=12, seed=1, n_jobs=1)
    how = {"methods": ["integrated_gradients", "bare_change"], "params": {"integrated_gradients": {"n_steps": 4}}}
    flushed = drawn.where(cue="flush").where(label="disgust")
    for target, clips, of in (("AU12", drawn.where(AU12=1.0), "flow"), ("disgust", flushed, "frames")):
        table = compare_attributions(shipped, clips, target=target, truth=drawn.truth, n_draws=2, **how)
        found, change = (row for _, row in table[table["input"] == of].iterrows())
        # More than its area, than a map without a network, and than the method reaches on any random model.
        assert found["share"] > max(1.5 * found["area"], 1.3 * found["random_high"], 1.3 * change["share"])


def test_planted_mass_has_its_closed_forms(faces):
    clips = faces.select(faces.table["clip_id"][:3])
    masks = np.stack([faces.truth.cue_region(name) for name in clips.table["clip_id"]]).astype(np.float32)
    ones = np.ones((3, 64, 64, 1), np.float32)

    def mass(of="flow", **maps):
        return planted_mass(made_of(clips, **maps), truth=faces.truth, region="cue", of=of)

    inside, even, nothing = (mass(flow=flow) for flow in (-masks[..., None], ones, 0 * ones))
    np.testing.assert_allclose(inside["share"], 1)
    np.testing.assert_allclose(even["share"], even["chance"], rtol=1e-5)
    assert (nothing["share"] == 0).all()
    half = np.zeros((3, 2, 64, 64, 3), np.float32)
    half[:, 0, :, :, 0], half[:, 1, :, :, 1] = masks, -masks  # signs and moments do not cancel
    np.testing.assert_allclose(mass("frames", frames=half)["share"], 1)


def test_the_region_of_planted_mass_is_the_one_that_is_named(faces):
    even = made_of(faces, flow=np.ones((len(faces), 64, 64, 1), np.float32))
    cue, au, own = (planted_mass(even, truth=faces.truth, region=r, of="flow") for r in ("cue", "AU12", "AUs"))
    assert cue["planted"].tolist() == (faces.table["cue"] != "still").tolist()
    assert au["planted"].tolist() == (faces.table["AU12"] == 1).tolist()
    alone = (faces.table["action_units"] == "12").to_numpy()
    assert alone.any()
    np.testing.assert_allclose(own["chance"][alone], au["chance"][alone])
    assert (own["chance"] >= np.where(au["planted"], au["chance"], 0) - 1e-9).all()
    refuses = partial(assert_refuses, planted_mass, truth=faces.truth, region="cue", of="flow")
    refuses(even, of="frames", match="no frames")
    refuses(even, region="AU99", match="'AU99'.*cue, AUs, AU1")
    refuses(replace(even, flow=even.flow[:, ::2, ::2]), match="32,32.*64,64")


def test_a_comparison_has_the_figures_of_the_single_functions(face_model, faces):
    how = {"methods": ["bare_change", "saliency"], "truth": faces.truth, "n_draws": 2}
    compared = compare_attributions(face_model, faces, target="happiness", **how)
    alike = randomisation_check(face_model, faces, target="happiness", method="saliency", n_draws=2)
    models = (face_model, *(random_model(face_model, seed=seed) for seed in range(2)))
    maps = [saliency(one, faces, target="happiness") for one in models]
    rows = compared[compared["method"] == "saliency"].set_index("input")
    for of, region in (("frames", "cue"), ("flow", "AUs")):
        found, expected = rows.loc[of], alike.set_index("input").loc[of]
        names = ["spearman", "spearman_absolute", "survives", "n_draws"]
        assert [*found[names]] == pytest.approx([*expected[names]])
        own, *random = (planted_mass(one, truth=faces.truth, region=region, of=of).query("planted") for one in maps)
        shares = np.array([one["share"].mean() for one in random])
        names = ["share", "random_share", "random_low", "random_high", "area", "n_planted"]
        expected = [own["share"].mean(), shares.mean(), shares.min(), shares.max(), own["chance"].mean(), len(own)]
        assert [*found[names]] == pytest.approx(expected)
        assert found["low"] < found["share"] < found["high"]
        assert found["random_low"] < found["random_high"]
        assert found["region"] == region
    bare = compared[compared["method"] == "bare_change"]  # uses no weight
    assert bare["survives"].all()
    np.testing.assert_allclose(bare["random_low"], bare["share"])


def test_what_is_not_planted_has_no_figure_and_one_subject_no_interval(face_model, faces):
    how = {"methods": ["saliency"], "truth": faces.truth, "n_draws": 1}
    still = faces.select(faces.table.loc[faces.table["cue"] == "still", "clip_id"])
    found = compare_attributions(face_model, still, target="happiness", **how).set_index("input").loc["frames"]
    assert found["n_planted"] == 0
    assert np.isnan(found[["share", "random_share", "random_high"]].astype(float)).all()
    one = faces.select(faces.table.loc[faces.table["AU4"] == 1, "clip_id"].iloc[:1])
    found = compare_attributions(face_model, one, target="AU4", **how).iloc[0]
    assert (found["region"], found["n_planted"], np.isnan(found["low"])) == ("AU4", 1, True)
    assert found["share"] > 0
