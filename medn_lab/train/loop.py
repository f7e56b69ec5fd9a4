"""The training loop, seeded and resumable, over one or several processes, and what a callback sees of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file
from torch import nn
from tqdm.auto import tqdm

from medn_lab import __version__
from medn_lab.model import MEDN, check_clips, device_name, weights_sha256
from medn_lab.model.inputs import torch_threads
from medn_lab.model.medn import read_weights, write_sum
from medn_lab.records import Clips, History, atomic_write, ids_sha256, remove_leftovers, run_record
from medn_lab.records.storage import is_made
from medn_lab.train.epoch import TrainConfig, read_targets, train_epoch, validate, warn_if_constant

STATE = "state.safetensors"


class Run:
    """The training as a callback sees it.

    Parameters
    ----------
    go_on : callable, optional
        What trains on from where the run stands; `fit` gives it.

    Attributes
    ----------
    model : MEDN
        The model in training.
    training : TrainConfig
    history : History
        The epochs so far.
    epoch : int
        Epochs finished.
    stopping : bool
        Whether :meth:`stop` was called.
    running : bool
        Whether the training is under way.

    Examples
    --------
    >>> import torch
    >>> import pandas as pd
    >>> from medn_lab.train import TrainConfig
    >>> nothing_yet = History(pd.DataFrame(columns=["epoch", "seconds", "loss"]))
    >>> run = Run(torch.nn.Linear(2, 2), training=TrainConfig(epochs=3), history=nothing_yet)
    >>> run.stop()
    >>> run.stopping
    True
    """

    def __init__(
        self, model: MEDN, *, training: TrainConfig, history: History, go_on: Callable[[Run], History] | None = None
    ) -> None:
        self.model, self.training, self.history = model, training, history
        self.stopping = self.running = False
        self._go_on = go_on

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return len(self.history)

    def stop(self) -> None:
        """Request the training to end after this epoch."""
        self.stopping = True

    def resume(self) -> History:
        """Go on with the same training after a stop or an interrupt, with the same clips, callbacks and checkpoint.

        The result is that of a training that never stopped.

        Returns
        -------
        History
            Of all epochs, those before the stop included.

        Raises
        ------
        ValueError
            If the training is under way or finished, or the model's weights have changed since it stopped.
        """
        if self.running:
            raise ValueError("the training is under way: stop it before resuming it")
        if self.epoch >= self.training.epochs or self._go_on is None:
            raise ValueError(f"nothing is left to train: {self.epoch} of {self.training.epochs} epochs are done")
        return self._go_on(self)


def fit(
    model: MEDN, clips: Clips, *, training: TrainConfig | None = None, label: str = "label",
    validation: Clips | None = None, callbacks: Iterable[object] = (),
    checkpoint: str | os.PathLike[str] | None = None, progress: bool = True,
) -> History:  # fmt: skip
    """Train a model in place.

    On one CPU the result depends on the seeds, the clips and the versions alone. A keyboard interrupt ends the training
    and leaves the model as it was after the last whole epoch, which the history describes. After a stop or an
    interrupt a callback may go on with the same training (:meth:`Run.resume`); a checkpoint does so in a new process.

    With ``devices`` or ``num_nodes`` above one, every process calls ``fit`` with the same arguments and ends with the
    same model. Only the first draws a bar, writes the checkpoint and calls the callbacks. Batch statistics are those of
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
        Held-out clips scored after each epoch by the same loss terms, accuracy and UF1, for display: they decide
        nothing.
    callbacks : iterable
        Objects with ``on_fit_start``, ``measure``, ``on_epoch_end`` or ``on_fit_end``, each given a :class:`Run`. What
        ``measure`` returns, a mapping of names to numbers, becomes columns of the history.
    checkpoint : path-like, optional
        A folder. It is written after each epoch, and resumed from if it is there already.
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
        held_out = validation, (*scored[:2], *targets[2:])  # weighted as the training clips

    how: dict[str, Any] = {name: getattr(training, name) for name in ("devices", "num_nodes", "strategy", "precision")}
    if training.strategy == "auto" and training.devices * training.num_nodes > 1:
        how["strategy"] = "ddp_find_unused_parameters_true"  # an AU head has no gradient where a share has no AUs
    fabric = Fabric(accelerator=training.device, **how)
    fabric.launch()
    watchers = list(callbacks)
    record = _training_record(
        model, clips, training=training, label=label, validation=validation, callbacks=watchers, device=fabric.device
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    folder = None if checkpoint is None else Path(checkpoint)
    if folder is not None and is_made(folder, STATE):
        remove_leftovers(folder)
        done = _load_checkpoint(folder, model, optimiser, record.config)
        record = replace(record, table=done.table, source={**record.source, "start": done.source.get("start", {})})
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    wrapped, optimiser = fabric.setup(model, optimiser)
    if not fabric.is_global_zero:
        watchers, progress = [], False

    def notify(event: str, run: Run) -> None:
        for watcher in watchers:
            if hasattr(watcher, event):
                getattr(watcher, event)(run)

    def with_sum(history: History) -> History:
        return replace(history, source={**history.source, "sha256": weights_sha256(model)})

    # After the last whole epoch: an interrupt may fall into the middle of a step, when half of the weights have moved.
    kept = deepcopy((model.state_dict(), optimiser.state_dict()))

    def go_on(run: Run) -> History:
        nonlocal kept
        now = model.state_dict()
        if changed := [name for name, value in kept[0].items() if not torch.equal(value, now[name])]:
            raise ValueError(f"{len(changed)} of {len(now)} weights have changed since this training stopped")
        run.running, run.stopping, status, whole = True, False, "finished", run.history
        bar = tqdm(total=training.epochs, initial=run.epoch, desc="training", unit="epoch", disable=not progress)
        with bar, torch_threads(training.threads), torch.random.fork_rng(devices=[]):
            try:
                notify("on_fit_start", run)
                while run.epoch < training.epochs and not run.stopping:
                    past = whole.table.to_dict("records")
                    row = train_epoch(fabric, wrapped, optimiser, clips, targets, training, run.epoch)
                    if fabric.world_size > 1:  # each process has seen a part of each batch
                        for buffer in filter(torch.is_floating_point, model.buffers()):
                            mean: Any = fabric.all_reduce(buffer.clone(), reduce_op="mean")
                            buffer.copy_(mean)
                    if held_out is not None:
                        row |= validate(fabric, model, *held_out, training, run.epoch)
                    run.history = replace(record, table=pd.DataFrame([*past, row]))
                    kept, whole = deepcopy((model.state_dict(), optimiser.state_dict())), run.history
                    for watcher in watchers:
                        figures = watcher.measure(run) if hasattr(watcher, "measure") else {}
                        if twice := sorted(figures.keys() & row.keys()):
                            raise ValueError(f"a callback measures {twice[0]!r}, which the history has already")
                        row |= {name: float(value) for name, value in figures.items()}
                    whole = run.history = replace(record, table=pd.DataFrame([*past, row]))
                    if folder is not None and fabric.is_global_zero:
                        _save_checkpoint(folder, model, optimiser, with_sum(run.history))
                    bar.update()
                    bar.set_postfix({"loss": f"{row['loss']:.3f}", "accuracy": f"{row['accuracy']:.3f}"})
                    notify("on_epoch_end", run)
                    run.stopping = fabric.broadcast(run.stopping)
                if run.epoch < training.epochs:
                    status = "stopped"
            except KeyboardInterrupt:
                status, run.history = "interrupted", whole
                model.load_state_dict(kept[0])
                optimiser.load_state_dict(deepcopy(kept[1]))
            finally:
                model.eval()
                run.running = False
            run.history = with_sum(replace(run.history, status=status))
            model.name, model.history = str(record.source["name"]), run.history
            notify("on_fit_end", run)
        return run.history

    return go_on(Run(model, training=training, history=record, go_on=go_on))


def _training_record(
    model: MEDN, clips: Clips, *, training: TrainConfig, label: str, validation: Clips | None,
    callbacks: Iterable[object], device: torch.device,
) -> History:  # fmt: skip
    """The history of a training before its first epoch: the metadata by which the training can be made again.

    Its `config` identifies the training: a checkpoint of another one is refused by it.
    """
    name = model.name
    if "untrained" in name:
        name = name.replace("untrained", "trained")
    elif not name.startswith("MEDN, trained") and not name.endswith(", trained further"):
        name = f"{name}, trained further"
    threads = training.threads or torch.get_num_threads()
    source = {
        "name": name, "training": asdict(training), "recipe": dict(clips.recipe),
        "validation": None if validation is None else dict(validation.recipe),
        "callbacks": [type(callback).__name__ for callback in callbacks],
        "start": {"name": model.name, "seed": model.seed, "sha256": weights_sha256(model)},
        "run": run_record("fit", table=clips.table, label=label, device=device_name(device), threads=threads),
    }  # fmt: skip
    config = {
        "model": asdict(model.config), "training": asdict(training),
        "clips": {"n": len(clips), "sha256": ids_sha256(clips.table), "recipe": dict(clips.recipe)},
        "versions": {"medn_lab": __version__, "torch": torch.__version__},
    }  # fmt: skip
    wanted = dict.fromkeys(["clip_id", "dataset", "subject", label, *model.config.aus])
    parts = {"training": clips} if validation is None else {"training": clips, "validation": validation}
    learned = pd.concat([part.table.filter(list(wanted)).assign(part=named) for named, part in parts.items()])
    return History(pd.DataFrame(columns=["epoch"]), config, "stopped", source, learned.reset_index(drop=True))


def _save_checkpoint(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, history: History) -> None:
    """Write model, optimiser and history; an older checkpoint is replaced only when the new one is whole."""
    is_made(folder, STATE)
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    with atomic_write(folder) as draft:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, draft / STATE)
        write_sum(draft / STATE)
        history.save(draft / "history")


def _load_checkpoint(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, config: Any) -> History:
    """Bring model and optimiser to where they were saved; the history of the epochs done.

    ValueError if the checkpoint is of another training than `config` describes, or its files are not those written.
    """
    history = History.load(folder / "history")
    stored, wanted = (json.loads(json.dumps(dict(one))) for one in (history.config, config))
    differing = sorted(k for k in stored.keys() | wanted.keys() if stored.get(k) != wanted.get(k))
    if differing:
        raise ValueError(f"the checkpoint {folder} was made with another {', '.join(differing)}; give another folder")
    try:
        tensors = read_weights(folder / STATE)
    except ValueError as error:
        raise ValueError(f"{error}; remove the folder to train anew") from error
    model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")})
    states: dict[int, dict[str, torch.Tensor]] = {}
    for _, index, key in (name.split(".", 2) for name in tensors if name.startswith("optimiser.")):
        states.setdefault(int(index), {})[key] = tensors[f"optimiser.{index}.{key}"]
    optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
    return history
