"""One model trained by two processes: they agree to the bit, share every clip, stop together, and go on together."""

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

folder, tests = map(Path, sys.argv[1:])
sys.path.insert(0, str(tests))
from tiny_clips import tiny_clips
from medn_lab.evaluate import predict
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.train import TrainConfig, fit

clips, held_out = (tiny_clips(clips_per_subject=8, seed=seed) for seed in range(2))
settings = {"epochs": 10, "batch_size": 8, "learning_rate": 3e-3, "mirror": False, "max_shift": 0}
config = TrainConfig(**settings, device="cpu", devices=2)
heard = []


def on_epoch_end(run):
    heard.append(run.epoch)
    if run.epoch == 3:
        run.stop()


def trained(**how):
    model = MEDN(MEDNConfig.for_clips(clips, dim=32, depth=1), seed=0)
    history = fit(model, clips, training=config, progress=False, **how)
    table = history.table.drop(columns="seconds").to_dict("list")
    logits = predict(model, held_out).logits.tolist()
    return {"sha256": weights_sha256(model), "status": history.status, "table": table, "logits": logits}


found = {"whole": trained()}
stops = SimpleNamespace(on_epoch_end=on_epoch_end)
found["stopped"] = trained(callbacks=[stops], checkpoint=folder / "run")
found["resumed"] = trained(checkpoint=folder / "run")
(folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(found | {"heard": heard}))
"""


@pytest.mark.slow
def test_both_processes_end_with_one_model_stop_together_and_take_up_what_was_stopped(tmp_path):
    script = tmp_path / "training.py"
    script.write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*torchrun, script, tmp_path, Path(__file__).parent]
    surroundings = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=surroundings)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    heard = first.pop("heard"), second.pop("heard")
    assert heard == ([1, 2, 3], [])  # the first process alone calls the callbacks
    assert first == second
    assert [first[name]["status"] for name in ("whole", "stopped", "resumed")] == ["finished", "stopped", "finished"]
    assert len(first["stopped"]["table"]["epoch"]) == 3
    assert first["resumed"] == first["whole"]
    chosen = np.array(["happiness", "others"])[np.array(first["whole"]["logits"]).argmax(axis=1)]
    assert accuracy(tiny_clips(clips_per_subject=8, seed=1).table["label"], chosen) > 0.9
