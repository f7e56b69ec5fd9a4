"""One model trained by two processes: they agree to the bit, share every clip, and stop together."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_clips import tiny_clips

from medn_lab.evaluate import accuracy

SCRIPT = """
import json, os, sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, {tests!r})
import torch
from tiny_clips import tiny_clips
from medn_lab.evaluate import predict
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.train import TrainConfig, fit


def on_epoch_end(run):
    watcher.heard += 1
    if run.epoch == 3:
        run.stop()


clips, held_out = tiny_clips(n_subjects=8), tiny_clips(n_subjects=4, seed=1)
model = MEDN(MEDNConfig.for_clips(clips, dim=32, keep_rates=(0.5, 0.25)), seed=1)
config = TrainConfig(epochs=40, batch_size=16, learning_rate=3e-3, seed=2, device="cpu", devices=2)
watcher = SimpleNamespace(heard=0, on_epoch_end=on_epoch_end)
history = fit(model, clips, training=config, callbacks=[watcher] * {stop}, checkpoint={folder!r}, progress=False)
found = {{
    "sha256": weights_sha256(model), "status": history.status, "heard": watcher.heard,
    "table": history.table.drop(columns="seconds").to_dict("list"),
    "logits": predict(model, held_out).logits.tolist(),
}}
Path(sys.argv[1], "rank" + os.environ["RANK"] + ".json").write_text(json.dumps(found))
"""


def train_together(folder: Path, *, stop: bool = False) -> list[dict]:
    """The results of both processes after a training that ``torchrun`` has started."""
    folder.mkdir(exist_ok=True)
    script = folder / "training.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), stop=stop, folder=str(folder / "checkpoint")))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", script, folder]
    surroundings = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(torchrun, capture_output=True, text=True, timeout=300, check=False, env=surroundings)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> list[dict]:
    return train_together(tmp_path_factory.mktemp("together") / "first")


@pytest.mark.slow
def test_both_processes_learn_and_end_with_one_model_and_one_history(together):
    first, second = together
    held_out = tiny_clips(n_subjects=4, seed=1)
    assert {**first, "heard": 0} == {**second, "heard": 0}
    assert (first["status"], len(first["table"]["epoch"])) == ("finished", 40)
    chosen = np.array(["happiness", "others"])[np.array(first["logits"]).argmax(axis=1)]
    assert accuracy(held_out.table["label"], chosen) == 1


@pytest.mark.slow
def test_a_stop_in_the_first_process_stops_both_and_what_was_stopped_is_taken_up_again(tmp_path, together):
    stopped = train_together(tmp_path / "run", stop=True)
    assert [each["status"] for each in stopped] == ["stopped", "stopped"]
    assert [each["heard"] for each in stopped] == [3, 0]  # the first process alone calls the callbacks
    resumed = train_together(tmp_path / "run")
    assert [each["sha256"] for each in resumed] == [each["sha256"] for each in together]
