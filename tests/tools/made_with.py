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


def checkpoints_named(source: str) -> list[str]:
    """The shipped models that a text names, sorted.

    Examples
    --------
    >>> checkpoints_named('load_pretrained(f"medn_tiny{kind}.synthme_v2")')
    ['medn_tiny.synthme_v2', 'medn_tiny_coupled.synthme_v2', 'medn_tiny_orthogonal.synthme_v2']
    >>> checkpoints_named("load_pretrained(); medn_unknown.synthme_v2")
    ['medn_tiny.synthme_v2']
    """
    shipped = [path.parent.name for path in PRETRAINED.glob("*/model.safetensors")]
    wanted = [".*".join(map(re.escape, _BRACES.split(name))) for name in _NAME.findall(source)]
    if re.search(r"load_pretrained\(\s*\)", source):
        wanted.append(re.escape("medn_tiny.synthme_v2"))
    return sorted(name for name in shipped if any(re.fullmatch(pattern, name) for pattern in wanted))


def made_with(book: NotebookNode) -> dict[str, object]:
    """The version and, by name, the sha256 of each model's weights that the notebook's code names, as they are now."""
    named = checkpoints_named("\n".join(cell.source for cell in book.cells if cell.cell_type == "code"))
    weights = {name: (PRETRAINED / name / "model.safetensors").read_bytes() for name in named}
    sums = {name: hashlib.sha256(held).hexdigest() for name, held in weights.items()}
    return {"version": medn_lab.__version__, "checkpoints": sums}


def staleness(book: NotebookNode) -> list[str]:
    """A sentence for everything that has changed since the outputs were made."""
    stored, faults = book.metadata.get(KEY, {}), []
    for what, now in made_with(book).items():
        if stored.get(what) != now:
            faults.append(f"its outputs are of the {what} {stored.get(what)}, now {now}: run make notebooks")
    return faults
