"""The page components in marimo; runs where marimo is installed."""

import pytest

marimo = pytest.importorskip("marimo")


def test_the_components_are_shown_by_marimo_and_their_traits_are_its_values():
    app = marimo.App()

    @app.cell
    def _():
        import marimo as mo
        from sample_records import sample_clips, sample_embedding, sample_features

        from medn_lab.widgets import BranchExplorer, ClipPlayer

        clips = sample_clips(n=12)
        explorer = BranchExplorer(sample_embedding(sample_features(clips)), clips=clips)
        player = ClipPlayer(clips)
        maps, faces = mo.ui.anywidget(explorer.branch_maps), mo.ui.anywidget(player.view)
        return explorer, faces, maps, player

    _, shown = app.run()
    assert all("marimo-anywidget" in shown[name].text for name in ("maps", "faces"))
    assert shown["faces"].value["magnify"] == shown["player"].view.magnify
    assert shown["maps"].widget is shown["explorer"].branch_maps
