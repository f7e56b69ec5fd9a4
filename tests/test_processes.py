"""Work shared by two processes, a few kills of each long job, and memory over many trainings and gestures.

A model that two processes train is one to the bit: they share every clip, stop together, and go on together.
"""

import json
import os
from pathlib import Path

import joblib
import numpy as np
import pytest
from cases import printed
from tiny_clips import tiny_clips
from written_sets import written

import medn_lab as medn

SCRIPT = """
import json, os, sys
from pathlib import Path

folder, tests = map(Path, sys.argv[1:])
sys.path.insert(0, str(tests))
from tiny_clips import Watch, tiny_clips
from medn_lab.evaluate import predict
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.train import TrainConfig, fit

clips, held_out = (tiny_clips(clips_per_subject=8, seed=seed) for seed in range(2))
settings = {"epochs": 10, "batch_size": 8, "learning_rate": 3e-3, "mirror": False, "max_shift": 0}
config = TrainConfig(**settings, device="cpu", devices=2)
watch = Watch(stop=3)


def trained(**how):
    model = MEDN(MEDNConfig.for_clips(clips, dim=32, depth=1), seed=0)
    history = fit(model, clips, training=config, progress=False, **how)
    table = history.table.drop(columns="seconds").to_dict("list")
    logits = predict(model, held_out).logits.tolist()
    return {"sha256": weights_sha256(model), "status": history.status, "table": table, "logits": logits}


found = {"whole": trained()}
found["stopped"] = trained(callbacks=[watch], checkpoint=folder / "run")
found["resumed"] = trained(checkpoint=folder / "run")
(folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(found | {"heard": watch.events}))
"""


@pytest.mark.slow
def test_both_processes_end_with_one_model_stop_together_and_take_up_what_was_stopped(tmp_path):
    (tmp_path / "training.py").write_text(SCRIPT)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    surroundings = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    printed(*torchrun, tmp_path / "training.py", tmp_path, Path(__file__).parent, timeout=300, env=surroundings)
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    # The first process alone calls the callbacks.
    assert (first.pop("heard"), second.pop("heard")) == (["start", 1, 2, 3, "stopped"], [])
    assert first == second
    assert [first[name]["status"] for name in ("whole", "stopped", "resumed")] == ["finished", "stopped", "finished"]
    assert len(first["stopped"]["table"]["epoch"]) == 3
    assert first["resumed"] == first["whole"]
    chosen = np.array(["happiness", "others"])[np.array(first["whole"]["logits"]).argmax(axis=1)]
    assert medn.evaluate.accuracy(tiny_clips(clips_per_subject=8, seed=1).table["label"], chosen) > 0.9


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # what dask's own threads warn of while a cluster comes and goes
def test_folds_and_prepared_clips_on_two_workers_are_those_made_here(tmp_path):
    distributed = pytest.importorskip("distributed", reason="dask is not installed: pip install distributed")
    clips, how = tiny_clips(), {"training": medn.train.TrainConfig(epochs=2, batch_size=8), "progress": False}
    config = medn.model.MEDNConfig.for_clips(clips, dim=16, branches="motion")
    written(tmp_path / "originals", "casme2")
    whole = medn.data.read_casme2(tmp_path / "originals")
    index = medn.records.ClipIndex(whole.table.iloc[:6].reset_index(drop=True), whole.problems)
    here = medn.evaluate.evaluate_loso(config, clips, n_jobs=1, **how).predictions
    prepared = medn.data.prepare(index, tmp_path / "here", progress=False)
    folder = str(tmp_path / "dask")
    workers = distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, local_directory=folder)
    with workers, distributed.Client(workers), joblib.parallel_config(backend="dask"):
        there = medn.evaluate.evaluate_loso(config, clips, n_jobs=2, **how).predictions
        again = medn.data.prepare(index, tmp_path / "there", n_jobs=2, progress=False)
    assert there.table["clip_id"].tolist() == here.table["clip_id"].tolist()
    np.testing.assert_array_equal(there.logits, here.logits)
    assert (there.source, again.table.to_csv()) == (here.source, prepared.table.to_csv())
    np.testing.assert_array_equal(again.frames, prepared.frames)
    np.testing.assert_array_equal(again.flow, prepared.flow)


# --- kills, and memory: the scripts of endurance, briefly -------------------------------------------------------------


KILLED = [("--rounds 1 --seed 4", [1, 1, 1]), ("--steps --rounds 6 --jobs prepare", [6])]
REPEATED = [("trainings --steps 9", {"finished", "interrupted", "stopped"}), ("gestures --steps 24", {"show"})]


def figures_of(script: str, *options: str) -> list[dict]:
    """The lines of JSON that a script prints."""
    return [json.loads(line) for line in printed(Path(__file__).parent / "endurance" / script, *options)]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
@pytest.mark.parametrize(("options", "kills"), KILLED)
def test_killed_jobs_end_with_the_result_of_an_undisturbed_run(options, kills):
    for job, least in zip(figures_of("kill_rounds.py", *options.split()), kills, strict=True):
        assert job["kills"] >= least
        assert (job["failures"], job["left_behind"], job["originals_untouched"]) == ([], 0, True)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="private memory is read from /proc")
@pytest.mark.parametrize(("options", "done"), REPEATED)
def test_memory_stays_flat(options, done):
    [figures] = figures_of("soak.py", *options.split())
    assert figures["rise_percent"] < 5
    assert done <= set(figures["done"])
