"""Branches swapped between two clips: what each adds is told exactly, and one that is not read adds nothing."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_clips import tiny_clips

from medn_lab.diagnose import attribute_pair, pair_attributor, pair_swapper, swap_branches
from medn_lab.evaluate import predict
from medn_lab.model import MEDN, MEDNConfig

CLASSES = ("happiness", "others")
PAIR = ("tiny0_s00_c00", "tiny0_s00_c02")  # one AU, reddened and paled


@pytest.fixture(scope="module")
def clips():
    return tiny_clips()


def model_of(branches="both", **config):
    return MEDN(MEDNConfig(size=32, dim=32, classes=CLASSES, aus=("AU12", "AU14"), branches=branches, **config), seed=3)


@pytest.fixture(scope="module")
def model():
    return model_of()


def test_unmixed_rows_are_the_models_own_scores(model, clips):
    found = swap_branches(model, clips, clip_a=PAIR[0], clip_b=PAIR[1])
    assert found[["frames_of", "flow_of"]].agg("".join, axis=1).tolist() == ["aa", "ab", "ba", "bb"]
    own = predict(model, clips.select(PAIR))
    assert found.attrs["label_a"] == "happiness"
    assert found["margin"].iloc[[0, 3]].to_numpy() == pytest.approx(own.logits[:, 0] - own.logits[:, 1], abs=1e-5)
    assert found[["p_happiness", "p_others"]].iloc[[0, 3]].to_numpy() == pytest.approx(own.probabilities, abs=1e-5)
    assert found["predicted"].iloc[[0, 3]].tolist() == own.predicted.tolist()


def test_mixed_rows_are_the_clip_with_the_others_flow(model, clips):
    found = swap_branches(model, clips, clip_a=PAIR[0], clip_b=PAIR[1])
    mixed = dataclasses.replace(clips.select(PAIR), flow=clips.select(PAIR[::-1]).flow)
    said = predict(model, mixed).logits
    assert found["margin"].iloc[1:3].to_numpy() == pytest.approx(said[:, 0] - said[:, 1], abs=1e-5)


def test_what_the_branches_add_is_the_whole_difference(model, clips):
    for pair in (PAIR, ("tiny0_s01_c00", "tiny0_s02_c02")):
        found = swap_branches(model, clips, clip_a=pair[0], clip_b=pair[1])
        whole = found["margin"].iloc[0] - found["margin"].iloc[3]
        assert found.attrs["motion"] + found.attrs["emotion"] == pytest.approx(whole, abs=1e-6)
        back = swap_branches(model, clips, clip_a=pair[1], clip_b=pair[0])
        assert back.attrs["motion"] == pytest.approx(found.attrs["motion"], abs=1e-5)


def test_a_branch_that_the_head_does_not_read_adds_nothing(clips):
    model = model_of(fusion="sum")
    # The sum of a motion feature that is always zero and the emotion feature: only the frames are read.
    with torch.no_grad():
        for value in model.motion_branch.parameters():
            value.zero_()
    found = swap_branches(model, clips, clip_a=PAIR[0], clip_b=PAIR[1])
    assert found.attrs["motion"] == pytest.approx(0, abs=1e-6)
    assert abs(found.attrs["emotion"]) > 1e-4


def test_the_makers_answer_for_any_pair_as_the_functions_do(model, clips):
    swap, attribute = pair_swapper(model, clips), pair_attributor(model, clips, params={"n_steps": 4})
    assert swap(*PAIR).equals(swap_branches(model, clips, clip_a=PAIR[0], clip_b=PAIR[1]))
    own = attribute_pair(model, clips, clip_a=PAIR[0], clip_b=PAIR[1], params={"n_steps": 4})
    found = attribute(*PAIR)
    assert np.array_equal(found.frames, own.frames)
    assert found.target == "happiness - others"
    assert found.table["clip_id"].tolist() == list(PAIR)


def test_the_model_is_left_in_its_mode(model, clips):
    model.train()
    try:
        swap_branches(model, clips, clip_a=PAIR[0], clip_b=PAIR[1])
        assert model.training
    finally:
        model.eval()


def test_what_cannot_be_swapped_is_said_in_one_sentence(model, clips):
    def ask(model=model, clips=clips, pair=PAIR):
        return swap_branches(model, clips, clip_a=pair[0], clip_b=pair[1])

    unlabelled = clips.with_table(clips.table.assign(label=[None, *clips.table["label"].iloc[1:]]))
    for made, sentence in (
        ({"model": model_of("motion")}, "has the motion branch alone; there is no other"),
        ({"clips": dataclasses.replace(clips, flow=None)}, "these clips have no flow"),
        ({"clips": dataclasses.replace(clips, frames=None)}, "these clips have no frames"),
        ({"clips": clips.with_table(clips.table.drop(columns="label"))}, "no column 'label'"),
        ({"clips": unlabelled}, "1 of 2 clips have no label"),
        ({"pair": (PAIR[0], PAIR[0])}, "both are happiness"),
        ({"pair": (PAIR[0], "nobody")}, "'nobody'"),
        ({"clips": clips.with_table(clips.table.replace({"label": {"others": "awe"}}))}, "the model knows no awe"),
    ):
        with pytest.raises(ValueError, match=sentence):
            ask(**made)
    with pytest.raises(ValueError, match="has the emotion branch alone"):
        pair_swapper(model_of("emotion"), clips)
    with pytest.raises(ValueError, match="no column 'label'"):
        pair_attributor(model, clips.with_table(clips.table.drop(columns="label")))
