"""What a figure holds, for tests that judge it by its data: its texts, its traces and the embedded pictures."""

import base64
import io
import re

import numpy as np
import plotly.graph_objects as go
from PIL import Image


def words(figure: go.Figure) -> list[str]:
    """The texts of the annotations."""
    return [str(note.text) for note in figure.layout.annotations]


def texts(figure: go.Figure) -> str:
    """Annotations, title and subtitle as one line."""
    title = figure.layout.title
    return " ".join([*words(figure), str(title.text), str(title.subtitle.text)]).replace("<br>", " ")


def by_meta(figure: go.Figure, meta: str) -> go.Figure:
    """The only trace with this `meta`."""
    (trace,) = (trace for trace in figure.data if trace.meta == meta)
    return trace


def check_look(figure: go.Figure, title: str) -> None:
    """The figure has this title, and no type below 11 px."""
    assert str(figure.layout.title.text).startswith(f"<b>{title}</b>")
    sizes = re.findall(r'font-size:(\d+)px|font":\{[^{}]*"size":(\d+)', figure.to_json())
    assert min(int(one or other) for one, other in sizes) >= 11


def pictures(figure: go.Figure) -> list[np.ndarray]:
    """The embedded pictures, RGB, in the order in which they were placed."""
    sources = [trace.source for trace in figure.data if isinstance(trace, go.Image)]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one.split(",")[1]))).convert("RGB")) for one in sources]
