"""Training: it learns, repeats itself, resumes, stops, and keeps what an AU means."""

import typing
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from cases import assert_refuses, mostly_slow
from tiny_clips import Watch, tiny_clips

from medn_lab.data import flow_colours
from medn_lab.evaluate import accuracy, predict, uf1
from medn_lab.model import DECOUPLING_METHODS, MEDN, Inputs, MEDNConfig, load_pretrained, weights_sha256
from medn_lab.train import TrainConfig, epoch, fit, medn_loss, read_targets

QUICK = TrainConfig(epochs=3, batch_size=4)
ONCE = replace(QUICK, epochs=1)


@pytest.fixture(scope="module")
def clips():
    return tiny_clips(n_subjects=2)


@pytest.fixture(scope="module")
def whole(clips):
    """Model and history of a training that never stopped."""
    return trained(clips)


def small_model(clips, **changes):
    return MEDN(MEDNConfig.for_clips(clips, **{"dim": 16, "depth": 1} | changes))


def trained(clips, training=QUICK, model=None, **how):
    model = small_model(clips) if model is None else model
    return model, fit(model, clips, training=training, progress=False, **how)


def assert_same_training(one, other):
    """Both are (model, history)."""
    assert weights_sha256(one[0]) == weights_sha256(other[0])
    tables = [history.table.drop(columns=["seconds", "seen"], errors="ignore") for _, history in (one, other)]
    pd.testing.assert_frame_equal(*tables)


def test_training_learns_a_label_that_needs_both_branches():
    clips = tiny_clips(n_subjects=4, clips_per_subject=8)
    training = TrainConfig(epochs=8, batch_size=8, learning_rate=3e-3, mirror=False, max_shift=0)
    model, _ = trained(clips, training, small_model(clips, dim=32))
    held_out = tiny_clips(n_subjects=4, clips_per_subject=8, seed=1)
    assert accuracy(held_out.table["label"], predict(model, held_out).predicted) > 0.9
    # Half of what decides is in each input: with the other's contradicted, the predictions must change.
    swapped = replace(held_out, flow=held_out.flow[np.arange(len(held_out)) ^ 1])
    assert accuracy(held_out.table["label"], predict(model, swapped).predicted) < 0.1


def test_the_seeds_decide_and_the_global_generator_and_the_threads_are_left_alone(clips, whole):
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    assert_same_training(trained(clips), whole)
    assert (torch.equal(before, torch.random.get_rng_state()), torch.get_num_threads()) == (True, threads)
    assert weights_sha256(trained(clips, replace(QUICK, seed=1))[0]) != weights_sha256(whole[0])


def test_a_checkpoint_is_taken_up_as_if_nothing_had_stopped_and_is_of_one_training_alone(clips, whole, tmp_path):
    watch = Watch(stop=2, figures=lambda epoch: {"seen": epoch / 10})
    _, part = trained(clips, callbacks=[watch], checkpoint=tmp_path / "run")
    assert (part.status, len(part), watch.events) == ("stopped", 2, ["start", 1, 2, "stopped"])
    fewer = clips.select(clips.table["clip_id"][:-1])
    for other, training, fault in ((clips, replace(QUICK, seed=9), "training"), (fewer, QUICK, "clips")):
        assert_refuses(trained, other, training, checkpoint=tmp_path / "run", match=f"another {fault}")
    resumed = trained(clips, checkpoint=tmp_path / "run")
    assert resumed[1].status == "finished"
    np.testing.assert_allclose(resumed[1].table["seen"], [0.1, 0.2, np.nan])
    assert_same_training(resumed, whole)


@pytest.mark.parametrize("how", [{"stop": 1}, {"interrupt": 1}], ids=["stopped", "interrupted"])
def test_a_run_that_is_resumed_equals_one_that_never_stopped(clips, whole, how, request):
    watch = Watch(**how, figures=lambda epoch: {"seen": epoch})
    model, part = trained(clips, callbacks=[watch])
    assert (part.status, len(part)) == (request.node.callspec.id, 1)
    predict(model, clips)  # reading changes nothing
    before = next(model.parameters()).detach().clone()
    next(model.parameters()).data.add_(1)
    assert_refuses(watch.run.resume, match=r"1 of \d+ weights have changed")
    next(model.parameters()).data.copy_(before)
    assert_same_training((model, watch.run.resume()), whole)
    assert_refuses(watch.run.resume, match="3 of 3 epochs")


def test_an_interrupt_in_the_middle_of_a_step_leaves_the_last_whole_epoch(clips, monkeypatch):
    two = trained(clips, callbacks=[Watch(stop=2)])
    own, steps = torch.optim.AdamW.step, iter(range(9))

    def interrupted(self, *args, **options):
        own(self, *args, **options)
        if next(steps) == 7:  # of three an epoch: the second of the third
            raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
    model, history = trained(clips)
    assert (history.status, len(history), model.training) == ("interrupted", 2, False)
    assert_same_training((model, history), two)


