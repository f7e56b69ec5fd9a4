"""Colours, markers and the look that all figures share; text from data; names of AUs; figures on exported pages.

Jupyter draws a figure from plotly's JSON; ``jupyter nbconvert --to html`` drops that JSON and keeps HTML. Each figure
carries its data there compressed, and plotly.js stands once in a notebook, in the output of its first figure, so that
an exported page shows the figures without a network.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import zlib
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
from plotly.io.base_renderers import MimetypeRenderer
from plotly.offline import get_plotlyjs


def as_text(value: object) -> str:
    """What a figure shows of a name from data: its markup as text, its quotes as they are.

    plotly takes a few tags in titles, labels and hover boxes for markup, and ``&lt;``, ``&gt;`` and ``&amp;`` for the
    signs they stand for; ``&quot;`` it would show as it is written. Not for the inside of an HTML attribute.

    Examples
    --------
    >>> as_text('<b>"s01"</b>')
    '&lt;b&gt;"s01"&lt;/b&gt;'
    """
    return html.escape(str(value), quote=False)


# Ekman, Friesen and Hager: Facial Action Coding System, 2002.
AU_NAMES = {
    "AU1": "inner brow raiser", "AU2": "outer brow raiser", "AU4": "brow lowerer", "AU5": "upper lid raiser",
    "AU6": "cheek raiser", "AU7": "lid tightener", "AU9": "nose wrinkler", "AU10": "upper lip raiser",
    "AU11": "nasolabial deepener", "AU12": "lip corner puller", "AU13": "sharp lip puller", "AU14": "dimpler",
    "AU15": "lip corner depressor", "AU16": "lower lip depressor", "AU17": "chin raiser", "AU18": "lip pucker",
    "AU20": "lip stretcher", "AU22": "lip funneler", "AU23": "lip tightener", "AU24": "lip pressor",
    "AU25": "lips part", "AU26": "jaw drop", "AU27": "mouth stretch", "AU28": "lip suck", "AU43": "eyes closed",
    "AU45": "blink",
}  # fmt: skip


def au_name(au: str) -> str:
    """An AU with what FACS calls it.

    Examples
    --------
    >>> au_name("AU4"), au_name("AU99")
    ('AU4, brow lowerer', 'AU99')
    """
    return f"{au}, {AU_NAMES[au]}" if au in AU_NAMES else au


# Text and axes: contrast of 4.2 or more with white and with JupyterLab's dark background.
INK = "#7A7A7A"

# Grid lines and outlines.
FAINT = "rgba(128, 128, 128, 0.28)"

CLEAR = "rgba(0, 0, 0, 0)"
GREY = "#8E8E8E"
# The ring around the clip that is shown.
RING = "#FF9F1C"
# The ring around its confusable partner.
PARTNER_RING = "#22B8CF"

FONT_FAMILY = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', Arial, sans-serif"

# Colour and marker of each emotion.
EMOTIONS = {
    "happiness": ("#E09B00", "circle"), "disgust": ("#0B7A57", "square"), "repression": ("#2F66DD", "triangle-down"),
    "surprise": ("#C34BAA", "diamond"), "others": ("#979595", "x"), "anger": ("#E2553F", "triangle-up"),
    "fear": ("#7D55CC", "hexagon"), "sadness": ("#4AA3EA", "pentagon"), "contempt": ("#27B5A6", "bowtie"),
    "negative": ("#3F74E0", "triangle-down"), "positive": ("#D08F00", "circle"),
}  # fmt: skip
_ALIASES = {
    "happy": "happiness", "sad": "sadness", "other": "others", "angry": "anger", "disgusted": "disgust",
    "surprised": "surprise", "afraid": "fear", "repressed": "repression",
}  # fmt: skip

BRANCH_COLOURS = {"motion": "#13899E", "emotion": "#D8436B", "fused": "#8068B4"}

# For subjects, AU sets and everything else without a fixed colour; repeated with other markers when it runs out.
CATEGORY_COLOURS = (
    "#2F7FD0", "#E08214", "#0B7A57", "#C34BAA", "#B59A1B", "#4AB3D8", "#7D55CC", "#E2553F", "#7A8F2A", "#A0685A",
)  # fmt: skip

CATEGORY_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "hexagon", "star")

# The marker shapes as characters, for legends made of text.
SYMBOL_GLYPHS = {
    "circle": "●", "square": "■", "diamond": "◆", "triangle-up": "▲", "triangle-down": "▼", "x": "✖", "cross": "✚",
    "hexagon": "⬢", "pentagon": "⬟", "bowtie": "⧓", "star": "★", "circle-open": "○", "x-thin-open": "×",
}  # fmt: skip

# Dark to bright, even steps of lightness: the magnitude of motion.
MAGNITUDE_SCALE = ((0.0, "#1B0F3B"), (0.25, "#6A1E74"), (0.5, "#C0395E"), (0.75, "#F57F3A"), (1.0, "#FCF3A6"))

# White to deep blue: a share from 0 to 1.
SHARE_SCALE = ((0.0, "#F4F6F8"), (0.5, "#7FB2D9"), (1.0, "#0B4F8A"))


def emotion_style(emotion: object) -> tuple[str, str]:
    """Colour and marker of an emotion; a class without a fixed one gets those that its name alone chooses.

    Examples
    --------
    >>> emotion_style("Happy") == emotion_style(" happiness "), emotion_style("Other")
    (True, ('#979595', 'x'))
    """
    name = str(emotion).strip().lower()
    name = _ALIASES.get(name, name)
    number = zlib.crc32(name.encode())
    own = CATEGORY_COLOURS[number % len(CATEGORY_COLOURS)], CATEGORY_SYMBOLS[number % len(CATEGORY_SYMBOLS)]
    return EMOTIONS.get(name, own)


def emotion_colour(emotion: object) -> str:
    """The colour of an emotion, the same in every figure and widget.

    A class without a fixed colour gets one of `CATEGORY_COLOURS`, chosen by its name alone so that it never
    depends on which other classes are there.

    Parameters
    ----------
    emotion : str
        In any spelling that the data sets use; anything else is taken by its ``str``.

    Returns
    -------
    str
        As ``#rrggbb``.

    Examples
    --------
    >>> emotion_colour("surprise") == emotion_colour("Surprised")
    True
    """
    return emotion_style(emotion)[0]


def branch_colour(branch: str) -> str:
    """The colour of a branch, the same in every figure and widget.

    Parameters
    ----------
    branch : {"motion", "emotion", "fused"}

    Returns
    -------
    str
        As ``#rrggbb``.

    Raises
    ------
    KeyError
        If there is no such branch.

    Examples
    --------
    >>> branch_colour("motion") != branch_colour("emotion"), branch_colour("motion")
    (True, '#13899E')
    """
    return BRANCH_COLOURS[branch]


def category_style(place: int) -> tuple[str, str]:
    """Colour and marker of the category at `place`; ten colours first, then again with the next marker."""
    colour = CATEGORY_COLOURS[place % len(CATEGORY_COLOURS)]
    return colour, CATEGORY_SYMBOLS[place // len(CATEGORY_COLOURS) % len(CATEGORY_SYMBOLS)]


_AXIS: dict[str, Any] = dict.fromkeys(("gridcolor", "linecolor", "zerolinecolor", "tickcolor"), FAINT)
_AXIS |= {"automargin": False, "title": {"standoff": 8}}
# The look that all figures share: clear background, quiet grid, one font, readable on light and on dark.
LOOK = go.layout.Template(
    layout=go.Layout(
        font={"family": FONT_FAMILY, "size": 12, "color": INK}, paper_bgcolor=CLEAR, plot_bgcolor=CLEAR,
        title={"font": {"size": 14}, "x": 0, "xanchor": "left", "xref": "container", "pad": {"l": 12}},
        colorway=CATEGORY_COLOURS, xaxis=_AXIS, yaxis=_AXIS,
        legend={
            "orientation": "h", "bgcolor": CLEAR, "font": {"size": 12}, "itemsizing": "trace", "tracegroupgap": 0,
            "yref": "container", "y": 0, "yanchor": "bottom", "x": 0,
        },
        hoverlabel={"bgcolor": "#26292E", "bordercolor": "#26292E", "font": {"color": "#F4F4F4", "size": 12}},
        # plotly's bar offers to upload a figure, faces and all, to its makers' server.
        modebar={"bgcolor": CLEAR, "color": "#9A9A9A", "activecolor": RING, "remove": ["sendChartToCloud"]},
    )
)  # fmt: skip

RENDERER = "medn_lab_html"
MISSING = "This figure needs plotly.js, which the output of the notebook's first figure holds. Run all cells again."
_DRAW = """
document.querySelectorAll("[data-medn-figure]:not([data-medn-drawn])").forEach(async node => {
  node.dataset.mednDrawn = "";
  const unpack = text => new Response(new Blob([Uint8Array.from(atob(text), sign => sign.charCodeAt(0))]).stream()
    .pipeThrough(new DecompressionStream("gzip"))).text();
  const library = async () => {
    const packed = document.querySelector("script[data-medn-plotly]");
    if (!packed) throw MISSING;
    const node = document.createElement("script");
    node.text = "((define, module, exports) => {" + await unpack(packed.text) + "\\n})();";
    document.head.append(node);
  };
  try {
    if (document.readyState === "loading") await new Promise(done => addEventListener("DOMContentLoaded", done));
    if (!window.Plotly) await (window.mednPlotly ??= library());
    const { data, layout, config } = JSON.parse(await unpack(node.dataset.mednFigure));
    node.textContent = "";
    await window.Plotly.newPlot(node, data, layout, config);
  } catch (reason) { node.textContent = String(reason); }
});
""".replace("MISSING", json.dumps(MISSING))


class HtmlTwin(MimetypeRenderer):
    """Plotly's renderer of a figure as HTML that draws itself on a page without a network."""

    def __init__(self) -> None:
        self._carrier: dict[str, object] = {}  # shared by plotly's copies of a renderer

    def to_mimebundle(self, fig_dict: dict[str, Any]) -> dict[str, str]:
        """The figure under ``text/html``; plotly.js with a kernel's first figure, and where its cell is run again."""
        from IPython import get_ipython  # In Jupyter it is loaded; elsewhere it is not needed.

        message: dict[str, Any] = getattr(get_ipython(), "get_parent", dict)()
        run = message.get("header", {}).get("msg_id")
        cell = message.get("metadata", {}).get("cellId") or message.get("content", {}).get("code")
        page, layout = "", fig_dict.get("layout", {})
        if not self._carrier or (self._carrier["cell"] == cell and self._carrier["run"] != run):
            self._carrier.update(cell=cell, run=run)
            page = f'<script type="text/plain" data-medn-plotly>{_packed(get_plotlyjs())}</script>'
        data = _packed(pio.to_json({**fig_dict, "config": {"displaylogo": False}}, validate=False))
        size = f"width:{layout['width']}px" if layout.get("width") else "width:100%"
        size += f";height:{layout.get('height') or 450}px"
        page += f'<div data-medn-figure="{data}" style="{size}">Needs JavaScript.</div><script>{_DRAW}</script>'
        return {"text/html": page}


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


