"""The training loop: plain, seeded, resumable; it knows the records and the loss, and nothing of the network."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from tqdm.auto import tqdm

from medn_lab.model import DECOUPLING_WEIGHTS, MEDN, as_inputs, check_clips
from medn_lab.records import Clips, History
from medn_lab.train.batches import Targets, augment, read_targets, shuffled_rows
from medn_lab.train.callbacks import Run, measured, tell
from medn_lab.train.checkpoint import is_checkpoint, load_checkpoint, save_checkpoint
from medn_lab.train.losses import medn_loss
from medn_lab.train.processes import processes, share_buffers
from medn_lab.train.schedule import learning_rate, ramp
from medn_lab.train.standing import Standing
from medn_lab.train.telling import Telling


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.

    Parameters
    ----------
    epochs : int
    batch_size : int
        Clips a step, at least 2.
    learning_rate : float
        Peak of AdamW's rate, reached after a tenth of the steps and let down to 0 along a half cosine.
    weight_decay : float
    au_weight : float
        Weight of the AU task.
    decoupling_weight : float or None
        Weight of the decoupling term; None takes the method's own (:data:`medn_lab.model.DECOUPLING_WEIGHTS`).
    decoupling_ramp : tuple of two floats
        Shares of the training between which the weight rises from 0 to its full value. A price on the emotion code
        from the first step keeps the emotion branch from ever finding its cue.
    label_smoothing : float
    max_shift : int
        Augmentation: a batch is moved by up to this many pixels.
    mirror : bool
        Augmentation: half of the clips are mirrored.
    seed : int
        Of shuffling, augmentation, dropout and sampling (the model has its own for its weights).
    device : {"auto", "cpu", "cuda", "mps"}
    precision : str
        One of Fabric's; ``32-true`` by default, ``bf16-mixed`` for GPUs.
    threads : int or None
        CPU threads; one is fastest for small models. None leaves the setting alone.
    devices, num_nodes : int
        Devices (on a CPU: processes) of each machine, and machines. Above one, each step's clips are shared out to the
        processes and their gradients averaged; start them all with ``torchrun``, or let a script start its own.
    strategy : str
        Fabric's way of doing that; ``auto`` is ``ddp`` where there is more than one process.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> config = TrainConfig(epochs=10, seed=3)
    >>> config.epochs, config.learning_rate, config.device
    (10, 0.002, 'auto')
    """

    epochs: int = 25
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    au_weight: float = 1.0
    decoupling_weight: float | None = None
    decoupling_ramp: tuple[float, float] = (0.4, 0.8)
    label_smoothing: float = 0.05
    max_shift: int = 1
    mirror: bool = True
    seed: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: str = "32-true"
    threads: int | None = 1
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise ValueError(f"epochs must be at least 1 and batch_size 2; got {self.epochs} and {self.batch_size}")
        if min(self.devices, self.num_nodes) < 1:
            raise ValueError(f"devices and num_nodes must be at least 1; got {self.devices} and {self.num_nodes}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0; got {self.learning_rate}")
        if min(self.weight_decay, self.au_weight, self.decoupling_weight or 0.0, self.max_shift) < 0:
            raise ValueError("weight_decay, au_weight, decoupling_weight and max_shift must not be negative")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1); got {self.label_smoothing}")
        object.__setattr__(self, "decoupling_ramp", tuple(self.decoupling_ramp))
        if len(self.decoupling_ramp) != 2 or not 0 <= self.decoupling_ramp[0] <= self.decoupling_ramp[1] <= 1:
            raise ValueError(f"decoupling_ramp must be two shares in order, in [0, 1]; got {self.decoupling_ramp}")


