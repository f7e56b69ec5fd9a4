"""How a model is trained, and one epoch of it: batches, targets, augmentation, objective, pass over the clips."""

from __future__ import annotations

import math
import time
import warnings
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional as F

from medn_lab.model import DECOUPLING_METHODS, MEDN, Inputs, MEDNConfig, MEDNOutput, as_inputs
from medn_lab.records import Clips, check_label, is_constant

Targets = tuple[Tensor, ...]  # labels, AUs, class weights and AU weights, as `read_targets` gives them


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
        Weight of the decoupling term; None takes the method's own (:data:`medn_lab.model.DECOUPLING_METHODS`).
    decoupling_ramp : tuple of two floats
        Shares of the training between which the weight rises from 0 to its full value. With a penalty on the emotion
        code from the first step the emotion branch never learns its cue.
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
    batch_size: int = 16
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
        object.__setattr__(self, "decoupling_ramp", tuple(self.decoupling_ramp))
        ramp, least = self.decoupling_ramp, {"epochs": 1, "batch_size": 2, "devices": 1, "num_nodes": 1}
        least |= dict.fromkeys(("weight_decay", "au_weight", "decoupling_weight", "max_shift"), 0)
        rules = {name: ((getattr(self, name) or 0) >= lowest, f"at least {lowest}") for name, lowest in least.items()}
        rules["learning_rate"] = self.learning_rate > 0, "above 0"
        rules["label_smoothing"] = 0 <= self.label_smoothing < 1, "in [0, 1)"
        rules["decoupling_ramp"] = len(ramp) == 2 and 0 <= ramp[0] <= ramp[1] <= 1, "two values in order, in [0, 1]"
        for name, (right, rule) in rules.items():
            if not right:
                raise ValueError(f"{name} must be {rule}; got {getattr(self, name)}")


def read_targets(config: MEDNConfig, table: pd.DataFrame, *, label: str, training: bool) -> Targets:
    """Read labels and AUs from a table.

    Parameters
    ----------
    config : MEDNConfig
    table : DataFrame
    label : str
        Column of class names.
    training : bool
        Whether every class must occur.

    Returns
    -------
    labels : (n,) int64 tensor
        Places in ``config.classes``.
    aus : (n, n_aus) float32 tensor
        1 present, 0 absent, NaN unknown.
    class_weight : (n_classes,) float32 tensor
        Inverse class frequency, mean 1 over the clips.
    au_weight : (n_aus,) float32 tensor
        Weight of a positive: negatives over positives, at most 10; 1 for an AU without positives.

    Raises
    ------
    ValueError
        If the column is missing, a clip has no class, a name is not one of the model's classes, or a class has no
        training clip.

    Examples
    --------
    >>> import pandas as pd
    >>> from medn_lab.model import MEDNConfig
    >>> table = pd.DataFrame({"clip_id": ["a", "b"], "label": ["x", "y"], "AU12": [1.0, None]})
    >>> config = MEDNConfig(classes=("x", "y"), aus=("AU12",))
    >>> labels, aus, class_weight, au_weight = read_targets(config, table, label="label", training=False)
    >>> labels.tolist(), aus.tolist()
    ([0, 1], [[1.0], [nan]])
    """
    names = check_label(table, label=label)
    places = pd.Index(config.classes).get_indexer(names).astype(np.int64)
    known = f"the model's classes are {', '.join(config.classes)}; build it with MEDNConfig.for_clips(clips)"
    if (places < 0).any():
        strange = ", ".join(sorted(set(names[places < 0])))
        raise ValueError(f"{(places < 0).sum()} of {len(table)} clips are labelled {strange}; {known}")
    counts = np.bincount(places, minlength=len(config.classes))
    if training and not counts.all():
        absent = ", ".join(np.array(config.classes)[counts == 0])
        raise ValueError(f"no training clip of {absent} among {len(table)}; {known} or choose another split")
    class_weight = len(table) / (len(config.classes) * np.maximum(counts, 1))
    aus = table.reindex(columns=list(config.aus)).to_numpy(dtype=np.float32, na_value=np.nan).copy()
    positives, negatives = (aus == 1).sum(axis=0), (aus == 0).sum(axis=0)
    au_weight = np.where(positives > 0, np.clip(negatives / np.maximum(positives, 1), 1, 10), 1)
    weights = class_weight.astype(np.float32), au_weight.astype(np.float32)
    return torch.from_numpy(places), torch.from_numpy(aus), *map(torch.from_numpy, weights)


