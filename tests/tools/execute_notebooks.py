"""Execute the notebooks and store them as they are committed: with results and pictures, without state or traces.

Each plotly figure is stored twice, as plotly's own JSON (alive in Jupyter) and as a PNG (for pages without plotly).
Run by ``make notebooks``; a developer's tool, which needs a Chromium and kaleido.
"""

import base64
import io
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from made_with import KEY, made_with
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "browser"))

from chromium_here import find_chromium  # noqa: E402

MOST_OF_A_PICTURE = 40_000
"""Bytes from which a PNG is kept in 256 colours."""

SPENT = """\
import resource
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime)"""
"""The kernel's own processor time, which other work on the machine does not lengthen; run last and not stored."""

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KEPT_METADATA = {"tags", "jupyter"}


def main() -> int:
    """Execute the notebooks named on the command line, or all; the exit status is 1 if one failed."""
    browser = find_chromium() or sys.exit("no Chromium found; kaleido needs one to draw the pictures")
    os.environ |= {"BROWSER_PATH": browser, "PLOTLY_RENDERER": "plotly_mimetype+png"}
    os.environ |= {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    failed = 0
    for path in list(map(Path, sys.argv[1:])) or sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        began = time.monotonic()
        try:
            size = execute(path.resolve())
        except Exception as error:  # One broken notebook must not hide the others.
            failed += 1
            print(f"{path.name}: {error}")
        else:
            print(f"{path.name}: executed in {time.monotonic() - began:.0f} s, {size / 1000:.0f} kB")
    return int(failed > 0)


def execute(path: Path) -> int:
    """Run a notebook from top to bottom in its own folder, store it cleaned, and return its number of characters."""
    book = nbformat.read(path, as_version=4)
    book.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    book.cells.append(nbformat.v4.new_code_cell(SPENT))
    place = {"metadata": {"path": str(path.parent)}}
    NotebookClient(book, timeout=900, resources=place, record_timing=False, store_widget_state=False).execute()
    seconds = round(float(book.cells.pop().outputs[0].text))
    clean(book)
    book.metadata[KEY] = made_with(book) | {"seconds": seconds}
    return path.write_text(nbformat.writes(book) + "\n", encoding="utf-8")


def clean(book: NotebookNode) -> None:
    """Take out what a reader of the stored notebook has no use for: widget state, progress bars, times, paths, ids."""
    for name in set(book.metadata) - {"kernelspec", "language_info", KEY}:
        del book.metadata[name]
    book.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    for number, cell in enumerate(book.cells):
        cell["id"] = f"cell-{number:02d}"
        cell["metadata"] = {k: v for k, v in cell.metadata.items() if k in KEPT_METADATA}
        if cell.cell_type == "code":
            cell["outputs"] = [
                _without_traces(output)
                for output in cell.outputs
                # The text of tqdm's bar begins "reading clips: 100%|".
                if not (WIDGET_VIEW in output.get("data", {}) and "%|" in output.data.get("text/plain", ""))
                # The log of kaleido's channel to Chromium is this tool's doing, not the notebook's.
                and not (output.get("name") == "stderr" and "choreographer" in output.get("text", ""))
                and (output.output_type != "display_data" or any(output.data.values()))
            ]


def _without_traces(output: NotebookNode) -> NotebookNode:
    data = output.get("data", {})
    if WIDGET_VIEW in data and "text/plain" in data:
        # A FigureWidget's text is its whole data; the class says enough.
        data["text/plain"] = re.match(r"[\w.]*", data["text/plain"])[0] + "(...)"
    data |= {kind: _without_paths(text) for kind, text in data.items() if kind.startswith("text/")}
    output |= {kind: _without_paths(text) for kind, text in output.items() if kind == "text"}
    data.get("application/vnd.plotly.v1+json", {}).get("config", {}).pop("plotlyServerURL", None)
    if "image/png" in data:
        data["image/png"] = _smaller(data["image/png"])
    if "metadata" in output:
        output["metadata"] = {}
    return output


def _smaller(encoded: str) -> str:
    """A base64 PNG on white and packed tightly; a large one is kept in 256 colours, a third of the bytes."""
    picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    flat = Image.new("RGB", picture.size, "white")
    flat.paste(picture, mask=picture.getchannel("A") if "A" in picture.getbands() else None)
    stream = io.BytesIO()
    flat.save(stream, "PNG", optimize=True)
    if stream.tell() > MOST_OF_A_PICTURE:
        stream = io.BytesIO()
        few = flat.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def _without_paths(text: str) -> str:
    text = text.replace(f"{REPOSITORY}{os.sep}", "").replace(str(REPOSITORY), ".")
    return text.replace(str(Path.home()) + os.sep, f"~{os.sep}")


if __name__ == "__main__":
    sys.exit(main())
