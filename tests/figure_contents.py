"""What a figure holds, for tests that judge a picture by its data: the words and the embedded pictures."""

from __future__ import annotations

import base64
import io

import numpy as np
import plotly.graph_objects as go
from PIL import Image


def words(figure: go.Figure) -> list[str]:
    """The texts of the annotations."""
    return [str(note.text) for note in figure.layout.annotations]


def pictures(figure: go.Figure) -> list[np.ndarray]:
    """The embedded pictures, RGB, in the order in which they were placed."""
    sources = [trace.source for trace in figure.data if isinstance(trace, go.Image)]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one.split(",")[1]))).convert("RGB")) for one in sources]
