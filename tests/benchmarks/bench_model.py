"""What sparsity saves, what a training costs until it can do it, and what the loop adds to its own steps.

Run as ``python tests/benchmarks/bench_model.py steps overhead goal`` (or some of the three). One thread. A step is
forward, backward, AdamW; ratios are of medians in one process, the variants taking turns, so that a busy spell falls on
all of them. *saved* is what autograd keeps for the backward pass, which is what a step's memory grows with.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from unittest.mock import patch

import lightning_fabric
import numpy as np
import pandas as pd
import torch
from torch.autograd.graph import saved_tensors_hooks

import medn_lab as medn
from medn_lab.model import MEDNConfig, SEVit
from medn_lab.train import TrainConfig, epoch

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
    spent: Counter = Counter()
    parts = {
        "forward": (model, "forward"), "loss": (epoch, "medn_loss"), "reading a batch": (epoch, "as_inputs"),
        "mirroring": (epoch, "mirror"), "shifting": (epoch, "shift"),
        "backward": (lightning_fabric.Fabric, "backward"), "optimiser": (torch.optim.AdamW, "step"),
    }  # fmt: skip

    def timed(part: str, own: Callable[..., object]) -> Callable[..., object]:
        def measured(*arguments: object, **named: object) -> object:
            start = time.perf_counter()
            try:
                return own(*arguments, **named)
            finally:
                spent[part] += time.perf_counter() - start

        return measured

    with ExitStack() as patched:
        for part, (owner, name) in parts.items():
            patched.enter_context(patch.object(owner, name, timed(part, getattr(owner, name))))
        start = time.perf_counter()
        medn.fit(model, drawn, training=TrainConfig(epochs=epochs), progress=False)
        whole = time.perf_counter() - start
    network = sum(spent[part] for part in ("forward", "loss", "backward", "optimiser"))
    rows = {**spent, "the rest of the loop": whole - sum(spent.values()), "fit": whole}
    rows = [(part, seconds / epochs, seconds / network) for part, seconds in rows.items()]
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
    persons, clips = min(16, chosen.subjects), chosen.clips
    tables = {
        "steps": lambda: steps(batch=chosen.batch, rounds=chosen.rounds),
        "overhead": lambda: overhead(subjects=persons, clips=clips, epochs=min(3, chosen.epochs)),
        "goal": lambda: goal(subjects=chosen.subjects, clips=clips, epochs=chosen.epochs, seeds=chosen.seeds),
    }
    for what in chosen.what:
        print(f"{what}, {vars(chosen)}", tables[what]().round(3).to_string(index=False), sep="\n", end="\n\n")


if __name__ == "__main__":
    main()