@cache
def keep_figures_in_html() -> None:
    """Add the HTML to what Jupyter stores of a figure, where plotly's renderer for Jupyter is the one in use."""
    pio.renderers[RENDERER] = HtmlTwin()
    if pio.renderers.default in ("plotly_mimetype", "vscode", "jupyterlab", "nteract"):  # JSON and nothing else
        pio.renderers.default += f"+{RENDERER}"


def room_for(labels: Iterable[str], *, size: int = 12) -> int:
    """Pixels for labels left of an axis; tags and all but the longest line do not count."""
    lines = [line for label in labels for line in re.sub(r"<(?!br)[^>]*>", "", label).split("<br>")]
    return 24 + round(0.55 * size * max(map(len, lines), default=0))


def wrapped(text: str, width: float, *, letter: float = 6.4) -> str:
    """An escaped text, which may hold tags, in lines of at most `width` pixels, with letters of this width."""
    lines = [""]
    for word in re.split(r" (?![^<>]*>)|(?=<br>)", text):
        longer = f"{lines[-1]} {word}".lstrip()
        fits = not lines[-1] or letter * len(re.sub("<[^>]*>", "", longer)) <= width
        lines = [*lines[:-1], longer] if fits and not word.startswith("<br>") else [*lines, word.removeprefix("<br>")]
    return "<br>".join(lines)


