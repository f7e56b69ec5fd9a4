"""The same calls on a dask cluster of two local workers: the same predictions, the same prepared set."""

import joblib
import numpy as np
import pytest
from tiny_clips import tiny_clips
from written_sets import written

from medn_lab.data import prepare, read_casme2
from medn_lab.evaluate import evaluate_loso
from medn_lab.model import MEDNConfig
from medn_lab.records import ClipIndex
from medn_lab.train import TrainConfig

distributed = pytest.importorskip("distributed", reason="dask is not installed: pip install distributed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # what dask's own threads warn of while a cluster comes and goes
]


def test_folds_and_prepared_clips_on_two_workers_are_those_made_here(tmp_path):
    clips, how = tiny_clips(), {"training": TrainConfig(epochs=2, batch_size=8), "progress": False}
    config = MEDNConfig.for_clips(clips, dim=16, branches="motion")
    written(tmp_path / "originals", "casme2")
    whole = read_casme2(tmp_path / "originals")
    index = ClipIndex(whole.table.iloc[:6].reset_index(drop=True), whole.problems)
    here = evaluate_loso(config, clips, n_jobs=1, **how).predictions
    prepared = prepare(index, tmp_path / "here", progress=False)
    folder = str(tmp_path / "dask")
    workers = distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, local_directory=folder)
    with workers, distributed.Client(workers), joblib.parallel_config(backend="dask"):
        there = evaluate_loso(config, clips, n_jobs=2, **how).predictions
        again = prepare(index, tmp_path / "there", n_jobs=2, progress=False)
    assert there.table["clip_id"].tolist() == here.table["clip_id"].tolist()
    np.testing.assert_array_equal(there.logits, here.logits)
    assert there.source == here.source
    assert again.table.to_csv() == prepared.table.to_csv()
    np.testing.assert_array_equal(again.frames, prepared.frames)
    np.testing.assert_array_equal(again.flow, prepared.flow)
