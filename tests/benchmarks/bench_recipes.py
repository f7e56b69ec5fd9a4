"""What a flow recipe costs in accuracy: the default against the public tool's, on drawn persons that no model saw.

Run as ``python tests/benchmarks/bench_recipes.py --work FOLDER``; it writes ``bench_recipes.csv`` to its own folder.
Onset and apex are drawn at ``--side`` px and go through ``input_of_frames`` as a user's frames do, with the true places
of eyes, nose and mouth. Every recipe gives 64 px here, so that one network reads all, and TV-L1 is scikit-image's. The
default with the tool's colours tells what the coding costs that scales each clip by itself.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import medn_lab as medn
from medn_lab.data import FaceBox, FlowRecipe
from medn_lab.data.clip_input import input_of_frames
from medn_lab.data.frames import cv2
from medn_lab.evaluate import au_detection, bootstrap_interval, compare_predictions, uar, uf1
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import Clips, Predictions
from medn_lab.synthme import draw_identity, render_frames
from medn_lab.synthme.identity import landmarks_of
from medn_lab.train import TrainConfig

TOOL = replace(FlowRecipe.named("hsv_tvl1"), method="tvl1_skimage", size=64)
RECIPES = {
    "default": FlowRecipe(),
    "default, colours": FlowRecipe(coding="hsv", outside=1.0 / 3.0),
    "tool": TOOL,
}
BRANCHES = (("motion", tuple(RECIPES)), ("both", ("default", "tool")))


def points_of(clip_id: str, side: int) -> np.ndarray:
    """Eyes, nose tip and mouth corners of a drawn person in pixels of the frame."""
    corpus, subject, _ = clip_id.split("-")
    marks = landmarks_of(draw_identity(int(corpus.removeprefix("synthme")), int(subject[1:]) - 1))
    places = [marks.right["eye"], marks.left["eye"], marks.middle["nose_tip"]]
    places += [marks.right["mouth_corner"], marks.left["mouth_corner"]]
    return (np.array(places) + 1.0) / 2.0 * side - 0.5


def inputs(clips: Clips, side: int) -> dict[str, Clips]:
    """The same clips with the flow of each recipe."""
    flows: dict[str, list[np.ndarray]] = {name: [] for name in RECIPES}
    numbers = np.array([0, 1])
    for row in clips.table.itertuples():
        frames = list(render_frames(clips, row.clip_id, [row.onset, row.apex], size=side))
        for name, recipe in RECIPES.items():
            box = replace(FaceBox.around(frames[0]), landmarks=points_of(row.clip_id, side))
            recipe = replace(recipe, n_frames=2, compute_size=side)
            made = input_of_frames(numbers, frames, box=box, apex=1, recipe=recipe)
            flows[name].append(made.flow)
    recipes = {name: {**clips.recipe, "coding": recipe.coding} for name, recipe in RECIPES.items()}
    return {name: replace(clips, flow=np.stack(flows[name]), recipe=recipes[name]) for name in RECIPES}


def carry_out(seed: int, args: argparse.Namespace, work: Path) -> None:
    """Draw the persons of a seed, train each model and keep its predictions."""
    parts = {}
    for part, persons in (("train", args.persons), ("test", args.held_out)):
        folder = work / f"{part}-{seed}"
        if not folder.is_dir():
            drawn = medn.synthetic_clips(
                n_subjects=persons, clips_per_subject=args.clips, seed=200 + 2 * seed + (part == "test"), n_jobs=1
            )
            for name, clips in inputs(drawn, args.side).items():
                clips.save(folder / name.replace(", ", "-").replace(" ", "_"))
        parts[part] = {name: Clips.load(folder / name.replace(", ", "-").replace(" ", "_")) for name in RECIPES}
        print(f"seed {seed}: {part} drawn", flush=True)
    for branches, names in BRANCHES:
        for name in names:
            out = work / f"said-{branches}-{name.replace(', ', '-').replace(' ', '_')}-{seed}"
            if out.is_dir():
                continue
            train, test = parts["train"][name], parts["test"][name]
            model = MEDN(MEDNConfig.for_clips(train, branches=branches), seed=seed)
            medn.fit(model, train, training=TrainConfig(seed=seed, epochs=args.epochs), progress=False)
            medn.predict(model, test).save(out)
            print(f"seed {seed}: {branches} {name}", flush=True)


def pooled(branches: str, name: str, seeds: int, work: Path) -> Predictions:
    """The predictions of all seeds; each has persons of its own."""
    file = name.replace(", ", "-").replace(" ", "_")
    said = [Predictions.load(work / f"said-{branches}-{file}-{seed}") for seed in range(seeds)]
    return Predictions(
        logits=np.concatenate([one.logits for one in said]),
        au_logits=np.concatenate([one.au_logits for one in said]),
        aus=said[0].aus,
        table=pd.concat([one.table for one in said], ignore_index=True),
        classes=said[0].classes,
        source={"name": f"{branches} {name}"},
    )


def summarise(seeds: int, args: argparse.Namespace, work: Path) -> pd.DataFrame:
    """A row a model: seeds pooled, 95 % intervals over persons, difference to the default on the same clips."""
    rows = []
    for branches, names in BRANCHES:
        default = pooled(branches, "default", seeds, work)
        for name in names:
            said = pooled(branches, name, seeds, work)
            interval = bootstrap_interval(said)
            row = {
                "branches": branches, "recipe": name, "side": args.side, "n_seeds": seeds,
                "train_persons": args.persons, "test_persons": interval.n_subjects, "n_clips": interval.n_clips,
                "accuracy": interval.value, "accuracy_low": interval.low, "accuracy_high": interval.high,
                "uf1": uf1(said.table["label"], said.predicted), "uar": uar(said.table["label"], said.predicted),
            }  # fmt: skip
            found_aus = au_detection(said, n_resamples=1).attrs["macro_auc"]
            row["au_auc"] = float("nan") if found_aus is None else found_aus.value
            if name != "default":
                found = compare_predictions(said, default)
                row |= {"over_default": found.difference, "over_low": found.low, "over_high": found.high}
            rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--persons", type=int, default=12)
    parser.add_argument("--held-out", type=int, default=8)
    parser.add_argument("--clips", type=int, default=12, help="of each person")
    parser.add_argument("--side", type=int, default=128, help="of a face, in pixels")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is drawn and trained")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    for seed in range(args.seeds):
        carry_out(seed, args, args.work)
        table = summarise(seed + 1, args, args.work)
        table.round(4).to_csv(Path(__file__).with_suffix(".csv"), index=False)
        print(table.round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
