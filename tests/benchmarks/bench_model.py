"""What sparsity saves, what a training costs until it can do it, and what the loop adds to its own steps.

Run as ``python tests/benchmarks/bench_model.py steps overhead goal`` (or some of the three), or for the steps alone as
``python -m pytest tests/benchmarks/bench_model.py --benchmark-only``. One thread. A step is forward, backward, AdamW;
ratios are of medians in one process, the variants taking turns, so that a busy spell falls on all of them. *saved* is
what autograd keeps for the backward pass, which is what a step's memory grows with.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

import medn_lab as medn
from medn_lab.model import MEDNConfig
from medn_lab.model.sevit import SEVit
from medn_lab.train import TrainConfig

RATES = (1.0, 0.5, 0.25, 0.125)


def branch(rate: float) -> SEVit:
    """SEVit over 28 x 28 places of 8 frames, width 128, depth 4, with one keep rate."""
    torch.manual_seed(0)
    return SEVit(MEDNConfig(size=112, dim=128, depth=4, keep_rates=(rate,))).train()


class Step:
    """One training step of a branch on given clips."""

    def __init__(self, network: SEVit, frames: torch.Tensor) -> None:
        self.network, self.frames = network, frames
        self.optimiser = torch.optim.AdamW(network.parameters())

    def __call__(self) -> None:
        """Forward, backward, optimiser."""
        self.optimiser.zero_grad(set_to_none=True)
        self.network(self.frames).feature.square().mean().backward()
        self.optimiser.step()

    def saved(self) -> int:
        """Bytes that autograd keeps for the backward pass; a storage counts once."""
        held: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
            return tensor

        with saved_tensors_hooks(keep, lambda tensor: tensor):
            self.network(self.frames).feature.sum()
        return sum(held.values())


@pytest.mark.parametrize("rate", RATES)
def test_a_step(benchmark, rate):
    step = Step(branch(rate), torch.rand(1, 8, 3, 112, 112))
    weight = step.network.embed[0].weight
    before = weight.detach().clone()
    benchmark.pedantic(step, rounds=3, warmup_rounds=1, iterations=1)
    assert not torch.equal(weight, before)
    assert torch.isfinite(weight).all()


def steps(*, batch: int, rounds: int) -> pd.DataFrame:
    """Time and memory of a step at each keep rate, and the ratios to the dense network."""
    frames = torch.rand(batch, 8, 3, 112, 112)
    each = {rate: Step(branch(rate), frames) for rate in RATES}
    spent: dict[float, list[float]] = {rate: [] for rate in RATES}
    for turn in range(rounds + 1):
        for rate, step in each.items():
            began = time.perf_counter()
            step()
            if turn:  # the first warms up
                spent[rate].append(time.perf_counter() - began)
    dense, saved = np.median(spent[1.0]), each[1.0].saved()
    rows = [
        (rate, 1e3 * np.median(spent[rate]) / batch, dense / np.median(spent[rate]), step.saved() / 1e6,
         saved / step.saved())
        for rate, step in each.items()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["keep", "ms a clip", "times faster", "saved MB", "times less"])


def goal(*, subjects: int, clips: int, epochs: int, seeds: int) -> pd.DataFrame:
    """Seconds of training until clips of unseen persons are answered at 0.95 of what can be reached, and where it ends.

    The schedule of a training is made for its number of epochs, so each number is a training of its own.
    """
    rows = []
    for seed in range(seeds):
        train = medn.synthetic_clips(n_subjects=subjects, clips_per_subject=clips, seed=10 * seed)
        held_out = medn.synthetic_clips(n_subjects=min(12, subjects), clips_per_subject=clips, seed=10 * seed + 1)
        train, held_out = (
            each.with_table(medn.data.to_classes(each.table, "synthme_5class")[0]) for each in (train, held_out)
        )
        ceilings = medn.synthme.ceilings(held_out.table)
        variants = {
            "sparse": ({}, ceilings.joint),
            "dense": ({"keep_rates": (1.0,)}, ceilings.joint),
            "motion only": ({"branches": "motion", "decoupling": "none"}, ceilings.au_only),
        }
        for name, (changes, ceiling) in variants.items():
            for count in sorted({min(count, epochs) for count in (4, 8, 12, epochs)}):
                config = MEDNConfig.for_clips(train, **({"decoupling": "bottleneck"} | changes))
                model = medn.model.MEDN(config, seed=seed)
                began = time.perf_counter()
                medn.fit(model, train, training=TrainConfig(epochs=count, seed=seed), progress=False)
                seconds = time.perf_counter() - began
                predictions = medn.predict(model, held_out)
                score = float((predictions.predicted == held_out.table["label"].to_numpy()).mean())
                rows.append((seed, name, count, seconds, score, score / ceiling))
                print(*rows[-1], flush=True)
                if score >= 0.95 * ceiling:
                    break
    return pd.DataFrame(rows, columns=["seed", "network", "epochs", "seconds", "accuracy", "of its ceiling"])


def overhead(*, subjects: int, clips: int, epochs: int) -> pd.DataFrame:
    """An epoch of `fit` against its own forward passes, losses, backward passes and optimiser steps."""
    drawn = medn.synthetic_clips(n_subjects=subjects, clips_per_subject=clips, seed=0)
    drawn = drawn.with_table(medn.data.to_classes(drawn.table, "synthme_5class")[0])
    model = medn.model.MEDN(MEDNConfig.for_clips(drawn, decoupling="bottleneck"), seed=0)
    spent: dict[str, float] = {}
    began: dict[str, float] = {}

    def timed(owner: object, name: str, part: str) -> None:
        own = getattr(owner, name)

        def measured(*arguments: object, **named: object) -> object:
            start = time.perf_counter()
            try:
                return own(*arguments, **named)
            finally:
                spent[part] = spent.get(part, 0.0) + time.perf_counter() - start

        setattr(owner, name, measured)

    import lightning_fabric

    import medn_lab.train.epoch as epoch

    kept = epoch.medn_loss, epoch.as_inputs, epoch.augment, lightning_fabric.Fabric.backward, torch.optim.AdamW.step
    timed(model, "forward", "forward")
    timed(epoch, "medn_loss", "loss")
    timed(epoch, "as_inputs", "reading a batch")
    timed(epoch, "augment", "augmenting")
    timed(lightning_fabric.Fabric, "backward", "backward")
    timed(torch.optim.AdamW, "step", "optimiser")
    try:
        start = time.perf_counter()
        medn.fit(model, drawn, training=TrainConfig(epochs=epochs), progress=False)
        began["all"] = time.perf_counter() - start
    finally:
        epoch.medn_loss, epoch.as_inputs, epoch.augment = kept[:3]
        lightning_fabric.Fabric.backward, torch.optim.AdamW.step = kept[3:]
    network = sum(spent[part] for part in ("forward", "loss", "backward", "optimiser"))
    rows = [(part, seconds / epochs, seconds / network) for part, seconds in spent.items()]
    rest = began["all"] - sum(spent.values())
    rows += [
        ("the rest of the loop", rest / epochs, rest / network),
        ("fit", began["all"] / epochs, began["all"] / network),
    ]
    return pd.DataFrame(rows, columns=["part", "s an epoch", "of the network's own work"])


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("what", nargs="+", choices=["steps", "goal", "overhead"])
    arguments.add_argument("--batch", type=int, default=4)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--subjects", type=int, default=24, help="of goal; of overhead at most 16")
    arguments.add_argument("--clips", type=int, default=30, help="of each subject")
    arguments.add_argument("--epochs", type=int, default=16, help="of goal; of overhead at most 3")
    arguments.add_argument("--seeds", type=int, default=2)
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    if "steps" in chosen.what:
        print(f"28 x 28 places of 8 frames, width 128, depth 4, {chosen.batch} clips a step, median of {chosen.rounds}")
        print(steps(batch=chosen.batch, rounds=chosen.rounds).round(2).to_string(index=False), end="\n\n")
    if "overhead" in chosen.what:
        size = {"subjects": min(16, chosen.subjects), "clips": chosen.clips}
        print(f"medn_tiny, {size['subjects']} subjects of {chosen.clips} clips of 64 px")
        print(overhead(**size, epochs=min(3, chosen.epochs)).round(3).to_string(index=False), end="\n\n")
    if "goal" in chosen.what:
        print(
            f"{chosen.subjects} subjects, 64 px, bottleneck; {min(12, chosen.subjects)} other persons to be scored on"
        )
        table = goal(subjects=chosen.subjects, clips=chosen.clips, epochs=chosen.epochs, seeds=chosen.seeds)
        print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