def finish(
    figure: go.Figure, *, width: int, body: float, title: str = "", subtitle: str = "", **margin: float
) -> go.Figure:
    """Give a figure the shared look, an explicit size so that nothing overflows, and its margins.

    Title and subtitle may hold plotly's tags, so that text from data must be escaped by the caller. `body` is the
    height of the plots. The margins ``l, r, t, b`` follow from the names of the lines, the title, the subtitle, the
    headings, the feet of the x axes and the legend where they are not given. The subtitle is wrapped. The figure is
    changed in place and returned.
    """
    keep_figures_in_html()
    subtitle = wrapped(subtitle, width - 28)
    above = ("paper", "domain")
    heads = [note.text for note in figure.layout.annotations if note.y == 1 and str(note.yref).endswith(above)]
    feet = [24.0]
    for axis in figure.select_xaxes():
        heads += axis.ticktext if axis.side == "top" else ()
        ticks = (room_for(axis.ticktext or ()) - 24) * abs(np.sin(np.radians(axis.tickangle or 0)))
        feet.append(28 + ticks + 20 * bool(axis.title.text))
    named = [str(trace.name) for trace in figure.data if trace.name and trace.showlegend is not False]
    lines = list(figure.layout.yaxis.ticktext or ())
    in_a_row = max(1, int((width - 28) // (56 + 7 * max(map(len, named), default=0))))  # as wide as the longest name
    legend = 17 * bool(named) + 19 * -(-len(named) // in_a_row)
    room = {"l": room_for(lines) if lines else 60, "r": 20, "b": max(feet) + legend}
    room["t"] = 50 + 17 * (subtitle.count("<br>") + bool(subtitle))
    room["t"] += 18 * max((1 + head.count("<br>") for head in heads), default=0)
    room |= margin
    height = round(body + room["t"] + room["b"])
    below = {"text": subtitle or None, "font": {"size": 12, "color": INK}}
    head = {"text": title, "y": 1 - 22 / height, "yanchor": "bottom", "subtitle": below}
    figure.update_layout(template=LOOK, width=width, height=height, margin=room, title=head)
    # Without a size, or with the one that make_subplots gives its titles:
    figure.update_annotations(font_size=13, selector=lambda note: note.font.size in (None, 16))
    return figure
