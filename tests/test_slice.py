"""The main job on input from the disk: SynthME in CASME II's layout is read, prepared, trained on, and explored."""

import numpy as np
import pytest

import medn_lab as medn
from medn_lab.train import TrainConfig


@pytest.mark.slow
def test_a_model_trains_evaluates_and_is_explored_on_clips_from_the_disk(tmp_path):
    drawn = medn.synthetic_clips(n_subjects=6, clips_per_subject=12, noise=0.5)
    medn.synthme.write_dataset(drawn, tmp_path / "set", layout="casme2", fps=50.0)
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    clips = medn.data.prepare(medn.data.read_casme2(tmp_path / "set"), tmp_path / "prepared", progress=False)
    assert all(path.read_bytes() == found for path, found in written.items())
    kept, dropped = medn.data.to_classes(clips.table, "casme2_5class")
    assert (len(kept), len(dropped)) == (72, 0)
    clips = clips.with_table(kept)
    train, test = (clips.select(ids) for ids in medn.data.hold_out_subjects(clips.table, n=2, seed=0))
    assert not set(train.table["subject"]) & set(test.table["subject"])
    model = medn.model.MEDN(medn.model.MEDNConfig.for_clips(train, dim=32))
    history = medn.fit(model, train, training=TrainConfig(epochs=20, batch_size=8), progress=False)
    assert history.table["loss"].iloc[-1] < 0.9 * history.table["loss"].iloc[0]
    predictions = medn.predict(model, test)
    assert np.isfinite(predictions.logits).all()
    # The AUs of unseen persons are read from flow that was computed from files.
    shown = test.table[list(predictions.aus)].to_numpy() == 1
    assert predictions.au_logits[shown].mean() > predictions.au_logits[~shown].mean() + 1
    maps = medn.diagnose.umap(medn.extract_features(model, test), method="pca")
    explorer = medn.widgets.BranchExplorer(maps, clips=test, predictions=predictions)
    explorer.select(test.table["clip_id"][:3])
    assert explorer.selection["clip_id"].tolist() == test.table["clip_id"][:3].tolist()
