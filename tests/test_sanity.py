"""Whether a map can be believed: figures with closed forms, against captum, and on networks that learned nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted_readers import LinearReader, PatchReader
from tiny_clips import tiny_clips, tiny_model

from medn_lab.diagnose import (
    bare_change,
    check_attribution,
    frame_ablation,
    grad_cam,
    infidelity,
    integrated_gradients,
    occlusion,
    randomisation_check,
    saliency,
    sensitivity,
)
from medn_lab.diagnose.attribution import completeness
from medn_lab.diagnose.attribution_checks import _random_squares, draw_weights
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.records import Attribution


@pytest.fixture(scope="module")
def clips():
    return tiny_clips(n_subjects=2, clips_per_subject=2)


@pytest.fixture(scope="module")
def model(clips):
    return tiny_model(clips)


class TestCompleteness:
    def test_it_pools_the_gaps_over_clips(self, clips):
        flow = np.zeros((4, 2, 2, 1), np.float32)
        flow[:, 0, 0, 0] = [1.0, 2.0, 3.0, -1.0]
        made = Attribution(
            None, flow, clips.table, "x", "motion", "integrated_gradients",
            scores=np.array([1.5, 2.0, 3.0, -1.5], np.float32), baseline_scores=np.zeros(4, np.float32),
        )  # fmt: skip
        found = completeness(made)
        assert found["completeness_error"] == pytest.approx((0.5 + 0 + 0 + 0.5) / 8)
        assert found["completeness_gap_95"] == pytest.approx(0.5)

    def test_a_map_of_zeros_leaves_everything(self, clips):
        scores = np.array([1.0, -2.0, 3.0, 4.0], np.float32)
        made = Attribution(
            None, np.zeros((4, 2, 2, 1), np.float32), clips.table, "x", "motion", "none",
            scores=scores, baseline_scores=0 * scores,
        )  # fmt: skip
        assert completeness(made)["completeness_error"] == pytest.approx(1)
        still = replace(made, scores=0 * scores)
        assert completeness(still)["completeness_error"] == 0


class TestInfidelity:
    @pytest.mark.parametrize("method", [saliency, integrated_gradients])
    def test_a_linear_network_is_foretold_exactly(self, clips, method):
        found = method(LinearReader(), clips, target="happiness")
        assert infidelity(found, model=LinearReader(), clips=clips).max() < 1e-4

    def test_frame_ablation_is_asked_about_frames_alone(self, clips):
        # Of a linear network it knows each frame's loss, but not where in the frame it lies.
        found = frame_ablation(LinearReader(), clips, target="happiness")
        whole = infidelity(found, model=LinearReader(), clips=clips, patch=32)
        np.testing.assert_allclose(whole, 0, atol=1e-4)

    def test_a_map_of_zeros_foretells_nothing_and_scale_does_not_matter(self, model, clips):
        found = integrated_gradients(model, clips, target="happiness", n_steps=4)
        nothing = replace(found, frames=0 * found.frames, flow=0 * found.flow)
        np.testing.assert_array_equal(infidelity(nothing, model=model, clips=clips), 1)
        scaled = replace(found, frames=-7 * found.frames, flow=-7 * found.flow)
        first, second = (infidelity(one, model=model, clips=clips) for one in (found, scaled))
        np.testing.assert_allclose(first, second, rtol=1e-4)
        assert ((first >= 0) & (first <= 1)).all()

    @pytest.mark.filterwarnings("ignore:the saliency map of the .* is 0 everywhere")
    def test_a_target_that_nothing_changes_has_no_figure(self, clips):
        reader = PatchReader(frames_cell=(0, 0), kept=((3,),))  # its patch is dropped, and its flow cell is still
        still = replace(clips, flow=np.zeros_like(clips.flow))
        found = saliency(reader, still, target="happiness")
        assert np.abs(found.frames).max() == 0
        assert np.isnan(infidelity(found, model=reader, clips=still)).all()

    @pytest.mark.parametrize("method", [saliency, occlusion])
    def test_it_is_captums_over_the_losses_mean_square(self, model, clips, method):
        from captum.metrics import infidelity as captums

        found = method(model, clips, target="AU12")
        ours = infidelity(found, model=model, clips=clips, n_samples=12, patch=10, seed=4)
        for row in range(len(clips)):
            flow = torch.from_numpy(clips.flow[row : row + 1]).permute(0, 3, 1, 2).contiguous()
            spoke = torch.from_numpy(found.flow[row : row + 1]).permute(0, 3, 1, 2)
            mask = _random_squares(flow, patch=10, n_samples=12, generator=torch.Generator().manual_seed(4))

            def stilled(x, mask=mask, flow=flow):
                removed = mask * flow if method is saliency else mask.float()
                return removed, torch.where(mask, 0.0, x)

            options = {"inputs": flow, "n_perturb_samples": 12}
            of_au = lambda x: model(None, x).au_logits[:, 1]  # noqa: E731
            left = captums(of_au, stilled, attributions=spoke, normalize=True, **options)
            whole = captums(of_au, stilled, attributions=torch.zeros_like(spoke), **options)
            assert ours[row] == pytest.approx(float(left / whole), rel=1e-2, abs=1e-4)


class TestSensitivity:
    def test_the_slope_of_a_linear_network_holds_still(self, clips):
        found = saliency(LinearReader(), clips, target="happiness")
        np.testing.assert_allclose(sensitivity(found, model=LinearReader(), clips=clips), 0, atol=1e-5)

    def test_no_noise_changes_nothing(self, model, clips):
        found = grad_cam(model, clips, target="happiness")
        assert sensitivity(found, model=model, clips=clips, frames_radius=0, flow_radius=0).max() < 1e-4

    def test_it_grows_with_the_radius(self, model, clips):
        found = saliency(model, clips, target="AU12")
        near, far = (sensitivity(found, model=model, clips=clips, flow_radius=r) for r in (0.002, 0.05))
        assert (far > near).all()

    def test_it_is_captums(self, model, clips):
        from captum.attr import Saliency
        from captum.metrics import sensitivity_max

        found = saliency(model, clips, target="AU12")
        ours = sensitivity(found, model=model, clips=clips, n_samples=5, flow_radius=0.03, seed=7)
        explain = Saliency(lambda x: model(None, x).au_logits[:, 1])
        for row in range(len(clips)):
            flow = torch.from_numpy(clips.flow[row : row + 1]).permute(0, 3, 1, 2).contiguous()
            generator = torch.Generator().manual_seed(7)
            noise = 2 * torch.rand((5, *flow.shape[1:]), generator=generator) - 1
            theirs = sensitivity_max(
                lambda given: explain.attribute(tuple(one.requires_grad_() for one in given), abs=False),
                (flow,),
                perturb_func=lambda given, radius, noise=noise: (given + radius * noise,),
                perturb_radius=0.03,
                n_perturb_samples=5,
            )
            assert ours[row] == pytest.approx(float(theirs[0]), rel=1e-3)

    def test_a_map_of_zeros_has_no_figure(self, model, clips):
        found = saliency(model, clips, target="AU12")
        nothing = replace(found, flow=0 * found.flow)
        assert np.isnan(sensitivity(nothing, model=model, clips=clips)).all()


class TestCheckAttribution:
    def test_the_medians_stand_beside_the_map(self, model, clips):
        found = check_attribution(
            integrated_gradients(model, clips, target="AU12", n_steps=8), model=model, clips=clips
        )
        assert set(found.sanity) == {"completeness_error", "completeness_gap_95", "infidelity", "sensitivity"}
        assert found.sanity["infidelity"] == pytest.approx(np.median(infidelity(found, model=model, clips=clips)))
        assert "infidelity 0." in repr(found)
        slopes = check_attribution(saliency(model, clips, target="AU12"), model=model, clips=clips)
        assert set(slopes.sanity) == {"infidelity", "sensitivity"}

    def test_clips_are_joined_by_clip_id(self, model, clips):
        found = saliency(model, clips, target="AU12")
        turned = clips.select(clips.table["clip_id"][::-1])
        np.testing.assert_array_equal(
            infidelity(found, model=model, clips=clips), infidelity(found, model=model, clips=turned)
        )

    def test_another_model_or_other_arguments_get_a_sentence(self, model, clips):
        found = saliency(model, clips, target="AU12")
        other = MEDN(model.config, seed=8)
        with pytest.raises(ValueError, match="was not made of this model and these clips: AU12 of 'tiny0_s00_c00' was"):
            infidelity(found, model=other, clips=clips)
        with pytest.raises(ValueError, match="holds no scores"):
            sensitivity(replace(found, scores=None), model=model, clips=clips)
        with pytest.raises(ValueError, match="patch must be from 1 to 32 px and n_samples at least 2; got 33 and 32"):
            infidelity(found, model=model, clips=clips, patch=33)
        with pytest.raises(ValueError, match="n_samples must be at least 1 and no radius negative; got 0"):
            sensitivity(found, model=model, clips=clips, n_samples=0)


class TestRandomisation:
    def test_a_map_that_never_looked_at_the_model_is_marked(self, model, clips):
        check = randomisation_check(model, clips, target="happiness", method="bare_change", n_draws=1)
        assert check.surviving == ("frames", "flow")
        np.testing.assert_allclose(check.table[["spearman", "spearman_absolute", "ssim"]], 1, atol=1e-6)
        assert check.attribution.sanity == {
            "randomised_frames": pytest.approx(1),
            "randomised_flow": pytest.approx(1),
            "randomised_threshold": 0.5,
        }
        assert "the map of the frames SURVIVES random weights" in repr(check)

    def test_slopes_of_a_linear_network_follow_its_weights(self, clips):
        check = randomisation_check(LinearReader(), clips, target="happiness", method="saliency", n_draws=2)
        assert check.surviving == ()
        # 1024 independent pixels: the rank correlation has a standard deviation of 1/32.
        assert check.table[["spearman", "spearman_absolute"]].abs().to_numpy().max() < 0.13
        assert "the map of the flow changes with random weights" in repr(check)

    def test_an_untrained_networks_map_is_as_much_like_any_other_random_networks(self, model, clips):
        # What is left is the architecture: strided convolutions leave their lattice in the absolute slopes.
        alike = [
            randomisation_check(
                MEDN(model.config, seed=seed), clips, target="AU12", method="saliency", n_draws=3, seed=10 * seed
            ).table.iloc[0]
            for seed in (3, 4)
        ]
        assert max(abs(row["spearman"]) for row in alike) < 0.2
        assert alike[0]["spearman_absolute"] == pytest.approx(alike[1]["spearman_absolute"], abs=0.15)

    def test_places_kept_by_an_unlearned_rule_are_found_out(self, clips):
        # Grad-CAM on tokens is zero where SEVit dropped a position, mostly by a measured score that no weight decides:
        # with two positions kept, the maps of any two networks lie on nearly the same patches.
        one = MEDN(MEDNConfig.for_clips(clips, dim=32, patch=8, keep_rates=(0.13,), branches="emotion"), seed=3)
        with torch.no_grad():
            one.emotion_branch.correction.weight.zero_()
            one.emotion_branch.position_score.zero_()
        check = randomisation_check(one, clips, target="happiness", method="grad_cam", n_draws=1, seed=1)
        assert check.table["spearman_absolute"].iloc[0] > 0.3

    def test_time_is_compared_as_time(self, clips):
        check = randomisation_check(LinearReader(), clips, target="happiness", method="frame_ablation", n_draws=1)
        assert list(check.table["input"]) == ["frames"]
        assert np.isnan(check.table["ssim"]).all()
        assert abs(check.table["spearman"].iloc[0]) < 1

    @pytest.mark.parametrize("randomise", ["modules", "layers"])
    def test_a_cascade_goes_from_the_output_down_to_all_weights(self, model, clips, randomise):
        check = randomisation_check(
            model, clips, target="happiness", method="saliency", randomise=randomise, n_draws=1, seed=5
        )
        stages = list(dict.fromkeys(check.table["stage"]))
        assert stages[0].startswith("head")
        assert stages[-1] == "all weights"
        assert len(stages) == 4 if randomise == "modules" else len(stages) > 8
        at_once = randomisation_check(model, clips, target="happiness", method="saliency", n_draws=1, seed=5)
        last = check.table[check.table["stage"] == "all weights"]
        np.testing.assert_allclose(last["spearman"], at_once.table["spearman"], atol=1e-6)

    def test_randomising_what_the_target_does_not_use_changes_nothing(self, model, clips):
        check = randomisation_check(model, clips, target="AU12", method="saliency", randomise="modules", n_draws=1)
        by_stage = check.table.set_index("stage")["spearman"]
        np.testing.assert_allclose(by_stage.iloc[:-1], 1, atol=1e-6)  # head, fusion and emotion branch
        assert by_stage.iloc[-1] < 0.5

    def test_the_model_is_left_as_it_was_and_a_seed_repeats(self, model, clips):
        before, state = weights_sha256(model), torch.get_rng_state()
        first, second = (
            randomisation_check(model, clips, target="happiness", method="saliency", n_draws=1, seed=9)
            for _ in range(2)
        )
        assert weights_sha256(model) == before
        assert torch.equal(torch.get_rng_state(), state)
        np.testing.assert_array_equal(first.randomised.flow, second.randomised.flow)
        other = randomisation_check(model, clips, target="happiness", method="saliency", n_draws=1, seed=10)
        assert np.abs(other.randomised.flow - first.randomised.flow).max() > 0

    def test_the_seed_of_the_network_itself_does_not_bring_its_weights_back(self, clips):
        untrained = MEDN(MEDNConfig.for_clips(clips, dim=32, branches="motion"), seed=0)
        check = randomisation_check(untrained, clips, target="AU12", method="saliency", n_draws=1, seed=0)
        assert abs(check.table["spearman"].iloc[0]) < 0.2

    def test_every_weight_is_drawn_anew(self, model):
        import copy

        trained = copy.deepcopy(model)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for value in trained.parameters():  # no weight is where it began
                value.add_(0.1 * torch.randn(value.shape, generator=generator))
        fresh = copy.deepcopy(trained)
        draw_weights(fresh, seed=0)
        for (name, own), other in zip(trained.named_parameters(), fresh.parameters(), strict=True):
            assert torch.isclose(own, other, rtol=1e-3).float().mean() < 0.1, name

    def test_bare_change_is_the_only_method_with_a_similarity_of_one(self, model, clips):
        own = bare_change(model, clips, target="happiness")
        assert own.sanity == {}

    def test_wrong_arguments_get_a_sentence(self, model, clips):
        with pytest.raises(ValueError, match="there is no attribution method 'lime'; there are saliency, integrated"):
            randomisation_check(model, clips, target="happiness", method="lime")
        with pytest.raises(ValueError, match="occlusion has no window; it takes patch, stride"):
            randomisation_check(model, clips, target="happiness", method="occlusion", params={"window": 3})
        with pytest.raises(ValueError, match="randomise must be all, modules or layers; got 'half'"):
            randomisation_check(model, clips, target="happiness", randomise="half")
        with pytest.raises(ValueError, match="n_draws must be at least 1 and threshold in"):
            randomisation_check(model, clips, target="happiness", threshold=0)
