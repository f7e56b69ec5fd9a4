"""To be removed with its last user."""

import numpy as np
import plotly.graph_objects as go

from medn_lab.view.marks import Tile, tile


def add_picture(figure: go.Figure, row: int, column: int, picture: np.ndarray) -> None:
    """A picture in a panel."""
    tile(figure, Tile(picture), row=row, col=column)
