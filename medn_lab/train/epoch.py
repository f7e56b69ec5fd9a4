"""One pass over the training clips, and a look at those held out."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from medn_lab.model import DECOUPLING_WEIGHTS, MEDN, MEDNConfig, as_inputs
from medn_lab.records import Clips
from medn_lab.train.batches import Targets, augment, shuffled_rows
from medn_lab.train.config import TrainConfig
from medn_lab.train.losses import medn_loss
from medn_lab.train.schedule import learning_rate, ramp


def train_epoch(
    fabric: Fabric,
    model: Any,
    optimiser: torch.optim.Optimizer,
    clips: Clips,
    targets: Targets,
    config: TrainConfig,
    epoch: int,
) -> dict[str, float]:
    """Train on every clip once; the epoch's row of the history."""
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
            inputs = augment(
                inputs, max_shift=config.max_shift, mirrored=config.mirror, generator=generator,
                colours=clips.recipe.get("coding") == "hsv",
            )  # fmt: skip
        batch = targets.take(rows).to(fabric.device)
        output = model(*inputs)
        terms = medn_loss(
            output,
            batch,
            config=model.config,
            au_weight=config.au_weight,
            decoupling_weight=_decoupling_weight(model.config, config, done / steps),
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
def validate(
    fabric: Fabric, model: MEDN, clips: Clips, targets: Targets, config: TrainConfig, epoch: int
) -> dict[str, float]:
    """The terms of the loss, accuracy and UF1 on clips that are held out, weighted as at the end of the epoch."""
    model.eval()
    sums: dict[str, float] = {}
    n_classes = len(model.config.classes)
    counts = np.zeros((n_classes, n_classes))
    for rows in np.array_split(np.arange(len(clips)), -(-len(clips) // 64)):
        batch = targets.take(torch.from_numpy(rows)).to(fabric.device)
        output = model(*as_inputs(model.config, clips, rows=rows, device=fabric.device))
        terms = medn_loss(
            output,
            batch,
            config=model.config,
            au_weight=config.au_weight,
            decoupling_weight=_decoupling_weight(model.config, config, (epoch + 1) / config.epochs),
            label_smoothing=config.label_smoothing,
        )
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value.item() * len(rows)
        np.add.at(counts, (batch.labels.cpu().numpy(), output.logits.argmax(dim=1).cpu().numpy()), 1)
    hits, meant, said = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
    f1 = 2 * hits[meant > 0] / (meant + said)[meant > 0]
    sums |= {"accuracy": hits.sum(), "uf1": f1.mean() * len(clips)}
    return {f"validation_{name}": float(value / len(clips)) for name, value in sums.items()}


def _decoupling_weight(model: MEDNConfig, config: TrainConfig, done: float) -> float:
    """The weight of the decoupling term when a share `done` of the training is over."""
    weight = DECOUPLING_WEIGHTS[model.decoupling] if config.decoupling_weight is None else config.decoupling_weight
    return weight * ramp(done, config.decoupling_ramp)


def _check_finite(terms: dict[str, float], epoch: int) -> None:
    broken = [name for name, value in terms.items() if not math.isfinite(value)]
    if broken:
        raise ValueError(
            f"{', '.join(broken)} is no longer a number in epoch {epoch}; lower learning_rate"
            " or decoupling_weight, and look at the clips for constant or extreme values"
        )