def test_spoiled_checkpoints_and_weights_are_named_and_a_checkpoint_takes_the_place_of_nothing_else(clips, tmp_path):
    model, _ = trained(clips, checkpoint=tmp_path / "kept")
    model.save_pretrained(tmp_path / "m")
    state = tmp_path / "kept" / "state.safetensors"
    for file in (state, tmp_path / "m" / "model.safetensors"):
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    for load in (load_pretrained, MEDN.from_pretrained):
        assert_refuses(load, tmp_path / "m", match="is not the file that was written")
    for _ in range(2):  # one bit differs, then most is missing and no sum says so
        assert_refuses(trained, clips, checkpoint=tmp_path / "kept", match=r"state\.safetensors")
        state.with_suffix(".sha256").unlink(missing_ok=True)
        state.write_bytes(state.read_bytes()[:100])
    (tmp_path / "thesis").mkdir()
    for place, mine in (("weights.pt", "weights.pt"), ("thesis", "thesis/chapter.txt")):
        (tmp_path / mine).write_text("mine")
        assert_refuses(trained, clips, checkpoint=tmp_path / place, match="nothing was written", error=FileExistsError)
        assert (tmp_path / mine).read_text() == "mine"


@pytest.mark.parametrize("decoupling", mostly_slow(DECOUPLING_METHODS, quick=2))
def test_every_column_has_a_name_and_validation_is_the_model_on_those_clips(clips, decoupling):
    others = tiny_clips(n_subjects=13, clips_per_subject=5, seed=1)  # 65 clips: a batch of one is left
    model = small_model(clips, decoupling=decoupling)
    last = trained(clips, ONCE, model, validation=others)[1].table.iloc[-1]
    terms = {"loss", "emotion", "au", "accuracy"} | ({"decoupling"} if decoupling != "none" else set())
    scored = {f"validation_{name}" for name in terms | {"uf1"}}
    assert set(last.index) == {"epoch", "seconds", "learning_rate"} | terms | scored
    true, found = others.table["label"], predict(model, others).predicted
    assert last["validation_accuracy"] == pytest.approx(accuracy(true, found))
    assert last["validation_uf1"] == pytest.approx(uf1(true, found))
    if decoupling == "none":
        assert last["validation_loss"] == pytest.approx(last["validation_emotion"] + last["validation_au"])


def test_the_loss_is_the_weighted_sum_of_its_terms_and_unknown_aus_have_no_part_in_it():
    config = MEDNConfig(classes=("a", "b"), aus=("AU1", "AU2"), size=32, dim=16)
    table = pd.DataFrame({"label": ["a"] * 9 + ["b"], "AU1": [1.0] + [0.0] * 9, "AU2": [float("nan")] * 10})
    targets = read_targets(config, table, label="label", training=True)
    torch.testing.assert_close(targets[2:], (torch.tensor([10 / 18, 5.0]), torch.tensor([9.0, 1.0])))  # the rare more
    logits = torch.zeros(10, 2, requires_grad=True)
    output = MEDN(config)(torch.rand(10, 8, 3, 32, 32), torch.rand(10, 2, 32, 32))._replace(au_logits=logits)
    weights = {"config": config, "training": TrainConfig(au_weight=0.5, decoupling_weight=3.0)}
    terms = medn_loss(output, targets, **weights)
    torch.testing.assert_close(terms["loss"], terms["emotion"] + 0.5 * terms["au"] + 3.0 * terms["decoupling"])
    assert terms["au"].item() == pytest.approx(np.log(2) * (9 + 9) / 10)
    terms["au"].backward()
    assert torch.equal(logits.grad != 0, torch.tensor([[True, False]]).expand(10, 2))
    unknown = targets[0], torch.full((10, 2), float("nan")), *targets[2:]
    assert medn_loss(output, unknown, **weights)["au"].item() == 0


def test_a_decoupling_loss_is_added_by_one_function_and_one_entry(clips, tmp_path, monkeypatch):
    def product_loss(motion, emotion):
        return (motion * emotion).mean(dim=1).square().mean()

    with monkeypatch.context() as planted:
        planted.setitem(DECOUPLING_METHODS, "product", (product_loss, 5.0, ("motion", "emotion")))
        model = small_model(clips, decoupling="product")
        _, history = trained(clips, replace(ONCE, decoupling_ramp=(0, 0)), model)
        model.save_pretrained(tmp_path / "mine")
        assert weights_sha256(load_pretrained(tmp_path / "mine")) == weights_sha256(model)
    row = history.table.iloc[-1]
    assert row["decoupling"] > 0
    assert row["loss"] == pytest.approx(row["emotion"] + row["au"] + 5.0 * row["decoupling"])
    assert_refuses(small_model, clips, decoupling="product", match=r"decoupling must be one of .*'product'")
    assert set(typing.get_args(typing.get_type_hints(MEDNConfig)["decoupling"])) == set(DECOUPLING_METHODS)
    equal = torch.ones(4, 3, requires_grad=True)  # clips without a difference
    for loss, _, parts in DECOUPLING_METHODS.values():
        assert loss is None or torch.autograd.grad(loss(*[equal] * len(parts)), equal)[0].isfinite().all(), loss