def warn_if_constant(config: MEDNConfig, clips: Clips, targets: Targets, *, stacklevel: int) -> None:
    """Warn of each input or target that is the same in all training clips: its branch learns nothing.

    Reads clips until two differ, so that of clips that vary only the first few are read. `stacklevel` is that of the
    caller's caller.
    """
    found = []
    for branch, part, still, same in (
        ("emotion", clips.frames, "the frames do not move in any clip", "all clips have the same frames"),
        ("motion", clips.flow, "the flow is 0 in all clips", "all clips have the same flow"),
    ):
        if part is None or config.branches not in ("both", branch):
            continue
        if not any((clip != (clip[:1] if branch == "emotion" else 0)).any() for clip in part):
            found.append(f"{still}, so the {branch} branch will be constant")
        elif all(is_constant(np.stack([np.ravel(part[0]), np.ravel(clip)])) for clip in part[1:]):
            found.append(f"{same}, so the {branch} branch will be constant")
    known = targets[1][~targets[1].isnan()].numpy()
    if known.size and is_constant(known[:, None]):
        found.append(f"no AU varies: every AU known is {known[0]:g} in all clips, so the AUs teach nothing")
    for fault in found:
        warnings.warn(f"{fault}; look at how the clips were prepared", UserWarning, stacklevel=stacklevel + 1)


def mirror(inputs: Inputs, chosen: Tensor, *, colours: bool) -> None:
    """Mirror the chosen clips left to right, in place.

    The face's right and left change places, so an AU set without sides keeps its meaning; the horizontal component of
    the flow changes its sign, or where the flow is coded as `colours` its hue.
    """
    for row in chosen.nonzero()[:, 0].tolist():  # a clip at a time: it stays in the cache, and nothing large is copied
        for clip in (part[row] for part in inputs if part is not None):
            clip.copy_(clip.flip(-1))
        if inputs.flow is not None and colours:  # a hue of h degrees becomes 180 - h: the complement, green and blue
            flow = inputs.flow[row]  # exchanged
            flow.copy_((flow.amax(0) + flow.amin(0) - flow)[[0, 2, 1]])
        elif inputs.flow is not None:
            inputs.flow[row, 0] *= -1


def shift(x: Tensor, *, dx: int, dy: int) -> Tensor:
    """Move pictures (..., h, w) by whole pixels, `dx` right and `dy` down, repeating the edge: no crop is exact."""
    top, left = max(-dy, 0), max(-dx, 0)
    padded = F.pad(x.flatten(0, -4), (max(dx, 0), left, max(dy, 0), top), mode="replicate")
    return padded[..., top : top + x.shape[-2], left : left + x.shape[-1]].reshape(x.shape)


def medn_loss(
    output: MEDNOutput, targets: Targets, *, config: MEDNConfig, training: TrainConfig, done: float = 1.0
) -> dict[str, Tensor]:
    """The terms of MEDN's loss and their weighted sum.

    Parameters
    ----------
    output : MEDNOutput
        Of a forward pass with `b` clips.
    targets : tuple of four tensors
        Labels and AUs of the same clips and the weights of all, as :func:`read_targets` gives them.
    config : MEDNConfig
        Says which decoupling term there is.
    training : TrainConfig
        The weights of the AU and the decoupling term (the emotion term has weight 1) and the label smoothing.
    done : float
        The share of the training that is over, in [0, 1], which decides how far the decoupling weight has risen.

    Returns
    -------
    dict of str to scalar Tensor
        ``loss`` (the sum), ``emotion`` (class-weighted cross-entropy), and where they apply ``au`` (binary
        cross-entropy over the known AUs, positives weighted) and ``decoupling`` (unweighted; in nats under the
        bottleneck, the adversary's error under ``adversarial``).

    See Also
    --------
    orthogonal_loss

    Examples
    --------
    >>> from medn_lab.model import MEDN, MEDNConfig
    >>> config = MEDNConfig(size=32, dim=16, classes=("x", "y"), aus=("AU12",))
    >>> output = MEDN(config)(torch.rand(2, 8, 3, 32, 32), torch.rand(2, 2, 32, 32))
    >>> targets = torch.tensor([0, 1]), torch.tensor([[1.0], [0.0]]), torch.ones(2), torch.ones(1)
    >>> list(medn_loss(output, targets, config=config, training=TrainConfig()))
    ['loss', 'emotion', 'au', 'decoupling']
    """
    labels, aus, class_weight, au_weight = targets
    total = F.cross_entropy(output.logits, labels, weight=class_weight, label_smoothing=training.label_smoothing)
    terms = {"emotion": total}
    if output.au_logits is not None and config.aus:
        known, logits = ~torch.isnan(aus), output.au_logits
        each = F.binary_cross_entropy_with_logits(logits, aus.nan_to_num(), pos_weight=au_weight, reduction="none")
        terms["au"] = (each * known).sum() / known.sum().clamp_min(1)  # 0 where nothing is known
        total = total + training.au_weight * terms["au"]
    loss, weight, reads = DECOUPLING_METHODS[config.decoupling]
    parts = [getattr(output, name) for name in reads]
    if loss is not None and all(part is not None for part in parts):
        terms["decoupling"] = loss(*parts)
        weight = weight if training.decoupling_weight is None else training.decoupling_weight
        start, full = training.decoupling_ramp
        ramp = 1.0 if done >= full else max(0.0, (done - start) / (full - start))
        total = total + weight * ramp * terms["decoupling"]
    return {"loss": total} | terms


