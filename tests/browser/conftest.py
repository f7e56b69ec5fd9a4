"""A JupyterLab server, a Chromium, and pages that may not leave the machine."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from chromium_here import CHROMIUMS, find_chromium, launched
from lab_page import PATIENCE_MS, LabPage
from lab_server import REPOSITORY, LabServer, serve_lab
from playwright.sync_api import Browser, Page, expect

expect.set_options(timeout=PATIENCE_MS)  # a picture may come before its words

HERE = {"127.0.0.1", "localhost"}


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's executable; without one the browser tests are skipped."""
    found = find_chromium()
    if found is None:
        pytest.skip(f"no Chromium found (looked for {', '.join(CHROMIUMS)}); install one to run the browser tests")
    return found


@pytest.fixture(scope="session")
def lab_server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """A JupyterLab that serves copies of the notebooks; its kernels import what the tests import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REPOSITORY / "tests"), prepend=os.pathsep)
        with serve_lab(tmp_path_factory.mktemp("lab")) as server:
            yield server


# One browser a module, not one a session: while playwright runs, its event loop is the thread's running one, which the
# notebook tests that may follow in the same process could not bear.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where screenshots go; git ignores it."""
    return REPOSITORY / "screenshots"


@pytest.fixture
def outside() -> list[str]:
    """Requests to other machines; they were stopped."""
    return []


@pytest.fixture
def guarded_page(browser: Browser, outside: list[str]) -> Iterator[Page]:
    """A page whose requests to other machines are stopped and listed in `outside`."""

    def leaves(url: str) -> bool:
        parts = urlsplit(url)
        away = parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname not in HERE
        outside.extend([url] * away)
        return away

    context = browser.new_context(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
    context.route("**/*", lambda route: route.abort() if leaves(route.request.url) else route.continue_())
    page = context.new_page()
    page.on("websocket", lambda socket: leaves(socket.url))
    page.set_default_timeout(PATIENCE_MS)
    yield page
    context.close()


@pytest.fixture
def lab(guarded_page: Page, lab_server: LabServer, pictures: Path, outside: list[str]) -> Iterator[LabPage]:
    """A page with JupyterLab in it; the test fails if anything in it asks another machine for something."""
    yield LabPage(guarded_page, server=lab_server, pictures=pictures, outside=outside)
    lab_server.stop_kernels()
    assert not outside, f"requests that left the machine: {outside}"
