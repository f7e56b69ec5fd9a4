"""What strangers send: folders that lead elsewhere, weights that run code, names that are markup. And: no network."""

import ast
import html
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import ipywidgets
import numpy as np
import openpyxl
import pandas as pd
import plotly.graph_objects as go
import pytest
from hostile_records import EVIL, hostile_records, hostile_widgets
from sample_records import sample_embedding
from slow_cases import mostly_slow
from tiny_clips import tiny_clips
from written_sets import shared_set

from medn_lab import diagnose, view
from medn_lab.data import read_casme2, read_flow_pack
from medn_lab.evaluate import confusion_matrix, evaluate_loso, evaluation_summary
from medn_lab.model import MEDN, MEDNConfig, load_pretrained
from medn_lab.records import Clips
from medn_lab.train import TrainConfig
from medn_lab.widgets.live import LiveFigure

ROW = '<row><c t="inlineStr"><is><t>1</t></is></c></row>'
PACKAGE = Path(__file__).resolve().parents[1] / "medn_lab"


class RunsCode:
    """What a pickle may be: reading it makes a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.place),)


# --- weights --------------------------------------------------------------------------------------------------------


@pytest.fixture
def model_folder(tmp_path):
    MEDN(MEDNConfig(size=16, dim=8, heads=1, n_frames=2, aus=("AU4",))).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt", "model.safetensors"])
def test_a_pickle_is_refused_under_whatever_name_and_not_run(model_folder, tmp_path, name):
    (model_folder / "model.safetensors").unlink()
    (model_folder / "model.sha256").unlink()
    (model_folder / name).write_bytes(pickle.dumps(RunsCode(tmp_path / "ran")))
    with pytest.raises(ValueError, match=r"Pickled weights .* can run code and are not read|holds no MEDN"):
        load_pretrained(model_folder)
    with pytest.raises(ValueError, match="Pickled weights"):
        MEDN._load_as_pickle(None, str(model_folder / name), "cpu", True)  # what the hub calls for one
    if name != "model.safetensors":
        with pytest.raises(ValueError, match=r"is a file; give the folder with .* Pickled weights"):
            load_pretrained(model_folder / name)
    assert not (tmp_path / "ran").exists()


def test_a_configuration_cannot_ask_for_more_than_the_weights_hold(model_folder):
    card = json.loads((model_folder / "config.json").read_text())
    for change in ({"dim": 9_992}, {"depth": 90}, {"n_frames": 9_999, "size": 4096}):
        (model_folder / "config.json").write_text(json.dumps(card | change))
        with pytest.raises(ValueError, match=r"weights are not those of its config.json, such as"):
            load_pretrained(model_folder)
    (model_folder / "config.json").write_text(json.dumps(card | {"depth": 10**9}))
    with pytest.raises(ValueError, match="depth must be a whole number up to 1,000"):
        load_pretrained(model_folder)
    (model_folder / "config.json").write_text(json.dumps(card | {"auto_map": {"AutoModel": "evil.Model"}}))
    (model_folder / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ValueError, match="unknown fields: auto_map"):
        load_pretrained(model_folder)


@pytest.mark.parametrize("name", ["../elsewhere", "a/../../elsewhere"])
def test_a_name_does_not_lead_out_of_the_pretrained_folder(tmp_path, monkeypatch, model_folder, name):
    shutil.copytree(model_folder, tmp_path / "elsewhere")
    (tmp_path / "pretrained" / "a").mkdir(parents=True)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd" if name.startswith("a") else tmp_path)
    monkeypatch.setattr("medn_lab.model.pretrained.pretrained_folder", lambda: tmp_path / "pretrained")
    with pytest.raises(FileNotFoundError, match="no pretrained model"):
        load_pretrained(name)


# --- records --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["arrays", "tables", "documents"])
@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "..\\secret", "sub/secret", "secret\0", "..", 7])
def test_a_record_names_nothing_outside_its_folder(tmp_path, part, name):
    tiny_clips(n_subjects=1).save(tmp_path / "set")
    for suffix, content in ((".npy", None), (".csv", "clip_id\na\n"), (".json", "{}")):
        np.save(tmp_path / "secret.npy", np.ones(3)) if content is None else None
        (tmp_path / f"secret{suffix}").write_text(content) if content else None
    head = json.loads((tmp_path / "set" / "record.json").read_text())
    del head["sha256_of_this"]
    head[part] = [*head[part], name]
    (tmp_path / "set" / "record.json").write_text(json.dumps(head))
    with pytest.raises(ValueError, match="leads out of its folder; it is not read"):
        Clips.load(tmp_path / "set")


def test_a_record_is_not_read_through_a_link(tmp_path):
    clips = tiny_clips(n_subjects=1)
    clips.save(tmp_path / "set")
    (tmp_path / "set" / "flow.npy").rename(tmp_path / "flow.npy")
    (tmp_path / "set" / "flow.npy").symlink_to(tmp_path / "flow.npy")
    with pytest.raises(ValueError, match="leads out of its folder"):
        Clips.load(tmp_path / "set")


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    tiny_clips(n_subjects=1).save(tmp_path / "set")
    np.save(tmp_path / "set" / "flow.npy", np.array([RunsCode(tmp_path / "ran")], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="sha256 differs"):
        Clips.load(tmp_path / "set")
    with pytest.raises(ValueError, match=r"is broken .*Array can't be memory-mapped: Python objects in dtype"):
        Clips.load(tmp_path / "set", check=False)
    assert not (tmp_path / "ran").exists()


def test_a_fold_names_no_folder_but_its_own(tmp_path):
    clips = tiny_clips(n_subjects=2)
    config = MEDNConfig.for_clips(clips, dim=16, branches="motion")
    go_on = {
        "training": TrainConfig(epochs=1, batch_size=8),
        "n_jobs": 1,
        "folder": tmp_path / "run",
        "progress": False,
    }
    evaluate_loso(config, clips, **go_on)
    shutil.copytree(tmp_path / "run" / "fold_000" / "last_epoch", tmp_path / "elsewhere")
    note = tmp_path / "run" / "fold_000" / "fold.json"
    note.write_text(note.read_text().replace('"last_epoch"', '"../../elsewhere"'))
    with pytest.raises(ValueError, match=r"fold_000 cannot be read .*leads out of its folder"):
        evaluate_loso(config, clips, **go_on)


# --- data sets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "filename",
    ["../../../outside/sub01/EP01", "/etc", "..", "~/x", "EP01/../../sub02/EP02", "{0.__class__}", "a\\..\\b"],
)
def test_a_name_in_a_sheet_does_not_lead_out_of_the_data_set(tmp_path, filename):
    root, wrote = shared_set("casme2")
    table = pd.read_excel(next(root.glob("*.xlsx")), dtype=str)
    table.loc[0, "Filename"] = filename
    table.to_csv(tmp_path / "coding.csv", index=False)
    index = read_casme2(root, spreadsheet=tmp_path / "coding.csv")
    assert len(index) == len(wrote) - 1
    assert index.problems[["field", "kept"]].values.tolist() == [["frames", False]]
    assert all(Path(place).resolve().is_relative_to(root) for place in index.table["frames_folder"])


def test_links_out_of_a_data_set_are_not_followed(tmp_path):
    root = shutil.copytree(shared_set("casme2")[0], tmp_path / "set")
    whole = read_casme2(root).table["frames_folder"].map(Path)
    whole[0].rename(tmp_path / "outside")
    whole[0].symlink_to(tmp_path / "outside", target_is_directory=True)
    assert len(read_casme2(root)) == len(whole) - 1
    for frame in whole[1].iterdir():
        shutil.move(frame, tmp_path / frame.name)
        frame.symlink_to(tmp_path / frame.name)
    assert len(read_casme2(root)) == len(whole) - 2
    shutil.move(next(root.glob("*.xlsx")), tmp_path / "coding.xlsx")
    (root / "coding.xlsx").symlink_to(tmp_path / "coding.xlsx")
    with pytest.raises(ValueError, match="no spreadsheet"):
        read_casme2(root)


def test_an_archive_is_no_data_set_and_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        packed.writestr("../escaped.csv", "a,b")
    for reader in (read_casme2, read_flow_pack, Clips.load):
        with pytest.raises(FileNotFoundError, match=r"set.zip"):
            reader(tmp_path / "set.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["set.zip"]


@pytest.mark.parametrize(
    ("rows", "facts"),
    mostly_slow([(ROW * 20_001, "20,000 rows"), (" " * 101_000_000, "100,000,000")]),
    ids=["rows", "bytes"],
)
def test_a_sheet_that_would_fill_the_memory_is_refused(tmp_path, rows, facts):
    root = shared_set("casme2")[0]
    names = pd.read_excel(next(root.glob("*.xlsx"))).columns
    head = "".join(f'<c t="inlineStr"><is><t>{name}</t></is></c>' for name in names)
    openpyxl.Workbook().save(tmp_path / "blank.xlsx")
    with (
        zipfile.ZipFile(tmp_path / "blank.xlsx") as source,
        zipfile.ZipFile(tmp_path / "large.xlsx", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made,
    ):
        for part in source.namelist():
            content = source.read(part).decode()
            content = content.replace("<sheetData></sheetData>", f"<sheetData><row>{head}</row>{rows}</sheetData>")
            made.writestr(part, content)
    assert (tmp_path / "large.xlsx").stat().st_size < 1_000_000
    with pytest.raises(ValueError, match=facts):
        read_casme2(root, spreadsheet=tmp_path / "large.xlsx")


# --- markup ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile():
    return hostile_records()


def shown(node: object, hidden: tuple[str, ...] = ("meta", "legendgroup", "customdata", "uid")) -> Iterator[str]:
    """Every text of a figure that a browser may be asked to show as markup."""
    if isinstance(node, dict):
        inner = hidden
        if "customdata" in json.dumps([node.get("hovertemplate", ""), node.get("texttemplate", "")], default=str):
            inner = tuple(name for name in hidden if name != "customdata")
        for name, value in node.items():
            if name not in inner:
                yield from shown(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from shown(value)
    elif isinstance(node, str):
        yield node


def shown_texts(figure: go.Figure) -> list[str]:
    return list(shown(json.loads(figure.to_json())))


def test_figures_show_names_from_data_as_text(hostile):
    clips, predictions, features = hostile
    one, other = clips.table["clip_id"].iloc[:2]
    embedding = replace(sample_embedding(features))
    report = diagnose.decoupling_report(features, n_permutations=9, n_shuffles=2)
    ranked = diagnose.rank_pairs(clips.table, features=features)
    for figure in (
        view.plot_clip(clips, one, predictions=predictions),
        view.plot_au_scores(predictions, one),
        view.plot_embedding(embedding, colour_by="label", predictions=predictions),
        view.plot_embedding(embedding, colour_by="subject"),
        view.plot_confusion_matrix(confusion_matrix(predictions), title=EVIL),
        view.plot_evaluation(evaluation_summary(predictions)),
        view.plot_leakage(report),
        view.plot_gate(features, by="label"),
        view.plot_confusable_pairs(ranked),
        view.plot_confusable_sets(diagnose.confusable_sets(clips.table)),
        view.plot_pair(clips, (one, other), predictions=predictions),
        view.plot_magnification(clips, one),
    ):
        assert "sendChartToCloud" in figure.layout.template.layout.modebar.remove, "it offers to be uploaded"
        texts = shown_texts(figure)
        assert not [text for text in texts if "<img" in text]
        assert any("&lt;img" in text for text in texts), "no name is shown, so that nothing was tested"


def planted(texts: list[str]) -> list[str]:
    """The tags that a browser would make of `EVIL` in these texts, alone or as attributes of others."""
    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            names = dict(attributes)
            if names.get("src") == "x" or "onwheel" in names or "onerror" in names:
                found.append(self.get_starttag_text())

    for text in texts:
        Reader().feed(text)
    return found


def test_the_check_itself_finds_what_is_planted():
    assert len(planted([EVIL])) == 1
    assert len(planted([f"<b title='{html.escape(EVIL, quote=False)}'>"])) == 1
    assert planted([html.escape(EVIL), f"<b title='{html.escape(EVIL)}'>"]) == []


def html_of(widget: ipywidgets.Widget) -> Iterator[str]:
    """The markup that a widget and all in it give to the browser."""
    if isinstance(widget, ipywidgets.HTML):
        yield widget.value
    if isinstance(widget, LiveFigure):
        yield from shown(json.loads(widget.figure))
    for child in getattr(widget, "children", ()):
        yield from html_of(child)


@pytest.mark.slow
def test_widgets_show_names_from_data_as_text():
    for name, widget in hostile_widgets().items():
        texts = list(html_of(widget))
        assert planted(texts) == [], name
        assert any("&lt;img" in text for text in texts), name


# --- the library itself ---------------------------------------------------------------------------------------------

FORBIDDEN = {
    "eval", "exec", "compile", "pickle.load", "pickle.loads", "torch.load", "yaml.load", "os.system",
    "subprocess.run", "subprocess.Popen", "joblib.load", "np.fromregex", "shutil.unpack_archive", "torch.hub.load",
    "zipfile.ZipFile.extractall", "urllib.request.urlopen", "socket.socket", "pd.read_pickle",
}  # fmt: skip


LAST_WORDS = {name.rpartition(".")[2] for name in FORBIDDEN}


def test_no_call_of_the_library_runs_what_it_reads():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                if getattr(node.func, "attr", getattr(node.func, "id", "")) in LAST_WORDS:
                    assert ast.unparse(node.func) not in FORBIDDEN, f"{path.name}:{node.lineno}"
                for word in node.keywords:
                    risky = word.arg in ("allow_pickle", "trust_remote_code", "shell")
                    assert not (risky and ast.unparse(word.value) != "False"), f"{path.name}:{node.lineno} {word.arg}"


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
sys.path.insert(0, sys.argv[1])
import medn_lab as medn
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.train import TrainConfig
for room in (medn.data, medn.diagnose, medn.evaluate, medn.model, medn.records, medn.synthme, medn.train, medn.view):
    for name in dir(room):
        getattr(room, name)
import medn_lab.widgets
clips = medn.synthetic_clips(n_subjects=2, clips_per_subject=6, seed=3, n_jobs=1)
model = MEDN(MEDNConfig.for_clips(clips, dim=16))
medn.fit(model, clips, training=TrainConfig(epochs=1, batch_size=8), progress=False)
model.save_pretrained(sys.argv[2])
model = medn.load_pretrained(sys.argv[2])
predictions, features = medn.predict(model, clips), medn.extract_features(model, clips)
medn.diagnose.umap(features, n_neighbors=4)
medn.diagnose.integrated_gradients(model, clips, target=model.config.classes[0], n_steps=2)
medn.view.plot_clip(clips, clips.table["clip_id"][0], predictions=predictions).to_html(include_plotlyjs=False)
print("done")
"""


@pytest.mark.slow
def test_nothing_asks_for_the_network(tmp_path):
    assert socket.socket.__module__ == "socket"
    command = [sys.executable, "-W", "ignore", "-c", WORK, str(Path(__file__).parent), str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip().endswith("done"), done.stderr[-2000:]