def fit(
    model: MEDN,
    clips: Clips,
    *,
    config: TrainConfig | None = None,
    label: str = "label",
    validation: Clips | None = None,
    callbacks: Iterable[object] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> History:
    """Train a model in place.

    On one CPU the result depends on the seeds, the clips and the versions alone. A keyboard interrupt ends the training
    and leaves the model as it was after the last whole epoch, which is what the history tells of. After a stop or an
    interrupt a callback may go on with the same training (:meth:`Run.resume`); a checkpoint does so in a new process.

    With ``devices`` or ``num_nodes`` above one, every process calls ``fit`` with the same arguments and ends with the
    same model. Only the first draws a bar, writes the checkpoint and tells the callbacks. Batch statistics are those of
    a process's own share (on GPUs of all), and chance draws differ between processes, so that the result depends on
    the number of processes too.

    Parameters
    ----------
    model : MEDN
        Trained in place; left in evaluation mode.
    clips : Clips
        The training clips.
    config : TrainConfig, optional
    label : str
        Column of class names.
    validation : Clips, optional
        Held-out clips scored after each epoch, for looking at: nothing is chosen by them.
    callbacks : iterable
        Objects with ``on_fit_start``, ``measure``, ``on_epoch_end`` or ``on_fit_end``, each given a :class:`Run`. What
        ``measure`` returns, a mapping of names to numbers, becomes columns of the history.
    checkpoint : path-like, optional
        A folder. It is written after each epoch, and taken up if it is there already.
    progress : bool
        Show a progress bar.

    Returns
    -------
    History
        One row an epoch.

    Raises
    ------
    ValueError
        If the clips do not fit the model, hold NaN, are fewer than 2, lack a class, or a loss stops being a number.

    See Also
    --------
    medn_lab.evaluate.predict, medn_lab.view.plot_history

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> model = medn.model.MEDN(medn.model.MEDNConfig.for_clips(clips, dim=16, depth=1))
    >>> history = medn.fit(model, clips, config=TrainConfig(epochs=2), progress=False)
    >>> history.status, history.table["epoch"].tolist(), "loss" in history.table
    ('finished', [1, 2], True)
    """
    config = TrainConfig() if config is None else config
    check_clips(model.config, clips)
    if len(clips) < 2:
        raise ValueError(f"training needs at least 2 clips, there is {len(clips)}")
    targets = read_targets(model.config, clips.table, label=label, training=True)
    held_out = None
    if validation is not None:
        check_clips(model.config, validation)
        held_out = validation, read_targets(model.config, validation.table, label=label, training=False)

    fabric = processes(config)
    watchers = list(callbacks)
    telling = Telling(
        model, clips, config=config, label=label, validation=validation, callbacks=watchers, device=fabric.device
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    history = telling.history(pd.DataFrame(columns=["epoch"]))
    if checkpoint is not None and is_checkpoint(checkpoint):
        history = load_checkpoint(checkpoint, model=model, optimiser=optimiser, config=telling.said)
        telling.take_up(history)
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    wrapped, optimiser = fabric.setup(model, optimiser)
    if not fabric.is_global_zero:
        watchers, progress = [], False
    standing = Standing(model, optimiser=optimiser, history=history)

    def go_on(run: Run) -> History:
        standing.check()
        run.running, run.stopping, status = True, False, "finished"
        bar = tqdm(total=config.epochs, initial=run.epoch, desc="training", unit="epoch", disable=not progress)
        with bar, _threads(config.threads), torch.random.fork_rng(devices=[]):
            try:
                tell(watchers, "on_fit_start", run)
                while run.epoch < config.epochs:
                    if run.stopping:
                        status = "stopped"
                        break
                    row = _epoch(fabric, wrapped, optimiser, clips, targets, config, run.epoch)
                    share_buffers(fabric, model)
                    if held_out is not None:
                        row |= _validate(fabric, model, *held_out, config)
                    before = run.history.table.to_dict("records")
                    run.history = telling.history(pd.DataFrame([*before, row]), summed=checkpoint is not None)
                    standing.take(run.history)
                    more = measured(watchers, run)
                    if more:
                        rows = pd.DataFrame([*before, row | more])
                        run.history = telling.history(rows, summed=checkpoint is not None)
                        standing.take(run.history)
                    if checkpoint is not None and fabric.is_global_zero:
                        save_checkpoint(checkpoint, model=model, optimiser=optimiser, history=run.history)
                    bar.update()
                    bar.set_postfix({"loss": f"{row['loss']:.3f}", "accuracy": f"{row['accuracy']:.3f}"})
                    tell(watchers, "on_epoch_end", run)
                    run.stopping = fabric.broadcast(run.stopping)
            except KeyboardInterrupt:
                status = "interrupted"
                run.history = standing.give_back()
            finally:
                model.eval()
                run.running = False
            run.history = telling.history(run.history.table, status=status, summed=True)
            telling.name_model(run.history)
            tell(watchers, "on_fit_end", run)
        return run.history

    return go_on(Run(model, config=config, history=history, go_on=go_on))


def _epoch(
    fabric: Fabric,
    model: Any,
    optimiser: torch.optim.Optimizer,
    clips: Clips,
    targets: Targets,
    config: TrainConfig,
    epoch: int,
) -> dict[str, float]:
    # Seeding by epoch makes a resumed training the same as one that never stopped.
    rank, ranks = fabric.global_rank, fabric.world_size
    seed = config.seed * 100_003 + epoch
    generator = torch.Generator().manual_seed(seed)
    began = time.perf_counter()
    batches = list(shuffled_rows(len(clips), config.batch_size, least=2 * ranks, generator=generator))
    torch.manual_seed(seed + 1_000_000_007 * rank)
    if rank:  # the processes share their batches, and draw what else is drawn each for itself
        generator.manual_seed(seed + 1_000_000_007 * rank)
    steps = config.epochs * len(batches)
    weight = config.decoupling_weight
    if weight is None:
        weight = DECOUPLING_WEIGHTS[model.config.decoupling]
    sums: dict[str, float] = {}
    right = 0
    model.train()
    for place, everyones in enumerate(batches):
        rows = everyones.tensor_split(ranks)[rank]
        done = epoch * len(batches) + place
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(done, steps, config.learning_rate)
        inputs = as_inputs(model.config, clips, rows=rows.numpy(), device=fabric.device)
        if config.mirror or config.max_shift:
            inputs = augment(inputs, max_shift=config.max_shift, mirrored=config.mirror, generator=generator)
        batch = targets.take(rows).to(fabric.device)
        output = model(*inputs)
        terms = medn_loss(
            output,
            batch,
            config=model.config,
            au_weight=config.au_weight,
            decoupling_weight=weight * ramp(done / steps, config.decoupling_ramp),
            label_smoothing=config.label_smoothing,
        )
        values = {name: value.item() for name, value in terms.items()}
        _check_finite(values, epoch + 1)
        optimiser.zero_grad(set_to_none=True)
        share = len(rows) * ranks / len(everyones)  # gradients are averaged over processes, and are meant over clips
        fabric.backward(terms["loss"] if ranks == 1 else terms["loss"] * share)
        fabric.clip_gradients(model, optimiser, max_norm=1.0)
        optimiser.step()
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value * len(rows)
        right += (output.logits.argmax(dim=1) == batch.labels).sum().item()
    if ranks > 1:
        told = torch.tensor([right, *sums.values()], dtype=torch.float64, device=fabric.device)
        reduced: Any = fabric.all_reduce(told, reduce_op="sum")
        right, *totals = reduced.tolist()
        sums = dict(zip(sums, totals, strict=True))
    rate = optimiser.param_groups[0]["lr"]
    means = {name: value / len(clips) for name, value in sums.items()}
    seconds = time.perf_counter() - began
    return {"epoch": epoch + 1, "seconds": seconds, "learning_rate": rate} | means | {"accuracy": right / len(clips)}


@torch.inference_mode()
def _validate(fabric: Fabric, model: MEDN, clips: Clips, targets: Targets, config: TrainConfig) -> dict[str, float]:
    model.eval()
    right, loss = 0, 0.0
    for start in range(0, len(clips), 64):
        rows = np.arange(start, min(start + 64, len(clips)))
        batch = targets.take(torch.from_numpy(rows)).to(fabric.device)
        logits = model(*as_inputs(model.config, clips, rows=rows, device=fabric.device)).logits
        right += (logits.argmax(dim=1) == batch.labels).sum().item()
        loss += torch.nn.functional.cross_entropy(logits, batch.labels, reduction="sum").item()
    return {"validation_emotion": loss / len(clips), "validation_accuracy": right / len(clips)}


def _check_finite(terms: dict[str, float], epoch: int) -> None:
    broken = [name for name, value in terms.items() if not math.isfinite(value)]
    if broken:
        raise ValueError(
            f"{', '.join(broken)} is no longer a number in epoch {epoch}; lower learning_rate"
            " or decoupling_weight, and look at the clips for constant or extreme values"
        )


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
