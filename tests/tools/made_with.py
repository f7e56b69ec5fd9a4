"""What a stored notebook's outputs were made with: the library's version and the weights that its cells name."""

import hashlib
import re
from pathlib import Path

from nbformat import NotebookNode

import medn_lab

PRETRAINED = Path(__file__).resolve().parents[2] / "pretrained"
KEY = "medn_lab"
"""Where it stands in the notebook's metadata."""

# A name may be put together in an f-string: what stands in braces can be anything.
_NAME = re.compile(r"(?:\w|\{[^{}]*\})+\.synthme_v(?:\d|\{[^{}]*\})+")
_BRACES = re.compile(r"\{[^{}]*\}")


def checkpoints_named(source: str, *, folder: Path = PRETRAINED) -> list[str]:
    """The shipped models that a text names, sorted.

    Examples
    --------
    >>> checkpoints_named('load_pretrained(f"medn_tiny{kind}.synthme_v2")')
    ['medn_tiny.synthme_v2', 'medn_tiny_coupled.synthme_v2', 'medn_tiny_orthogonal.synthme_v2']
    >>> checkpoints_named("no model is asked")
    []
    """
    shipped = [path.parent.name for path in folder.glob("*/model.safetensors")]
    wanted = [".*".join(map(re.escape, _BRACES.split(name))) for name in _NAME.findall(source)]
    if re.search(r"load_pretrained\(\s*\)", source):
        wanted.append(re.escape("medn_tiny.synthme_v2"))
    return sorted(name for name in shipped if any(re.fullmatch(pattern, name) for pattern in wanted))


def made_with(book: NotebookNode, *, folder: Path = PRETRAINED) -> dict[str, object]:
    """The version and, by name, the sha256 of each model's weights that the notebook's code names, as they are now."""
    code = "\n".join(cell.source for cell in book.cells if cell.cell_type == "code")
    named = checkpoints_named(code, folder=folder)
    sums = {name: hashlib.sha256((folder / name / "model.safetensors").read_bytes()).hexdigest() for name in named}
    return {"version": medn_lab.__version__, "checkpoints": sums}


def staleness(book: NotebookNode, *, folder: Path = PRETRAINED) -> list[str]:
    """A sentence for everything that has changed since the outputs were made."""
    stored, now = book.metadata.get(KEY), made_with(book, folder=folder)
    if stored is None:
        return ["nothing says what its outputs were made with: run make notebooks"]
    faults = []
    if stored["version"] != now["version"]:
        faults.append(f"its outputs are of medn_lab {stored['version']}, this is {now['version']}: run make notebooks")
    for name in sorted({*stored["checkpoints"], *now["checkpoints"]}):
        old, new = stored["checkpoints"].get(name), now["checkpoints"].get(name)
        if old != new:
            was, is_now = (one[:12] if one else "none" for one in (old, new))
            faults.append(f"its outputs are of other weights of {name} ({was}, now {is_now}): run make notebooks")
    return faults
