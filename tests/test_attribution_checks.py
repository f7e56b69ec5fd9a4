"""Whether a map can be believed: figures with closed forms, against captum, on random weights, on planted regions."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from planted_readers import LinearReader, PatchReader
from scipy.stats import spearmanr
from tiny_clips import tiny_clips, tiny_model

import medn_lab as medn
from medn_lab.diagnose import check_attribution, compare_attributions, planted_mass, randomisation_check, saliency
from medn_lab.diagnose.attribution import completeness, random_model
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.records import Attribution
from medn_lab.view import plot_randomisation


@pytest.fixture(scope="module")
def clips():
    return tiny_clips(n_subjects=2, clips_per_subject=2)


@pytest.fixture(scope="module")
def model(clips):
    return tiny_model(clips)


@pytest.fixture(scope="module")
def faces():
    return medn.synthetic_clips(n_subjects=4, clips_per_subject=3, n_frames=2, seed=1, n_jobs=1)


@pytest.fixture(scope="module")
def face_model(faces):
    return tiny_model(faces)


def made_of(clips, **parts):
    maps = {"frames": None, "flow": None, "method": "x"} | parts
    return Attribution(**maps, table=clips.table, target="x", branch="both")


def test_completeness_has_its_closed_form(clips):
    flow = np.zeros((4, 2, 2, 1), np.float32)
    flow[:, 0, 0, 0], scores = [1.0, 2.0, 3.0, -1.0], np.float32([1.5, 2.0, 3.0, -1.5])
    found = completeness(made_of(clips, flow=flow, scores=scores, baseline_scores=np.zeros(4)))
    assert found == pytest.approx({"completeness_error": 1 / 8, "completeness_gap_95": 0.5})  # gaps are pooled


def test_slopes_of_a_linear_network_predict_it_exactly_hold_still_and_differ_from_their_control(clips):
    reader = LinearReader()
    slopes, change = (
        check_attribution(method(reader, clips, target="happiness"), model=reader, clips=clips).sanity
        for method in (saliency, medn.diagnose.bare_change)
    )
    assert max(slopes["infidelity"], slopes["sensitivity"]) < 1e-4 < 0.5 < slopes["random_infidelity_low"]
    assert change["random_infidelity_low"] == pytest.approx(change["infidelity"], abs=1e-6)  # it uses no weight


@pytest.mark.filterwarnings("ignore:the saliency map of the .* is 0 everywhere")
def test_a_target_that_nothing_changes_has_no_figure_and_another_model_is_refused(model, clips):
    reader = PatchReader(frames_cell=(0, 0), kept=((3,),))  # its patch is dropped, and its flow cell is still
    still = replace(clips, flow=np.zeros_like(clips.flow))
    found = saliency(reader, still, target="happiness")
    sanity = check_attribution(found, model=reader, clips=still, n_draws=1).sanity
    assert not {"infidelity", "sensitivity"} & set(sanity)
    found = saliency(model, clips, target="AU12")
    with pytest.raises(ValueError, match="AU12 of 'tiny0_s00_c00'"):
        check_attribution(found, model=MEDN(model.config, seed=8), clips=clips, n_draws=0)


@pytest.mark.parametrize("method", [saliency, medn.diagnose.occlusion])
def test_infidelity_and_sensitivity_are_captums(model, clips, method):
    from captum.attr import Saliency
    from captum.metrics import infidelity, sensitivity_max

    one = clips.select(clips.table["clip_id"][:1])
    found = method(model, one, target="AU12")
    ours = check_attribution(found, model=model, clips=one, n_draws=0, seed=4).sanity
    generator = torch.Generator().manual_seed(4)  # upper and left edges of the squares
    top, left = (torch.randint(25, (32, 1, 1), generator=generator) for _ in range(2))
    rows, columns = torch.arange(32).view(1, -1, 1), torch.arange(32).view(1, 1, -1)
    mask = (rows >= top) & (rows < top + 8) & (columns >= left) & (columns < left + 8)
    mask = mask[:, None].expand(32, 2, 32, 32)
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
        maps = replace(maps, scores=found.scores)  # of the model, whose losses it is to predict
        alone = (maps.select([one]) for one in clips.table["clip_id"])
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
    found = randomisation_check(LinearReader(), clips, target="happiness", method="saliency", n_draws=2)
    assert not found["survives"].any()
    # 1024 independent pixels: the rank correlation has a standard deviation of 1/32.
    assert found[["spearman", "spearman_absolute"]].abs().to_numpy().max() < 0.13
    found = randomisation_check(LinearReader(), clips, target="happiness", method="frame_ablation", n_draws=1)
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
    curve = next(trace for trace in plot_randomisation(found).data if trace.meta == "flow spearman_absolute")
    np.testing.assert_allclose(curve.y, [1, *found["spearman_absolute"]])  # begins at the map itself
    with pytest.raises(ValueError, match=r"all or modules.*'half'"):
        randomisation_check(model, clips, randomise="half", **how)


def test_every_weight_is_drawn_anew_also_by_the_seed_of_the_network(clips):
    own = MEDN(MEDNConfig.for_clips(clips, dim=32, branches="motion"), seed=0)
    trained, generator = copy.deepcopy(own), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in trained.parameters():  # no weight is where it began
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
    for one in (own, trained):
        fresh = random_model(one, seed=0)
        for (name, before), after in zip(one.named_parameters(), fresh.parameters(), strict=True):
            constant = one is own and before.std() == 0  # biases and norms begin at 0 or 1
            assert constant or torch.isclose(before, after, rtol=1e-3).float().mean() < 0.1, name


@pytest.mark.slow
def test_of_the_shipped_model_maps_lie_on_what_was_planted(shipped):
    drawn = medn.synthetic_clips(n_subjects=3, clips_per_subject=12, seed=1, n_jobs=1)
    how = {"methods": ["integrated_gradients", "bare_change"], "params": {"integrated_gradients": {"n_steps": 8}}}
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
    small = replace(even, flow=even.flow[:, ::2, ::2])
    for maps, options, facts in (
        (even, {"of": "frames"}, "no frames"),
        (even, {"region": "AU99"}, "'AU99'.*cue, AUs, AU1"),
        (small, {}, "32,32.*64,64"),
    ):
        with pytest.raises(ValueError, match=facts):
            planted_mass(maps, **{"truth": faces.truth, "region": "cue", "of": "flow", **options})


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