def train_epoch(
    fabric: Fabric, model: Any, optimiser: torch.optim.Optimizer, clips: Clips, targets: Targets,
    training: TrainConfig, epoch: int,
) -> dict[str, float]:  # fmt: skip
    """Train on every clip once; the epoch's row of the history."""
    # Seeding by epoch makes a resumed training the same as one that never stopped.
    rank, ranks = fabric.global_rank, fabric.world_size
    seed = training.seed * 100_003 + epoch
    generator = torch.Generator().manual_seed(seed)
    began = time.perf_counter()
    batches = list(torch.randperm(len(clips), generator=generator).split(training.batch_size))
    if len(batches) > 1 and len(batches[-1]) < 2 * ranks:  # batch norm needs two clips in each process
        batches[-2:] = [torch.cat(batches[-2:])]
    labels, aus, *weights = (part.to(fabric.device) for part in targets)
    torch.manual_seed(seed + 1_000_000_007 * rank)
    if rank:  # the processes share their batches, and draw what else is drawn each for itself
        generator.manual_seed(seed + 1_000_000_007 * rank)
    steps = training.epochs * len(batches)
    warm = max(1, steps // 10)
    sums: defaultdict[str, float] = defaultdict(float)
    model.train()
    for place, of_all in enumerate(batches):
        rows = of_all.tensor_split(ranks)[rank]
        step = epoch * len(batches) + place
        # Linear over the first tenth of the steps, then down to 0 along a half cosine.
        falling = 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
        rate = training.learning_rate * ((step + 1) / warm if step < warm else falling)
        for group in optimiser.param_groups:
            group["lr"] = rate
        inputs = as_inputs(model.config, clips, rows=rows.numpy(), device=fabric.device)
        chosen = torch.rand(len(rows), generator=generator) < (0.5 if training.mirror else 0.0)
        mirror(inputs, chosen, colours=clips.recipe.get("coding") == "hsv")
        dx, dy = torch.randint(-training.max_shift, training.max_shift + 1, (2,), generator=generator).tolist()
        inputs = Inputs(*(None if part is None else shift(part, dx=dx, dy=dy) for part in inputs))
        output, batch = model(*inputs), (labels[rows], aus[rows], *weights)
        terms = medn_loss(output, batch, config=model.config, training=training, done=step / steps)
        values = {name: value.item() for name, value in terms.items()}
        if not math.isfinite(values["loss"]):
            raise ValueError(f"the loss is no longer a number in epoch {epoch + 1}: learning_rate or flow too high")
        optimiser.zero_grad(set_to_none=True)
        share = len(rows) * ranks / len(of_all)  # gradients are averaged over processes, and are meant over clips
        fabric.backward(terms["loss"] if ranks == 1 else terms["loss"] * share)
        fabric.clip_gradients(model, optimiser, max_norm=1.0)
        optimiser.step()
        for name, value in values.items():
            sums[name] += value * len(rows)
        sums["accuracy"] += (output.logits.argmax(dim=1) == batch[0]).sum().item()
    totals = list(sums.values())
    if ranks > 1:
        reduced: Any = fabric.all_reduce(torch.tensor(totals, dtype=torch.float64, device=fabric.device), None, "sum")
        totals = reduced.tolist()
    row = {"epoch": epoch + 1, "seconds": time.perf_counter() - began, "learning_rate": rate}
    return row | {name: value / len(clips) for name, value in zip(sums, totals, strict=True)}


@torch.inference_mode()
def validate(
    fabric: Fabric, model: MEDN, clips: Clips, targets: Targets, training: TrainConfig, epoch: int
) -> dict[str, float]:
    """The terms of the loss, accuracy and UF1 on clips that are held out, weighted as at the end of the epoch."""
    model.eval()
    sums: defaultdict[str, float] = defaultdict(float)
    counts = np.zeros((len(model.config.classes),) * 2)
    labels, aus, *weights = (part.to(fabric.device) for part in targets)
    for rows in np.array_split(np.arange(len(clips)), -(-len(clips) // 64)):
        batch = labels[rows], aus[rows], *weights
        output = model(*as_inputs(model.config, clips, rows=rows, device=fabric.device))
        terms = medn_loss(output, batch, config=model.config, training=training, done=(epoch + 1) / training.epochs)
        for name, value in terms.items():
            sums[name] += value.item() * len(rows)
        np.add.at(counts, (batch[0].cpu().numpy(), output.logits.argmax(dim=1).cpu().numpy()), 1)
    hits, present, predicted = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
    f1 = 2 * hits[present > 0] / (present + predicted)[present > 0]
    scores = {"accuracy": hits.sum(), "uf1": f1.mean() * len(clips)}
    return {f"validation_{name}": float(value / len(clips)) for name, value in ({**sums} | scores).items()}
