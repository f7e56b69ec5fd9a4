"""What sparsity saves, what a training costs until it can do it, and what the loop adds to its own steps.

Run as ``python tests/benchmarks/bench_model.py steps overhead goal`` (or some of the three). One thread. A step is
forward, backward, AdamW; ratios are of medians in one process, the variants taking turns, so that a busy spell falls on
all of them. *saved* is what autograd keeps for the backward pass, which is what a step's memory grows with.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from unittest.mock import patch

import lightning_fabric
import pandas as pd
import torch
from torch.autograd.graph import saved_tensors_hooks

import medn_lab as medn
from medn_lab.model import MEDNConfig, SEVit
from medn_lab.train import TrainConfig, epoch

RATES = (1.0, 0.5, 0.25, 0.125)


def step(network: SEVit, optimiser: torch.optim.Optimizer, frames: torch.Tensor) -> None:
    """Forward, backward, optimiser."""
    optimiser.zero_grad(set_to_none=True)
    network(frames).feature.square().mean().backward()
    optimiser.step()


def saved_mb(network: SEVit, frames: torch.Tensor) -> float:
    """Megabytes that autograd keeps for the backward pass; a storage counts once."""
    held: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        network(frames).feature.sum()
    return sum(held.values()) / 1e6


def steps(options: argparse.Namespace) -> pd.DataFrame:
    """Time and memory of a step of SEVit (28 x 28 places, 8 frames) at each keep rate, against the dense network."""
    frames, networks = torch.rand(options.batch, 8, 3, 112, 112), {}
    for rate in RATES:
        torch.manual_seed(0)
        networks[rate] = SEVit(MEDNConfig(size=112, dim=128, depth=4, keep_rates=(rate,))).train()
    optimisers = {rate: torch.optim.AdamW(network.parameters()) for rate, network in networks.items()}
    spent = []
    for _ in range(options.rounds + 1):
        for rate, network in networks.items():
            began = time.perf_counter()
            step(network, optimisers[rate], frames)
            spent.append((rate, 1e3 * (time.perf_counter() - began) / options.batch))
    kept = pd.DataFrame(spent[len(RATES) :], columns=["keep", "ms a clip"])  # the first of each warms up
    table = kept.groupby("keep", sort=False).median()
    table["saved MB"] = [saved_mb(network, frames) for network in networks.values()]
    return table.join((table.loc[1.0] / table).add_suffix(", times less")).reset_index()


def drawn(subjects: int, clips: int, *, seed: int) -> medn.records.Clips:
    """Drawn clips with SynthME's five classes as labels."""
    found = medn.synthetic_clips(n_subjects=subjects, clips_per_subject=clips, seed=seed)
    return found.with_table(medn.data.to_classes(found.table, "synthme_5class")[0])


def goal(options: argparse.Namespace) -> pd.DataFrame:
    """Seconds of training until clips of unseen persons are answered at 0.95 of what can be reached, and where it ends.

    The schedule of a training is made for its number of epochs, so each number is a training of its own.
    """
    rows = []
    for seed in range(options.seeds):
        train = drawn(options.subjects, options.clips, seed=10 * seed)
        held_out = drawn(min(12, options.subjects), options.clips, seed=10 * seed + 1)
        ceilings = medn.synthme.ceilings(held_out.table)
        variants = {
            "sparse": ({}, ceilings.joint),
            "dense": ({"keep_rates": (1.0,)}, ceilings.joint),
            "motion only": ({"branches": "motion", "decoupling": "none"}, ceilings.au_only),
        }
        for name, (changes, ceiling) in variants.items():
            for count in sorted({min(count, options.epochs) for count in (4, 8, 12, options.epochs)}):
                config = MEDNConfig.for_clips(train, **({"decoupling": "bottleneck"} | changes))
                model = medn.model.MEDN(config, seed=seed)
                began = time.perf_counter()
                medn.fit(model, train, training=TrainConfig(epochs=count, seed=seed), progress=False)
                seconds = time.perf_counter() - began
                predictions = medn.predict(model, held_out)
                score = float((predictions.predicted == held_out.table["label"].to_numpy()).mean())
                rows.append((seed, name, count, seconds, score, score / ceiling))
                if score >= 0.95 * ceiling:
                    break
    return pd.DataFrame(rows, columns=["seed", "network", "epochs", "seconds", "accuracy", "of its ceiling"])


def overhead(options: argparse.Namespace) -> pd.DataFrame:
    """An epoch of `fit` against its own forward passes, losses, backward passes and optimiser steps."""
    clips, epochs = drawn(min(16, options.subjects), options.clips, seed=0), min(3, options.epochs)
    model = medn.model.MEDN(MEDNConfig.for_clips(clips, decoupling="bottleneck"), seed=0)
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
        medn.fit(model, clips, training=TrainConfig(epochs=epochs), progress=False)
        whole = time.perf_counter() - start
    network = sum(spent[part] for part in ("forward", "loss", "backward", "optimiser"))
    rows = {**spent, "the rest of the loop": whole - sum(spent.values()), "fit": whole}
    rows = [(part, seconds / epochs, seconds / network) for part, seconds in rows.items()]
    return pd.DataFrame(rows, columns=["part", "s an epoch", "of the network's own work"])


KINDS = {"steps": steps, "overhead": overhead, "goal": goal}

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("what", nargs="+", choices=KINDS)
    arguments.add_argument("--batch", type=int, default=4)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--subjects", type=int, default=24, help="of goal; of overhead at most 16")
    arguments.add_argument("--clips", type=int, default=30, help="of each subject")
    arguments.add_argument("--epochs", type=int, default=16, help="of goal; of overhead at most 3")
    arguments.add_argument("--seeds", type=int, default=2)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    for what in options.what:
        table = KINDS[what](options).round(3).to_string(index=False)
        print(f"{what}, {vars(options)}", table, sep="\n", end="\n\n")
