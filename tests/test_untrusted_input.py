"""Files from others: weights that run code, folders that lead elsewhere. And: no network.

Names that are markup are shown in a browser (browser/test_markup_in_lab.py).
"""

import ast
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses, printed
from tiny_clips import tiny_clips
from written_sets import shared_set

import medn_lab as medn

PACKAGE = Path(__file__).resolve().parents[1] / "medn_lab"


class RunsCode:
    """What a pickle may be: reading it makes a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.place),)


def test_a_pickle_is_refused_under_whatever_name_and_not_run(tmp_path):
    saved = tmp_path / "model"
    medn.model.MEDN(medn.model.MEDNConfig(size=16, dim=8, heads=1, n_frames=2, aus=("AU4",))).save_pretrained(saved)
    for removed in ("model.safetensors", "model.sha256"):
        (saved / removed).unlink()
    reason = r"Pickled weights .* can run code and are not read|holds no MEDN"
    for name in ("pytorch_model.bin", "model.safetensors"):
        (saved / name).write_bytes(pickle.dumps(RunsCode(saved / "ran")))
        assert_refuses(medn.load_pretrained, saved, match=reason)
        (saved / name).unlink()
    assert not (saved / "ran").exists()


def test_a_record_names_nothing_outside_its_folder_and_no_array_of_objects_is_unpickled(tmp_path):
    tiny_clips(n_subjects=1).save(tmp_path / "set")
    np.save(tmp_path / "secret.npy", np.ones(3))
    record = tmp_path / "set" / "record.json"
    head = json.loads(whole := record.read_text())
    del head["sha256_of_this"]
    for part, name in (("arrays", "../secret"), ("tables", "/etc/hostname")):
        record.write_text(json.dumps(head | {part: [*head[part], name]}))
        assert_refuses(medn.records.Clips.load, tmp_path / "set", match="leads out of its folder; it is not read")
    record.write_text(whole)
    np.save(tmp_path / "set" / "flow.npy", np.array([RunsCode(tmp_path / "ran")], dtype=object), allow_pickle=True)
    assert_refuses(medn.records.Clips.load, tmp_path / "set", check=False, match="is broken .*Python objects in dtype")
    assert not (tmp_path / "ran").exists()


def test_a_name_in_a_sheet_does_not_lead_out_of_the_data_set(tmp_path):
    root, wrote = shared_set("casme2")
    table = pd.read_excel(next(root.glob("*.xlsx")), dtype=str)
    table.loc[:2, "Filename"] = ["../../../outside/sub01/EP01", "EP01/../../sub02/EP02", "{0.__class__}"]
    table.to_csv(tmp_path / "coding.csv", index=False)
    index = medn.data.read_casme2(root, spreadsheet=tmp_path / "coding.csv")
    assert (len(index), index.problems[["field", "kept"]].values.tolist()) == (len(wrote) - 3, [["frames", False]] * 3)
    assert all(Path(place).resolve().is_relative_to(root) for place in index.table["frames_folder"])


UNSEEN_BY_RUFF = {"compile", "torch.load", "torch.hub.load", "joblib.load", "shutil.unpack_archive", "socket.socket"}
"""Calls that no rule of ruff's "S" forbids; eval, exec, pickles, yaml, shells and processes it does."""


def test_no_call_of_the_library_runs_what_it_reads():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                risky = [word for word in node.keywords if word.arg in ("allow_pickle", "trust_remote_code")]
                assert all(ast.unparse(word.value) == "False" for word in risky), f"{path.name}:{node.lineno}"
                assert ast.unparse(node.func) not in UNSEEN_BY_RUFF, f"{path.name}:{node.lineno}"


WORK = """
import socket, sys
def refused(*arguments, **options):
    raise AssertionError(f"the network was asked for: {arguments}")
class NoSocket(socket.socket):
    def connect(self, address):
        if self.family != socket.AF_UNIX:
            refused(address)
        return super().connect(address)
    connect_ex = connect
socket.socket, socket.getaddrinfo, socket.create_connection = NoSocket, refused, refused
import medn_lab as medn
for room in (medn.data, medn.diagnose, medn.evaluate, medn.model, medn.records, medn.synthme, medn.train, medn.view):
    for name in dir(room):
        getattr(room, name)
import medn_lab.widgets
clips = medn.synthetic_clips(n_subjects=2, clips_per_subject=6, seed=3, n_jobs=1)
model = medn.model.MEDN(medn.model.MEDNConfig.for_clips(clips, dim=16))
medn.fit(model, clips, training=medn.train.TrainConfig(epochs=1, batch_size=8), progress=False)
model.save_pretrained(sys.argv[1])
medn.predict(medn.load_pretrained(sys.argv[1]), clips)
print("done")
"""


@pytest.mark.slow
def test_nothing_asks_for_the_network(tmp_path):
    assert printed("-W", "ignore", "-c", WORK, tmp_path / "model")[-1] == "done"