def test_the_decoupling_weight_waits_and_then_rises_while_the_rate_falls(clips):
    config = TrainConfig(epochs=5, batch_size=len(clips), decoupling_weight=2.0, decoupling_ramp=(0.2, 0.6))
    table = trained(clips, config)[1].table
    weights = (table["loss"] - table["emotion"] - table["au"]) / table["decoupling"]
    np.testing.assert_allclose(weights, [0, 0, 1, 2, 2], atol=1e-4)
    # Linear for a tenth of the steps, then a half cosine.
    np.testing.assert_allclose(table["learning_rate"], 2e-3 * np.r_[1, 0.5 * (1 + np.cos(np.pi * np.arange(4) / 4))])


def test_what_cannot_be_trained_is_named(clips):
    strange, more = (small_model(clips, classes=("happiness", *rest)) for rest in (("surprise",), ("others", "fear")))
    enormous = replace(clips, flow=clips.flow * 1e38)
    assert_refuses(trained, clips, model=more, match="no training clip of fear among 12")
    assert_refuses(trained, clips, model=strange, match="6 of 12 clips are labelled others.*happiness, surprise")
    assert_refuses(trained, enormous, match="no longer a number in epoch 1.*learning_rate")
    for name, value in {"epochs": 0, "learning_rate": 0.0, "max_shift": -1, "decoupling_ramp": (0.6, 0.2)}.items():
        assert_refuses(TrainConfig, **{name: value}, match=name)


def test_a_mirrored_flow_points_the_other_way_at_the_mirrored_place_and_so_does_its_colour(clips, monkeypatch):
    flow, frames = torch.zeros(2, 3, 4, 6), torch.rand(2, 5, 3, 4, 6)
    flow[:, :, 1, 0] = torch.tensor([1.0, 2.0, 3.0])  # x, y, strain at the left edge
    mirrored, chosen = Inputs(frames.clone(), flow.clone()), torch.tensor([True, False])
    epoch.mirror(mirrored, chosen, colours=False)
    assert mirrored.flow[0, :, 1, 5].tolist() == [-1.0, 2.0, 3.0]
    assert torch.equal(mirrored.flow[1], flow[1])
    assert torch.equal(mirrored.frames[0, 2], frames[0, 2].flip(-1))
    field = np.random.default_rng(0).normal(size=(6, 6, 2)).astype(np.float32)
    other = field[:, ::-1] * np.float32([-1, 1])
    flow, there = (torch.from_numpy(flow_colours(one)).permute(2, 0, 1)[None] for one in (field, other))
    epoch.mirror(Inputs(None, flow), torch.tensor([True]), colours=True)
    torch.testing.assert_close(flow, there, atol=1e-5, rtol=0)
    found = []
    monkeypatch.setattr(epoch, "mirror", lambda *_, colours: found.append(colours))
    for coding in ("uv_strain", "hsv"):
        trained(replace(clips, recipe={"coding": coding}), replace(ONCE, batch_size=12))
    assert found == [False, True]


def test_a_shift_moves_the_picture_and_repeats_its_edge():
    picture = torch.rand(1, 2, 3, 5, 5)
    moved = epoch.shift(picture, dx=2, dy=-1)
    assert torch.equal(moved[..., :4, 2:], picture[..., 1:, :3])
    assert torch.equal(moved[..., :4, 0], picture[..., 1:, 0])
    assert torch.equal(moved[..., 4, 2:], picture[..., 4, :3])


def test_every_clip_trains_once_an_epoch_and_no_batch_is_too_small_for_batch_norm(clips, monkeypatch):
    read, seen = epoch.as_inputs, []
    monkeypatch.setattr(epoch, "as_inputs", lambda *args, **how: seen.append(how["rows"]) or read(*args, **how))
    for batch_size, sizes in ((4, [4, 4, 4]), (5, [5, 5, 2]), (11, [12])):
        seen.clear()
        trained(clips, replace(ONCE, batch_size=batch_size))
        assert (list(map(len, seen)), sorted(np.concatenate(seen))) == (sizes, list(range(12)))


def test_a_prediction_follows_clip_id_and_not_the_row_and_does_not_depend_on_the_batch(clips):
    model, ids = small_model(clips).train(), clips.table["clip_id"]
    one = predict(model, clips, batch_size=5)
    assert model.training
    for other in (predict(model, clips.select(ids[::-1])).select(ids), predict(model, clips, batch_size=24)):
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-5)
