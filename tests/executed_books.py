"""A small notebook with figures of the library, executed as papermill or "Run all" would."""

import os
from pathlib import Path
from unittest.mock import patch

import nbformat
from nbclient import NotebookClient

TESTS = Path(__file__).resolve().parent
CELLS = (
    f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from sample_records import sample_clips, sample_embedding, sample_features
from medn_lab import view
clips = sample_clips()
""",
    "view.plot_clip(clips, clips.table['clip_id'][0])",
    "figure = view.plot_embedding(sample_embedding(sample_features(clips)))\ndisplay(figure)",
    "figure.show()\nfigure.show()",
)


def executed(folder: Path, cells: tuple[str, ...] = CELLS) -> nbformat.NotebookNode:
    """The notebook after a run from top to bottom: four figures, by last expression, ``display`` and ``show``."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text.strip()) for text in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    plain = {name: value for name, value in os.environ.items() if name != "PLOTLY_RENDERER"}
    with patch.dict(os.environ, plain, clear=True):
        return NotebookClient(book, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
