"""Whether a map can be believed: figures with closed forms, against captum, on random weights, on planted regions."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from planted_readers import LinearReader, PatchReader
from tiny_clips import tiny_clips, tiny_model

import medn_lab as medn
from medn_lab.diagnose import (
    bare_change,
    check_attribution,
    compare_attributions,
    frame_ablation,
    grad_cam,
    infidelity,
    integrated_gradients,
    occlusion,
    planted_interval,
    planted_mass,
    randomisation_check,
    saliency,
    sensitivity,
)
from medn_lab.diagnose.attribution import completeness
from medn_lab.diagnose.attribution_checks import draw_weights
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.records import Attribution
from medn_lab.view import plot_attribution_comparison, plot_randomisation

COMPARED = ("bare_change", "saliency", "integrated_gradients")

every = pytest.mark.parametrize


@pytest.fixture(scope="module")
def clips():
    return tiny_clips(n_subjects=2, clips_per_subject=2)


@pytest.fixture(scope="module")
def model(clips):
    return tiny_model(clips)


@pytest.fixture(scope="module")
def drawn():
    return medn.synthetic_clips(n_subjects=4, clips_per_subject=12, seed=1, n_jobs=1)


@pytest.fixture(scope="module")
def faces():
    clips = medn.synthetic_clips(n_subjects=2, clips_per_subject=6, size=64, seed=2, n_jobs=1)
    return clips.with_table(clips.table.assign(label=clips.table["emotion"]))


@pytest.fixture(scope="module")
def face_model(faces):
    return tiny_model(faces)


@pytest.fixture(scope="module")
def compared(face_model, faces):
    few_steps = {"integrated_gradients": {"n_steps": 4}}
    how = {"methods": COMPARED, "params": few_steps, "truth": faces.truth, "n_draws": 1}
    return compare_attributions(face_model, faces, target="happiness", **how)


def made_of(clips, method="x", **parts):
    maps = {"frames": None, "flow": None} | parts
    return Attribution(**maps, table=clips.table, target="x", branch="both", method=method)


class TestCompleteness:
    @every(
        ("totals", "scores", "error", "gap"),
        [
            ([1.0, 2.0, 3.0, -1.0], [1.5, 2.0, 3.0, -1.5], 1 / 8, 0.5),  # the gaps are pooled over clips
            ([0, 0, 0, 0], [1.0, -2.0, 3.0, 4.0], 1, 3.85),  # a map of zeros leaves everything
            ([0, 0, 0, 0], [0, 0, 0, 0], 0, 0),
        ],
    )
    def test_its_closed_forms(self, clips, totals, scores, error, gap):
        flow = np.zeros((4, 2, 2, 1), np.float32)
        flow[:, 0, 0, 0] = totals
        found = completeness(made_of(clips, flow=flow, scores=np.float32(scores), baseline_scores=np.zeros(4)))
        assert found["completeness_error"] == pytest.approx(error)
        assert found["completeness_gap_95"] == pytest.approx(gap)


class TestInfidelity:
    @every(
        ("method", "options"), [(saliency, {}), (integrated_gradients, {}), (frame_ablation, {"patch": 32})]
    )  # frame ablation knows each frame's loss, but not where in the frame it lies
    def test_a_linear_network_is_predicted_exactly(self, clips, method, options):
        found = method(LinearReader(), clips, target="happiness")
        np.testing.assert_allclose(infidelity(found, model=LinearReader(), clips=clips, **options), 0, atol=1e-4)

    def test_a_map_of_zeros_predicts_nothing_and_scale_does_not_matter(self, model, clips):
        found = integrated_gradients(model, clips, target="happiness", n_steps=4)
        nothing, scaled = (replace(found, frames=k * found.frames, flow=k * found.flow) for k in (0, -7))
        np.testing.assert_array_equal(infidelity(nothing, model=model, clips=clips), 1)
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

    @every("method", [saliency, occlusion])
    def test_it_is_captums_over_the_losses_mean_square(self, model, clips, method):
        from captum.metrics import infidelity as captums

        found = method(model, clips, target="AU12")
        ours = infidelity(found, model=model, clips=clips, n_samples=12, patch=10, seed=4)
        generator = torch.Generator().manual_seed(4)  # upper and left edges of the squares, the same for each clip
        top, left = (torch.randint(23, (12, 1, 1), generator=generator) for _ in range(2))
        rows, columns = torch.arange(32).view(1, -1, 1), torch.arange(32).view(1, 1, -1)
        mask = (rows >= top) & (rows < top + 10) & (columns >= left) & (columns < left + 10)
        mask = mask[:, None].expand(12, 2, 32, 32)
        for row in range(len(clips)):
            flow = torch.from_numpy(clips.flow[row : row + 1]).permute(0, 3, 1, 2).contiguous()
            spoke = torch.from_numpy(found.flow[row : row + 1]).permute(0, 3, 1, 2)

            def stilled(x, flow=flow):
                removed = mask * flow if method is saliency else mask.float()
                return removed, torch.where(mask, 0.0, x)

            options = {"inputs": flow, "n_perturb_samples": 12}
            of_au = lambda x: model(None, x).au_logits[:, 1]  # noqa: E731
            left_over = captums(of_au, stilled, attributions=spoke, normalize=True, **options)
            whole = captums(of_au, stilled, attributions=torch.zeros_like(spoke), **options)
            assert ours[row] == pytest.approx(float(left_over / whole), rel=1e-2, abs=1e-4)


class TestSensitivity:
    def test_a_linear_slope_and_a_clip_without_noise_hold_still(self, model, clips):
        found = saliency(LinearReader(), clips, target="happiness")
        np.testing.assert_allclose(sensitivity(found, model=LinearReader(), clips=clips), 0, atol=1e-5)
        found = grad_cam(model, clips, target="happiness")
        assert sensitivity(found, model=model, clips=clips, frames_radius=0, flow_radius=0).max() < 1e-4

    def test_it_grows_with_the_radius_and_a_map_of_zeros_has_none(self, model, clips):
        found = saliency(model, clips, target="AU12")
        near, far = (sensitivity(found, model=model, clips=clips, flow_radius=r) for r in (0.002, 0.05))
        assert (far > near).all()
        assert np.isnan(sensitivity(replace(found, flow=0 * found.flow), model=model, clips=clips)).all()

    def test_it_is_captums(self, model, clips):
        from captum.attr import Saliency
        from captum.metrics import sensitivity_max

        found = saliency(model, clips, target="AU12")
        ours = sensitivity(found, model=model, clips=clips, n_samples=5, flow_radius=0.03, seed=7)
        explain = Saliency(lambda x: model(None, x).au_logits[:, 1])
        for row in range(len(clips)):
            flow = torch.from_numpy(clips.flow[row : row + 1]).permute(0, 3, 1, 2).contiguous()
            noise = 2 * torch.rand((5, *flow.shape[1:]), generator=torch.Generator().manual_seed(7)) - 1
            theirs = sensitivity_max(
                lambda given: explain.attribute(tuple(one.requires_grad_() for one in given), abs=False),
                (flow,),
                perturb_func=lambda given, radius, noise=noise: (given + radius * noise,),
                perturb_radius=0.03,
                n_perturb_samples=5,
            )
            assert ours[row] == pytest.approx(float(theirs), rel=1e-3)


class TestCheckAttribution:
    def test_the_medians_are_in_sanity(self, model, clips):
        found = integrated_gradients(model, clips, target="AU12", n_steps=8)
        found = check_attribution(found, model=model, clips=clips)
        assert set(found.sanity) == {"completeness_error", "completeness_gap_95", "infidelity", "sensitivity"}
        assert found.sanity["infidelity"] == pytest.approx(np.median(infidelity(found, model=model, clips=clips)))
        assert "infidelity 0." in repr(found)
        slopes = check_attribution(saliency(model, clips, target="AU12"), model=model, clips=clips)
        assert set(slopes.sanity) == {"infidelity", "sensitivity"}

    def test_clips_are_joined_by_clip_id(self, model, clips):
        found = saliency(model, clips, target="AU12")
        turned = clips.select(clips.table["clip_id"][::-1])
        of_both = [infidelity(found, model=model, clips=one) for one in (clips, turned)]
        np.testing.assert_array_equal(*of_both)

    def test_another_model_or_other_arguments_are_refused(self, model, clips):
        found, other = saliency(model, clips, target="AU12"), MEDN(model.config, seed=8)
        for measure, attribution, options, facts in (
            (infidelity, found, {"model": other}, "AU12 of 'tiny0_s00_c00'"),
            (sensitivity, replace(found, scores=None), {}, "no scores"),
            (infidelity, found, {"patch": 33}, "32 px.*33"),
            (infidelity, found, {"n_samples": 1}, "at least 2.*1"),
            (sensitivity, found, {"n_samples": 0}, "at least 1.*0"),
        ):
            with pytest.raises(ValueError, match=facts):
                measure(attribution, **{"model": model, "clips": clips, **options})


class TestRandomisation:
    def test_a_map_that_never_looked_at_the_model_is_marked(self, model, clips):
        check = randomisation_check(model, clips, target="happiness", method="bare_change", n_draws=1)
        assert check.surviving == ("frames", "flow")
        np.testing.assert_allclose(check.table[["spearman", "spearman_absolute", "ssim"]], 1, atol=1e-6)
        one = pytest.approx(1)
        expected = {"randomised_frames": one, "randomised_flow": one, "randomised_threshold": 0.5}
        assert check.attribution.sanity == expected
        assert bare_change(model, clips, target="happiness").sanity == {}
        assert "frames SURVIVES" in repr(check)

    def test_slopes_of_a_linear_network_follow_its_weights(self, clips):
        check = randomisation_check(LinearReader(), clips, target="happiness", method="saliency", n_draws=2)
        assert check.surviving == ()
        # 1024 independent pixels: the rank correlation has a standard deviation of 1/32.
        assert check.table[["spearman", "spearman_absolute"]].abs().to_numpy().max() < 0.13
        assert "flow changes with" in repr(check)

    def test_an_untrained_networks_map_is_as_much_like_any_other_random_networks(self, model, clips):
        # What is left is the architecture: strided convolutions leave their lattice in the absolute slopes.
        how = {"target": "AU12", "method": "saliency", "n_draws": 3}
        models = {seed: MEDN(model.config, seed=seed) for seed in (3, 4)}
        one, other = (randomisation_check(m, clips, seed=10 * s, **how).table.iloc[0] for s, m in models.items())
        assert max(abs(one["spearman"]), abs(other["spearman"])) < 0.2
        assert one["spearman_absolute"] == pytest.approx(other["spearman_absolute"], abs=0.15)

    def test_places_kept_by_an_unlearned_rule_are_found_out(self, clips):
        # Grad-CAM on tokens is zero where SEVit dropped a position, mostly by a measured score that no weight decides:
        # with two positions kept, the maps of any two networks lie on nearly the same patches.
        config = MEDNConfig.for_clips(clips, dim=32, patch=8, keep_rates=(0.13,), branches="emotion")
        one = MEDN(config, seed=3)
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

    @every("randomise", ["modules", "layers"])
    def test_a_cascade_goes_from_the_output_down_to_all_weights(self, model, clips, randomise):
        few = clips.select(clips.table["clip_id"][:2])
        how = {"target": "happiness", "method": "saliency", "n_draws": 1, "seed": 5}
        check = randomisation_check(model, few, randomise=randomise, **how)
        stages = list(dict.fromkeys(check.table["stage"]))
        assert stages[0].startswith("head")
        assert stages[-1] == "all weights"
        assert len(stages) == 4 if randomise == "modules" else len(stages) > 8
        last = check.table[check.table["stage"] == "all weights"]
        at_once = randomisation_check(model, few, **how).table
        np.testing.assert_allclose(last["spearman"], at_once["spearman"], atol=1e-6)
        figure = plot_randomisation(check.table)  # begins at the map itself
        curve = next(trace for trace in figure.data if trace.meta == "frames spearman_absolute")
        rows = check.table[check.table["input"] == "frames"]
        np.testing.assert_allclose(curve.y, [1, *rows["spearman_absolute"]])
        assert curve.x[-1] == "all weights"

    def test_randomising_what_the_target_does_not_use_changes_nothing(self, model, clips):
        check = randomisation_check(model, clips, target="AU12", method="saliency", randomise="modules", n_draws=1)
        by_stage = check.table.set_index("stage")["spearman"]
        np.testing.assert_allclose(by_stage.iloc[:-1], 1, atol=1e-6)  # head, fusion and emotion branch
        assert by_stage.iloc[-1] < 0.5

    def test_the_model_is_left_as_it_was_and_a_seed_repeats(self, model, clips):
        before, state = weights_sha256(model), torch.get_rng_state()
        how = {"target": "happiness", "method": "saliency", "n_draws": 1}
        first, second, other = (
            randomisation_check(model, clips, seed=seed, **how).randomised.flow for seed in (9, 9, 10)
        )
        assert weights_sha256(model) == before
        assert torch.equal(torch.get_rng_state(), state)
        np.testing.assert_array_equal(first, second)
        assert np.abs(other - first).max() > 0

    def test_the_seed_of_the_network_itself_does_not_bring_its_weights_back(self, clips):
        untrained = MEDN(MEDNConfig.for_clips(clips, dim=32, branches="motion"), seed=0)
        check = randomisation_check(untrained, clips, target="AU12", method="saliency", n_draws=1, seed=0)
        assert abs(check.table["spearman"].iloc[0]) < 0.2

    def test_every_weight_is_drawn_anew(self, model):
        trained = copy.deepcopy(model)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for value in trained.parameters():  # no weight is where it began
                value.add_(0.1 * torch.randn(value.shape, generator=generator))
        fresh = copy.deepcopy(trained)
        draw_weights(fresh, seed=0)
        for (name, own), other in zip(trained.named_parameters(), fresh.parameters(), strict=True):
            assert torch.isclose(own, other, rtol=1e-3).float().mean() < 0.1, name

    def test_arguments_out_of_range_are_refused(self, model, clips):
        for options, facts in (
            ({"randomise": "half"}, "all, modules.*layers.*'half'"),
            ({"threshold": 0}, "threshold.*0"),
            ({"n_draws": 0}, "n_draws.*0"),
        ):
            with pytest.raises(ValueError, match=facts):
                randomisation_check(model, clips, target="happiness", **options)


class TestPlantedMass:
    @pytest.mark.slow
    def test_of_the_shipped_model_an_au_lies_on_its_region(self, shipped, drawn):
        clips = drawn.where(AU12=1.0)
        maps = (
            integrated_gradients(shipped, clips, target="AU12", n_steps=8),
            bare_change(shipped, clips, target="AU12"),
            randomisation_check(shipped, clips, target="AU12", n_draws=1, params={"n_steps": 4}).randomised,
        )
        found, change, random = (planted_mass(one, truth=drawn.truth, region="AU12", of="flow") for one in maps)
        assert (found["share"] > found["chance"]).mean() > 0.9
        assert planted_interval(found).low > 0
        # More than because something moves there, and more than any network's map would.
        assert found["share"].mean() > 1.3 * change["share"].mean()
        assert found["share"].mean() > 1.3 * random["share"].mean()

    @pytest.mark.slow
    def test_of_the_shipped_model_an_emotion_in_the_frames_lies_on_the_cue(self, shipped, drawn):
        clips = drawn.where(cue="flush", label="disgust")
        maps = (
            integrated_gradients(shipped, clips, target="disgust", n_steps=8),
            bare_change(shipped, clips, target="disgust"),
        )
        found, change = (planted_mass(one, truth=drawn.truth, of="frames") for one in maps)
        assert found.attrs["region"] == "cue"
        assert found["share"].mean() > 3 * found["chance"].mean()
        # A blush is fainter than noise.
        assert change["share"].mean() == pytest.approx(change["chance"].mean(), rel=0.3)
        assert planted_interval(found, of="hits").value > 0.5

    def test_it_looks_where_the_clips_own_kind_of_cue_lies(self):
        cue = {"cue": "colour+brightness", "n_frames": 6}
        clips = medn.synthetic_clips(n_subjects=2, clips_per_subject=5, seed=4, n_jobs=1, **cue)
        kinds = clips.truth.table["cue_kind"]
        assert set(kinds) == {"colour", "brightness"}
        of_brightness = clips.truth.cue_mask[[0] * 5 + [1] * 5, clips.truth.cue_kinds.index("brightness")]
        heat = np.zeros(clips.frames.shape, np.float32) + of_brightness[:, None, :, :, None]
        found = planted_mass(made_of(clips, frames=heat), truth=clips.truth, region="cue", of="frames")
        np.testing.assert_allclose(found["share"], kinds == "brightness")
        np.testing.assert_array_equal(found["planted"], clips.table["cue"] != "still")

    def test_its_closed_forms(self, drawn):
        clips = drawn.select(drawn.table["clip_id"][:3])
        masks = np.stack([drawn.truth.cue_region(name) for name in clips.table["clip_id"]]).astype(np.float32)
        ones = np.ones((3, 64, 64, 1), np.float32)

        def mass(of="flow", **maps):
            return planted_mass(made_of(clips, **maps), truth=drawn.truth, region="cue", of=of)

        inside, even, nothing = (mass(flow=flow) for flow in (-masks[..., None], ones, 0 * ones))
        np.testing.assert_allclose(inside[["share", "hits"]], 1)
        np.testing.assert_allclose(even["share"], even["chance"], rtol=1e-5)
        np.testing.assert_allclose(even["hits"], even["chance"], rtol=1e-5)  # all are the strongest: the share of them
        assert nothing[["share", "hits"]].to_numpy().tolist() == [[0, 0]] * 3
        half = np.zeros((3, 8, 64, 64, 3), np.float32)
        half[:, 2, :, :, 0], half[:, 5, :, :, 1] = masks, -masks  # signs and moments do not cancel
        np.testing.assert_allclose(mass("frames", frames=half)["share"], 1)

    def test_clips_in_which_nothing_was_planted_are_left_out_of_the_mean(self, drawn):
        even = made_of(drawn, flow=np.ones((len(drawn), 64, 64, 1), np.float32))
        cue, au, own = (planted_mass(even, truth=drawn.truth, region=r, of="flow") for r in ("cue", "AU12", "AUs"))
        assert cue["planted"].tolist() == (drawn.table["cue"] != "still").tolist()
        n = cue["planted"].sum()
        assert f"{n} clips of 4 subjects; {len(drawn) - n} without it" in cue.attrs["summary"]
        assert au["planted"].tolist() == (drawn.table["AU12"] == 1).tolist()
        alone = (drawn.table["action_units"] == "12").to_numpy()
        np.testing.assert_allclose(own["chance"][alone], au["chance"][alone])
        assert (own["chance"] >= np.where(au["planted"], au["chance"], 0) - 1e-9).all()

    def test_the_interval_resamples_subjects(self, drawn):
        flow = np.zeros((len(drawn), 64, 64, 1), np.float32)
        masks = np.stack([drawn.truth.cue_region(name) for name in drawn.table["clip_id"]])[..., None]
        first = (drawn.table["subject"] == drawn.table["subject"][0]).to_numpy()
        flow[first], flow[~first] = masks[first], ~masks[~first]  # one subject of four has all of its map there
        mass = planted_mass(made_of(drawn, flow=flow), truth=drawn.truth, region="cue", of="flow")
        found = planted_interval(mass, of="share")
        assert found.n_subjects == 4
        # One of four subjects: Wilson's interval with Student's t of three degrees of freedom is wide on both sides.
        assert found.low < 0.05
        assert found.high > 0.6
        with pytest.raises(ValueError, match="2 subjects"):
            planted_interval(mass[first])
        with pytest.raises(ValueError, match="excess"):
            planted_interval(mass, of="area")

    def test_what_was_not_planted_is_refused(self, drawn):
        clips = drawn.select(drawn.table["clip_id"][:3])
        flow = np.ones((3, 64, 64, 1), np.float32)
        for maps, options, facts in (
            (flow, {"of": "frames"}, "no frames"),
            (flow, {"region": "AU99"}, "'AU99'.*cue, AUs, AU1"),
            (flow[:, ::2, ::2], {}, r"\(32, 32\).*\(64, 64\)"),
            (flow, {"of": "faces"}, "frames or flow"),
        ):
            options = {"region": "cue", "of": "flow", **options}
            with pytest.raises(ValueError, match=facts):
                planted_mass(made_of(clips, flow=maps), truth=drawn.truth, **options)


class TestComparison:
    def of_saliency(self, face_model, faces, truth=None, target="happiness"):
        return compare_attributions(face_model, faces, target=target, methods=["saliency"], truth=truth, n_draws=1)

    @pytest.mark.slow
    def test_the_figures_are_those_of_the_single_functions(self, compared, face_model, faces):
        expected = [(method, of) for method in COMPARED for of in ("frames", "flow")]
        assert [*zip(compared["method"], compared["input"], strict=True)] == expected
        check = randomisation_check(face_model, faces, target="happiness", method="saliency", n_draws=1)
        rows = compared[compared["method"] == "saliency"].set_index("input")
        for of, region in (("frames", "cue"), ("flow", "AUs")):
            found, last = rows.loc[of], check.table.set_index("input").loc[of]
            np.testing.assert_allclose([*found[["spearman", "ssim"]]], [*last[["spearman", "ssim"]]], rtol=1e-6)
            maps = (check.attribution, check.randomised)
            own, random = (planted_mass(one, truth=faces.truth, region=region, of=of) for one in maps)
            interval = planted_interval(own, of="share")
            assert [*found[["share", "low", "high"]]] == pytest.approx([interval.value, interval.low, interval.high])
            assert found["random_share"] == pytest.approx(random["share"][random["planted"]].mean())
            assert (found["region"], found["n_planted"]) == (region, own["planted"].sum())

    @pytest.mark.slow
    def test_a_map_without_a_network_survives_and_only_complete_methods_have_an_error(self, compared):
        bare = compared[compared["method"] == "bare_change"]
        assert bare["survives"].all()
        np.testing.assert_allclose(bare["spearman_absolute"], 1)
        np.testing.assert_allclose(bare["share"], bare["random_share"])
        complete = compared.groupby("method")["completeness_error"].apply(lambda errors: errors.notna().all())
        assert complete.to_dict() == {"bare_change": False, "saliency": False, "integrated_gradients": True}

    def test_an_au_is_looked_for_in_its_own_region(self, face_model, faces):
        found = self.of_saliency(face_model, faces, truth=faces.truth, target="AU4")
        assert found["region"].tolist() == ["AU4"]
        assert found["n_planted"].tolist() == [int(faces.table["AU4"].sum())]

    def test_a_region_planted_in_no_clip_has_no_figure_and_one_subject_no_interval(self, face_model, faces):
        still = faces.select(faces.table.loc[faces.table["cue"] == "still", "clip_id"])
        found = self.of_saliency(face_model, still, truth=faces.truth).set_index("input").loc["frames"]
        assert found["n_planted"] == 0
        assert np.isnan(found["share"])
        one = faces.select(faces.table.loc[faces.table["subject"] == faces.table["subject"].iloc[0], "clip_id"])
        found = self.of_saliency(face_model, one, truth=faces.truth)
        assert np.isnan(found["low"]).all()
        assert found["share"].notna().any()

    def test_without_a_truth_there_is_no_share_and_without_a_method_nothing(self, face_model, faces):
        found = self.of_saliency(face_model, faces.select(faces.table["clip_id"][:2]))
        assert "share" not in found
        figure = plot_attribution_comparison(found)
        assert not [trace for trace in figure.data if (trace.meta or "").endswith("share")]
        assert "x2" not in {trace.xaxis for trace in figure.data}
        with pytest.raises(ValueError, match="bare_change"):
            compare_attributions(face_model, faces, target="happiness", methods=())

    @pytest.mark.slow
    def test_the_picture_shows_the_table(self, compared):
        figure = plot_attribution_comparison(compared)
        for column, key in (("share", "value"), ("random_share", "random_share"), ("area", "area")):
            drawn = [trace.x for trace in figure.data if trace.meta == key and trace.xaxis == "x2"]
            expected = [rows[column] for _, rows in compared.groupby("input", sort=False)]
            np.testing.assert_allclose(np.concatenate(drawn), np.concatenate(expected))
        left = [trace for trace in figure.data if trace.meta == "value" and trace.xaxis == "x"]
        marked = [symbol == "circle-open" for trace in left for symbol in trace.marker.symbol]
        assert (
            marked == np.concatenate([rows["survives"] for _, rows in compared.groupby("input", sort=False)]).tolist()
        )
        assert "<img" not in plot_attribution_comparison(compared.assign(target="<img src=x>")).to_json()

    @every("draw", [plot_randomisation, plot_attribution_comparison])
    def test_a_table_of_something_else_is_refused(self, draw, compared):
        with pytest.raises(ValueError, match="lacks"):
            draw(compared[["method"]])
        with pytest.raises(ValueError, match="no row"):
            draw(compared.assign(stage="all weights", n_draws=1).iloc[:0])
