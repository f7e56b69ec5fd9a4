"""What the inside of a network holds: read by hooks that leave nothing behind."""

import numpy as np
import pytest
import torch
from tiny_clips import tiny_clips

from medn_lab.diagnose import umap
from medn_lab.evaluate import extract_features, layer_features
from medn_lab.model import MEDN, MEDNConfig, as_inputs


@pytest.fixture(scope="module")
def clips():
    return tiny_clips(n_subjects=2, clips_per_subject=5)


@pytest.fixture(scope="module")
def model():
    config = MEDNConfig(
        classes=("happiness", "others"), aus=("AU1", "AU12", "AU14"), size=32, dim=16, heads=2,
        keep_rates=(0.5, 0.25), decoupling="none",
    )  # fmt: skip
    return MEDN(config, seed=0)


def hooks_of(model):
    return [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]


def seen_by_a_hook(model, clips, module):
    runs = []
    hook = module.register_forward_hook(lambda _, __, out: runs.append(out))
    with torch.inference_mode():
        model.eval()(*as_inputs(model.config, clips, rows=np.arange(len(clips)), device="cpu"))
    hook.remove()
    return runs


def test_a_layer_that_ends_a_branch_holds_the_branchs_feature(model, clips):
    found = layer_features(model, clips, layers=["emotion_branch.summary"], batch_size=4)
    features = extract_features(model, clips)
    np.testing.assert_allclose(found["emotion_branch.summary"], features.emotion, atol=1e-5)
    assert found["emotion_branch.summary"].index.tolist() == clips.table["clip_id"].tolist()


def test_a_grid_keeps_its_channels_and_tokens_their_last_axis(model, clips):
    found = layer_features(model, clips, layers=["motion_branch.stem", "emotion_branch.embed"], batch_size=3)
    grids = seen_by_a_hook(model, clips, model.motion_branch.stem)
    assert [grid.ndim for grid in grids] == [4]
    np.testing.assert_allclose(found["motion_branch.stem"], grids[0].mean(dim=(2, 3)), atol=1e-5)
    assert found["emotion_branch.embed"].shape == (len(clips), 16)


def test_a_layer_that_runs_once_a_scale_is_averaged_over_its_runs(model, clips):
    runs = [out.mean(dim=1) for out in seen_by_a_hook(model, clips, model.emotion_branch.norm)]
    found = layer_features(model, clips, layers=["emotion_branch.norm"])["emotion_branch.norm"]
    assert len(runs) == 2
    np.testing.assert_allclose(found, torch.stack(runs).mean(dim=0), atol=1e-5)


def test_no_hook_stays_behind_also_after_an_error(model, clips):
    model.train()
    layer_features(model, clips, layers=["motion_branch.stem"])
    assert model.training
    with pytest.raises(ValueError, match="gives a MotionOutput and not one tensor; name a module inside it"):
        layer_features(model, clips, layers=["motion_branch"])
    assert model.training
    assert not hooks_of(model)


def test_layers_that_are_not_there_or_do_not_run_are_named(model, clips):
    with pytest.raises(
        ValueError, match=r"no layer 'motion_branch.trunk'; there are motion_branch, motion_branch.stem"
    ):
        layer_features(model, clips, layers=["motion_branch.trunk"])
    with pytest.raises(ValueError, match=r"layer 'emotion_branch.blocks' does not run for these clips"):
        layer_features(model, clips, layers=["emotion_branch.blocks"])


def test_a_layer_finds_its_way_to_a_map_by_clip_id(model, clips):
    layers = layer_features(model, clips, layers=["motion_branch.stem"])
    features = extract_features(model, clips)
    shuffled = features.select(features.table["clip_id"][::-1])
    one, other = (umap(f, layers=layers, branches=(), method="pca") for f in (features, shuffled))
    np.testing.assert_allclose(one.layers["motion_branch.stem"], other.layers["motion_branch.stem"][::-1], atol=1e-4)
