"""The training loop: plain, seeded, resumable; it knows the records and the loss, and nothing of the network."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from tqdm.auto import tqdm

from medn_lab.model import MEDN, check_clips
from medn_lab.model.threads import torch_threads
from medn_lab.records import Clips, History, remove_leftovers
from medn_lab.train.batches import read_targets, warn_if_constant
from medn_lab.train.callbacks import Run, measured, tell
from medn_lab.train.checkpoint import is_checkpoint, load_checkpoint, save_checkpoint
from medn_lab.train.config import TrainConfig
from medn_lab.train.epoch import train_epoch, validate
from medn_lab.train.processes import processes, share_buffers
from medn_lab.train.standing import Standing
from medn_lab.train.telling import Telling


def fit(
    model: MEDN,
    clips: Clips,
    *,
    training: TrainConfig | None = None,
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
    training : TrainConfig, optional
    label : str
        Column of class names.
    validation : Clips, optional
        Held-out clips scored after each epoch by the same loss terms, accuracy and UF1, for looking at: nothing is
        chosen by them.
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

    Warns
    -----
    UserWarning
        If an input or the AUs are the same in all clips: frames that do not move, flow that is 0.

    See Also
    --------
    medn_lab.evaluate.predict, medn_lab.view.plot_history

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> model = medn.model.MEDN(medn.model.MEDNConfig.for_clips(clips, dim=16, depth=1))
    >>> history = medn.fit(model, clips, training=TrainConfig(epochs=2), progress=False)
    >>> history.status, history.table["epoch"].tolist(), "loss" in history.table
    ('finished', [1, 2], True)
    """
    training = TrainConfig() if training is None else training
    check_clips(model.config, clips)
    if len(clips) < 2:
        raise ValueError(f"training needs at least 2 clips, there is {len(clips)}")
    targets = read_targets(model.config, clips.table, label=label, training=True)
    warn_if_constant(model.config, clips, targets, stacklevel=2)
    held_out = None
    if validation is not None:
        check_clips(model.config, validation)
        scored = read_targets(model.config, validation.table, label=label, training=False)
        held_out = validation, replace(scored, class_weight=targets.class_weight, au_weight=targets.au_weight)

    fabric = processes(training)
    watchers = list(callbacks)
    telling = Telling(
        model, clips, config=training, label=label, validation=validation, callbacks=watchers, device=fabric.device
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    history = telling.history(pd.DataFrame(columns=["epoch"]))
    if checkpoint is not None and is_checkpoint(checkpoint):
        remove_leftovers(Path(checkpoint))
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
        bar = tqdm(total=training.epochs, initial=run.epoch, desc="training", unit="epoch", disable=not progress)
        with bar, torch_threads(training.threads), torch.random.fork_rng(devices=[]):
            try:
                tell(watchers, "on_fit_start", run)
                while run.epoch < training.epochs:
                    if run.stopping:
                        status = "stopped"
                        break
                    row = train_epoch(fabric, wrapped, optimiser, clips, targets, training, run.epoch)
                    share_buffers(fabric, model)
                    if held_out is not None:
                        row |= validate(fabric, model, *held_out, training, run.epoch)
                    before = run.history.table.to_dict("records")
                    run.history = telling.history(pd.DataFrame([*before, row]), summed=checkpoint is not None)
                    standing.take(run.history)
                    more = measured(watchers, run)
                    if more:
                        run.history = replace(run.history, table=pd.DataFrame([*before, row | more]))
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

    return go_on(Run(model, config=training, history=history, go_on=go_on))
