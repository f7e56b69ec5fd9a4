"""Maps on demand are the maps that the methods make, come once, and carry what is known of them."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_clips import tiny_clips

from medn_lab import diagnose
from medn_lab.diagnose import attributor
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.synthme import synthetic_clips


@pytest.fixture(scope="module")
def clips():
    return tiny_clips(n_subjects=3, clips_per_subject=4)


@pytest.fixture(scope="module")
def model(clips):
    return MEDN(MEDNConfig.for_clips(clips, dim=32, patch=8), seed=2)


@pytest.fixture(scope="module")
def make(model, clips):
    return attributor(model, clips, params={"integrated_gradients": {"n_steps": 4}}, n_checked=3)


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "grad_cam", "frame_ablation", "bare_change"])
def test_a_map_on_demand_is_the_map_of_its_method(make, model, clips, method):
    clip_id = clips.table["clip_id"][5]
    options = {"n_steps": 4} if method == "integrated_gradients" else {}
    own = getattr(diagnose, method)(model, clips.select([clip_id]), target="happiness", **options)
    found = make(clip_id, target="happiness", method=method)
    for name in ("frames", "flow"):
        if getattr(own, name) is not None:
            np.testing.assert_allclose(getattr(found, name), getattr(own, name), rtol=1e-4, atol=1e-7)
    assert found.sanity.keys() >= own.sanity.keys()


def test_a_map_is_made_once_and_comes_again_as_it_was(make, clips):
    asked = {"target": "gate", "method": "saliency"}
    clip_id = clips.table["clip_id"][1]
    assert not make.is_made(clip_id, **asked)
    first = make(clip_id, **asked)
    assert make.is_made(clip_id, **asked)
    assert make(clip_id, **asked) is first
    assert make(clips.table["clip_id"][2], **asked) is not first


def test_a_pair_is_attributed_in_both_clips(make, model, clips):
    a, b = (clips.table.loc[clips.table["label"] == name, "clip_id"].iloc[0] for name in ("happiness", "others"))
    found = make(a, partner=b, method="saliency")
    own = diagnose.attribute_pair(model, clips, clip_a=a, clip_b=b, method="saliency")
    assert found.target == "happiness - others"
    assert found.table["clip_id"].tolist() == [a, b]
    np.testing.assert_allclose(found.flow, own.flow, rtol=1e-4, atol=1e-7)
    assert make.is_made(a, partner=b, method="saliency", target="whatever")


def test_a_check_adds_the_slow_figures_and_stays(make, model, clips):
    clip_id, asked = clips.table["clip_id"][0], {"target": "happiness", "method": "saliency"}
    checked = make.check(clip_id, **asked)
    one = clips.select([clip_id])
    own = diagnose.check_attribution(diagnose.saliency(model, one, target="happiness"), model=model, clips=one)
    assert checked.sanity["infidelity"] == pytest.approx(own.sanity["infidelity"], rel=1e-3)
    assert checked.sanity["sensitivity"] == pytest.approx(own.sanity["sensitivity"], rel=1e-2)
    few = clips.select([clip_id, *make._alike(checked).table["clip_id"][1:]])
    random = diagnose.randomisation_check(model, few, target="happiness", method="saliency", n_draws=1)
    for name in ("randomised_frames", "randomised_flow"):
        assert checked.sanity[name] == pytest.approx(random.attribution.sanity[name], abs=1e-3)
    assert checked.sanity["randomised_clips"] == 3
    assert make(clip_id, **asked) is checked


def test_the_random_weights_are_drawn_once_for_a_target_and_method(make, clips, monkeypatch):
    asked = {"target": "others", "method": "bare_change"}
    make.check(clips.table["clip_id"][0], **asked)
    monkeypatch.setattr(
        "medn_lab.diagnose.attribution_pairs.randomisation_check", lambda *_, **__: pytest.fail("drawn again")
    )
    again = make.check(clips.table["clip_id"][3], **asked)
    assert again.sanity["randomised_frames"] == pytest.approx(1)  # it looks at no weight


def test_the_clips_of_a_check_are_of_one_emotion_and_of_other_persons_first(make, clips):
    found = make(clips.table["clip_id"][0], target="happiness", method="bare_change")
    few = make._alike(found)
    assert few.table["clip_id"][0] == clips.table["clip_id"][0]
    assert few.table["label"].nunique() == 1
    assert few.table["subject"].nunique() >= 2


def test_what_was_planted_is_measured_beside_its_area():
    clips = synthetic_clips(n_subjects=1, clips_per_subject=6, seed=2)
    model = MEDN(MEDNConfig(dim=32), seed=1)
    make = attributor(model, clips)
    flowing = clips.table.loc[clips.table["cue"] != "still", "clip_id"].iloc[0]
    found = make(flowing, target="happiness", method="saliency")
    for of, region in (("frames", "cue"), ("flow", "AUs")):
        mass = diagnose.planted_mass(found, truth=clips.truth, region=region, of=of)
        assert found.sanity[f"planted_{of}"] == pytest.approx(mass.share[0])
        assert found.sanity[f"area_{of}"] == pytest.approx(mass.chance[0])
    au = next(au for au in clips.aus if clips.table.set_index("clip_id").loc[flowing, au] == 1)
    of_au = make(flowing, target=au, method="saliency")
    mass = diagnose.planted_mass(of_au, truth=clips.truth, region=au, of="flow")
    assert of_au.sanity["planted_flow"] == pytest.approx(mass.share[0])
    assert "planted_frames" not in of_au.sanity
    assert "planted_frames" not in make(flowing, target="happiness", method="frame_ablation").sanity
    kept = make.kept(flowing)
    assert kept.cover is not None
    assert make.kept(flowing) is kept


def test_a_model_or_clips_of_one_input_have_their_methods_alone(clips):
    motion = attributor(MEDN(MEDNConfig.for_clips(clips, dim=32, patch=8, branches="motion")), clips)
    assert "frame_ablation" not in motion.methods
    assert motion.kept(clips.table["clip_id"][0]) is None
    bare = replace(clips, frames=None)
    make = attributor(MEDN(MEDNConfig.for_clips(clips, dim=32, patch=8)), bare)
    assert make(clips.table["clip_id"][0], target="AU12", method="saliency").frames is None
    assert make.kept(clips.table["clip_id"][0]) is None
    with pytest.raises(ValueError, match="no method 'frame_ablation' for this model; there are saliency"):
        make(clips.table["clip_id"][0], target="happiness", method="frame_ablation")


def test_no_more_maps_are_remembered_than_there_is_room_for(model, clips, monkeypatch):
    monkeypatch.setattr("medn_lab.diagnose.attribution_pairs.REMEMBERED", 2)
    make = attributor(model, clips)
    for clip_id in clips.table["clip_id"][:3]:
        make(clip_id, target="gate", method="bare_change")
    assert [make.is_made(name, target="gate", method="bare_change") for name in clips.table["clip_id"][:3]] == [
        False, True, True,
    ]  # fmt: skip
    assert "2 maps made" in repr(make)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"params": {"magic": {}}}, "no attribution method 'magic'"),
        ({"params": {"occlusion": {"size": 3}}}, "occlusion has no size; it takes patch"),
        ({"n_checked": 0}, "n_checked must be at least 1"),
    ],
)
def test_an_attributor_that_cannot_be_made_is_one_sentence(model, clips, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        attributor(model, clips, **arguments)


def test_what_cannot_be_mapped_is_one_sentence(make, clips):
    clip_id = clips.table["clip_id"][0]
    with pytest.raises(ValueError, match="no method 'magic'"):
        make(clip_id, target="happiness", method="magic")
    with pytest.raises(ValueError, match="'joy' is no target"):
        make(clip_id, target="joy")
    with pytest.raises(ValueError, match="not in these Clips"):
        make("nobody", target="happiness")
    with pytest.raises(ValueError, match="not in these clips"):
        make.kept("nobody")
    with pytest.raises(ValueError, match="two emotions"):
        make(clip_id, partner=clips.table.loc[clips.table["label"] == clips.table["label"][0], "clip_id"].iloc[1])
