"""Training: it learns, repeats itself, resumes, stops, and keeps what an AU means."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_clips import tiny_clips

from medn_lab.data import flow_colours
from medn_lab.evaluate import accuracy, extract_features, predict, uf1
from medn_lab.model import DECOUPLING_METHODS, MEDN, Inputs, MEDNConfig, as_inputs, weights_sha256
from medn_lab.train import Callback, TrainConfig, au_loss, fit, medn_loss, read_targets
from medn_lab.train.epoch import mirror, shift, shuffled_rows
from medn_lab.view.training import curve_columns, curve_name

QUICK = TrainConfig(epochs=3, batch_size=8)


def small_model(clips, **changes):
    return MEDN(MEDNConfig.for_clips(clips, dim=32, depth=1, **changes))


def test_training_learns_a_label_that_needs_both_branches():
    clips = tiny_clips(n_subjects=8, clips_per_subject=8)
    model = small_model(clips)
    fit(model, clips, training=TrainConfig(epochs=30, batch_size=16, mirror=False), progress=False)
    held_out = tiny_clips(n_subjects=6, clips_per_subject=8, seed=1)
    predictions = predict(model, held_out)
    assert accuracy(held_out.table["label"], predictions.predicted) > 0.9
    # Half of what decides is in each input: with the other's contradicted, the answers must turn round.
    swapped = replace(held_out, flow=held_out.flow[np.arange(len(held_out)) ^ 1])
    assert accuracy(held_out.table["label"], predict(model, swapped).predicted) < 0.1


def test_the_same_seeds_give_the_same_weights():
    clips = tiny_clips()
    first, second, third = (small_model(clips) for _ in range(3))
    fit(first, clips, training=QUICK, progress=False)
    fit(second, clips, training=QUICK, progress=False)
    fit(third, clips, training=replace(QUICK, seed=1), progress=False)
    assert weights_sha256(first) == weights_sha256(second) != weights_sha256(third)


def test_training_leaves_the_global_generator_and_the_threads_alone():
    clips = tiny_clips()
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    fit(small_model(clips), clips, training=QUICK, progress=False)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_a_resumed_training_equals_one_that_never_stopped(tmp_path):
    clips = tiny_clips()
    config = replace(QUICK, epochs=4)

    class StopAfterTwo(Callback):
        def on_epoch_end(self, run):
            if run.epoch == 2:
                run.stop()

    straight, broken, resumed = (small_model(clips) for _ in range(3))
    whole = fit(straight, clips, training=config, progress=False)
    part = fit(broken, clips, training=config, callbacks=[StopAfterTwo()], checkpoint=tmp_path / "run", progress=False)
    assert (part.status, len(part)) == ("stopped", 2)
    rest = fit(resumed, clips, training=config, checkpoint=tmp_path / "run", progress=False)
    assert (rest.status, len(rest)) == ("finished", 4)
    assert weights_sha256(resumed) == weights_sha256(straight) != weights_sha256(broken)
    columns = [name for name in whole.table if name != "seconds"]
    pd.testing.assert_frame_equal(rest.table[columns], whole.table[columns])


def test_the_decoupling_weight_waits_and_then_rises(monkeypatch):
    clips = tiny_clips()
    weights = []

    def spy(*args, **options):
        weights.append(options["decoupling_weight"])
        return medn_loss(*args, **options)

    monkeypatch.setattr("medn_lab.train.epoch.medn_loss", spy)
    config = TrainConfig(epochs=10, batch_size=len(clips), decoupling_weight=2.0, decoupling_ramp=(0.2, 0.6))
    fit(small_model(clips), clips, training=config, progress=False)
    np.testing.assert_allclose(weights, [0, 0, 0, 0.5, 1, 1.5, 2, 2, 2, 2])
    weights.clear()
    fit(
        small_model(clips, decoupling="bottleneck"),
        clips,
        training=replace(config, decoupling_weight=None),
        progress=False,
    )
    assert weights[-1] == DECOUPLING_METHODS["bottleneck"].weight
    with pytest.raises(ValueError, match="two shares in order"):
        TrainConfig(decoupling_ramp=(0.6, 0.2))


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    clips = tiny_clips()
    fit(small_model(clips), clips, training=QUICK, checkpoint=tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="made with another training"):
        fit(small_model(clips), clips, training=replace(QUICK, seed=9), checkpoint=tmp_path / "run", progress=False)
    fewer = clips.select(clips.table["clip_id"][:-1])
    with pytest.raises(ValueError, match="made with another clips"):
        fit(small_model(clips), fewer, training=QUICK, checkpoint=tmp_path / "run", progress=False)


def test_an_interrupt_keeps_the_model_and_the_history():
    clips = tiny_clips()
    model = small_model(clips)

    class Interrupt:
        def on_epoch_end(self, run):
            raise KeyboardInterrupt

    history = fit(model, clips, training=QUICK, callbacks=[Interrupt()], progress=False)
    assert (history.status, len(history)) == ("interrupted", 1)
    assert not model.training
    assert np.isfinite(predict(model, clips).logits).all()


def test_callbacks_see_every_epoch():
    clips = tiny_clips()
    seen = []

    class Watch:
        def on_fit_start(self, run):
            seen.append("start")

        def on_epoch_end(self, run):
            seen.append(run.history.table["epoch"].iloc[-1])

        def on_fit_end(self, run):
            seen.append(run.history.status)

    fit(small_model(clips), clips, training=QUICK, callbacks=[Watch()], progress=False)
    assert seen == ["start", 1, 2, 3, "finished"]


def test_the_history_holds_every_loss_term_and_the_validation():
    clips = tiny_clips()
    history = fit(small_model(clips), clips, training=QUICK, validation=tiny_clips(seed=1), progress=False)
    wanted = {"epoch", "seconds", "learning_rate", "loss", "emotion", "au", "decoupling", "accuracy"}
    scored = {f"validation_{name}" for name in ("loss", "emotion", "au", "decoupling", "accuracy", "uf1")}
    assert wanted | scored == set(history.table)
    assert history.table["epoch"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("decoupling", list(DECOUPLING_METHODS))
def test_every_column_of_a_history_has_a_name_and_validation_is_the_model_on_those_clips(decoupling):
    clips, others = tiny_clips(), tiny_clips(seed=1)
    model = MEDN(MEDNConfig.for_clips(clips, dim=16, decoupling=decoupling), seed=0)
    last = fit(model, clips, training=QUICK, validation=others, progress=False).table.iloc[-1]
    said = predict(model, others)
    assert last["validation_accuracy"] == accuracy(others.table["label"], said.predicted)
    assert last["validation_uf1"] == pytest.approx(uf1(others.table["label"], said.predicted))
    if decoupling == "none":
        assert last["validation_loss"] == pytest.approx(last["validation_emotion"] + last["validation_au"])
    own = {name.removeprefix("validation_") for name in last.index if name.startswith("validation_")}
    assert own == (set(last.index) & own) | {"uf1"}
    losses, scores = curve_columns(last.to_frame().T.astype(float))
    assert {"validation_loss", "loss"} <= set(losses)
    assert "validation_uf1" in scores
    assert curve_name("validation_uf1") == "UF1, validation clips"
    for n in (2, 65):
        some = tiny_clips(n_subjects=13, clips_per_subject=5, seed=1)
        some = some.select(some.table["clip_id"][:n])
        history = fit(model, clips, training=replace(QUICK, epochs=1), validation=some, progress=False)
        assert np.isfinite(history.table.filter(like="validation_")).all(axis=None)


def test_the_loss_is_the_weighted_sum_of_its_terms():
    clips = tiny_clips()
    model = small_model(clips)
    targets = read_targets(model.config, clips.table, label="label", training=True)
    output = model(*as_inputs(model.config, clips, rows=np.arange(len(clips))))
    terms = medn_loss(output, targets, config=model.config, au_weight=0.5, decoupling_weight=3.0)
    total = terms["emotion"] + 0.5 * terms["au"] + 3.0 * terms["decoupling"]
    torch.testing.assert_close(terms["loss"], total)


def test_unknown_aus_have_no_loss_and_no_gradient():
    logits = torch.zeros(2, 2, requires_grad=True)
    truth = torch.tensor([[1.0, float("nan")], [float("nan"), float("nan")]])
    au_loss(logits, truth, positive_weight=torch.ones(2)).backward()
    assert logits.grad[0, 0] != 0
    assert torch.equal(logits.grad != 0, torch.tensor([[True, False], [False, False]]))
    assert au_loss(logits, torch.full((2, 2), float("nan")), positive_weight=torch.ones(2)).item() == 0


def test_rare_classes_and_aus_weigh_more():
    table = pd.DataFrame({"label": ["a"] * 9 + ["b"], "AU1": [1.0] + [0.0] * 9, "AU2": [float("nan")] * 10})
    config = MEDNConfig(classes=("a", "b"), aus=("AU1", "AU2"))
    targets = read_targets(config, table, label="label", training=True)
    torch.testing.assert_close(targets.class_weight, torch.tensor([10 / 18, 5.0]))
    torch.testing.assert_close(targets.au_weight, torch.tensor([9.0, 1.0]))


def test_a_class_without_training_clips_is_named():
    clips = tiny_clips()
    model = MEDN(MEDNConfig.for_clips(clips, dim=32, depth=1, classes=("happiness", "others", "fear")))
    with pytest.raises(ValueError, match="no training clip of fear among 24"):
        fit(model, clips, training=QUICK, progress=False)


def test_a_label_the_model_does_not_know_is_named():
    clips = tiny_clips()
    model = MEDN(MEDNConfig.for_clips(clips, dim=32, depth=1, classes=("happiness", "surprise")))
    with pytest.raises(ValueError, match="12 of 24 clips are labelled others, which the model does not know"):
        fit(model, clips, training=QUICK, progress=False)


def test_a_loss_that_explodes_is_named():
    clips = tiny_clips()
    huge = replace(clips, flow=clips.flow * 1e38)
    with pytest.raises(ValueError, match="no longer a number in epoch 1; lower learning_rate"):
        fit(small_model(clips), huge, training=QUICK, progress=False)


def test_a_mirrored_flow_points_the_other_way_at_the_mirrored_place():
    flow = torch.zeros(2, 3, 4, 6)
    flow[:, 0, 1, 0], flow[:, 1, 1, 0], flow[:, 2, 1, 0] = 1.0, 2.0, 3.0  # x, y, strain at the left edge
    frames = torch.rand(2, 5, 3, 4, 6)
    mirrored, chosen = Inputs(frames.clone(), flow.clone()), torch.tensor([True, False])
    mirror(mirrored, chosen, colours=False)
    assert mirrored.flow[0, :, 1, 5].tolist() == [-1.0, 2.0, 3.0]
    assert torch.equal(mirrored.flow[1], flow[1])
    assert torch.equal(mirrored.frames[0, 2], frames[0, 2].flip(-1))
    mirror(mirrored, chosen, colours=False)
    assert torch.equal(mirrored.flow, flow)


def test_a_mirrored_colour_says_the_mirrored_direction():
    field = np.random.default_rng(0).normal(size=(6, 6, 2)).astype(np.float32)
    other = field[:, ::-1] * np.float32([-1, 1])
    flow, there = (torch.from_numpy(flow_colours(one)).permute(2, 0, 1)[None] for one in (field, other))
    mirror(Inputs(None, flow), torch.tensor([True]), colours=True)
    torch.testing.assert_close(flow, there, atol=1e-5, rtol=0)


def test_training_mirrors_colours_by_their_hue(monkeypatch):
    said = []
    monkeypatch.setattr("medn_lab.train.epoch.augment", lambda inputs, **how: said.append(how["colours"]) or inputs)
    for coding in ("uv_strain", "hsv"):
        clips = replace(tiny_clips(), recipe={"coding": coding})
        fit(small_model(clips), clips, training=replace(QUICK, epochs=1), progress=False)
    assert said[0] is False
    assert said[-1] is True


def test_a_shift_moves_everything_alike():
    frames, flow = torch.rand(1, 2, 3, 5, 5), torch.rand(1, 2, 5, 5)
    for whole in (frames, flow):
        assert torch.equal(shift(whole, dx=2, dy=-1)[..., :4, 2:], whole[..., 1:, :3])


@pytest.mark.parametrize(("n", "batch_size"), [(9, 4), (8, 4), (3, 2), (2, 5)])
def test_batches_cover_every_clip_once_and_none_is_alone(n, batch_size):
    batches = list(shuffled_rows(n, batch_size, generator=torch.Generator().manual_seed(0)))
    assert sorted(torch.cat(batches).tolist()) == list(range(n))
    assert min(map(len, batches)) > 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 0}, "epochs must be"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"label_smoothing": 1.0}, "in \\[0, 1\\)"),
    ],
)
def test_a_training_configuration_out_of_range_is_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        TrainConfig(**changes)


def test_predictions_follow_clip_id_not_row_order():
    clips = tiny_clips()
    model = small_model(clips).eval()
    backwards = clips.select(clips.table["clip_id"][::-1])
    one, other = predict(model, clips), predict(model, backwards).select(clips.table["clip_id"])
    np.testing.assert_allclose(one.logits, other.logits, atol=1e-5)
    features = extract_features(model, clips)
    np.testing.assert_allclose(
        features.select(["tiny0_s01_c02"]).motion[0],
        features.motion[list(clips.table["clip_id"]).index("tiny0_s01_c02")],
    )


def test_prediction_leaves_the_model_in_its_mode_and_does_not_depend_on_the_batch():
    clips = tiny_clips()
    model = small_model(clips).train()
    one = predict(model, clips, batch_size=5)
    assert model.training
    np.testing.assert_allclose(one.logits, predict(model, clips, batch_size=24).logits, atol=1e-5)


def test_clips_without_frames_are_read_by_the_motion_branch_with_a_warning():
    clips = tiny_clips()
    model = small_model(clips)
    with pytest.warns(UserWarning, match="the clips have no frames: the motion branch decides alone"):
        predictions = predict(model, replace(clips, frames=None))
    assert predictions.au_logits.shape == (24, 3)


def test_the_source_names_model_weights_and_recipe():
    clips = tiny_clips()
    model = small_model(clips)
    source = predict(model, clips).source
    assert source["sha256"] == weights_sha256(model)
    assert source["recipe"] == {"corpus": "tiny", "seed": 0}


def test_an_interrupt_in_the_middle_of_a_step_leaves_the_last_whole_epoch(monkeypatch):
    clips = tiny_clips()
    whole, broken = small_model(clips), small_model(clips)
    fit(whole, clips, training=replace(QUICK, epochs=3), callbacks=[StopAfter(2)], progress=False)
    own, steps = torch.optim.AdamW.step, []

    def interrupted(self, *args, **options):
        result = own(self, *args, **options)
        steps.append(1)
        if len(steps) == 8:  # of three a epoch: the second of the third
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
    history = fit(broken, clips, training=QUICK, progress=False)
    assert (history.status, len(history)) == ("interrupted", 2)
    assert weights_sha256(broken) == weights_sha256(whole)
    assert not broken.training
    assert np.isfinite(predict(broken, clips).logits).all()


class StopAfter(Callback):
    """Stops after an epoch, and keeps the run."""

    def __init__(self, epoch):
        self.epoch, self.starts, self.run = epoch, 0, None

    def on_fit_start(self, run):
        self.run = run
        self.starts += 1

    def on_epoch_end(self, run):
        if run.epoch == self.epoch:
            run.stop()


class InterruptAt(Callback):
    """A keyboard interrupt while an epoch is measured, once."""

    def __init__(self, epoch):
        self.epoch, self.run = epoch, None

    def on_fit_start(self, run):
        self.run = run

    def measure(self, run):
        if run.epoch == self.epoch:
            self.epoch = None
            raise KeyboardInterrupt
        return {"seen": run.epoch}


@pytest.mark.parametrize("watcher", [StopAfter(1), InterruptAt(1)], ids=["stopped", "interrupted"])
def test_a_run_that_is_resumed_equals_one_that_never_stopped(watcher, request):
    clips = tiny_clips()
    straight, resumed = small_model(clips), small_model(clips)
    whole = fit(straight, clips, training=QUICK, progress=False)
    part = fit(resumed, clips, training=QUICK, callbacks=[watcher], progress=False)
    assert (part.status, len(part)) == (request.node.callspec.id, 1)
    history = watcher.run.resume()
    assert (history.status, len(history)) == ("finished", 3)
    assert weights_sha256(resumed) == weights_sha256(straight)
    columns = [name for name in whole.table if name != "seconds"]
    pd.testing.assert_frame_equal(history.table[columns], whole.table[columns])
    with pytest.raises(ValueError, match="all 3 epochs are done"):
        watcher.run.resume()


def test_a_training_whose_model_was_changed_meanwhile_or_that_runs_is_not_resumed():
    clips = tiny_clips()
    model, watcher = small_model(clips), StopAfter(1)
    fit(model, clips, training=QUICK, callbacks=[watcher], progress=False)
    predict(model, clips)  # reading changes nothing
    with torch.no_grad():
        next(model.parameters()).add_(1)
    with pytest.raises(ValueError, match=r"1 of \d+ weights have changed since this training stopped"):
        watcher.run.resume()

    class Eager(Callback):
        def on_epoch_end(self, run):
            run.resume()

    with pytest.raises(ValueError, match="under way"):
        fit(small_model(clips), clips, training=QUICK, callbacks=[Eager()], progress=False)


def test_what_a_callback_measures_stands_in_the_history_and_in_the_checkpoint(tmp_path):
    class Watch(Callback):
        def measure(self, run):
            return {"leak": run.epoch / 10} if run.epoch != 2 else {}

    clips = tiny_clips()
    history = fit(
        small_model(clips), clips, training=QUICK, callbacks=[Watch()], checkpoint=tmp_path / "run", progress=False
    )
    np.testing.assert_allclose(history.table["leak"], [0.1, np.nan, 0.3])
    again = fit(small_model(clips), clips, training=QUICK, checkpoint=tmp_path / "run", progress=False)
    np.testing.assert_allclose(again.table["leak"], [0.1, np.nan, 0.3])

    class Clash(Callback):
        def measure(self, run):
            return {"loss": 0.0}

    with pytest.raises(ValueError, match="measures 'loss', which the history"):
        fit(small_model(clips), clips, training=QUICK, callbacks=[Clash()], progress=False)
