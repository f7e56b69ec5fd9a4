"""A JupyterLab server, a Chromium, and pages that may not leave the machine."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from chromium_here import CHROMIUMS, FLAGS, find_chromium
from lab_page import PATIENCE_MS, LabPage
from lab_server import REPOSITORY, LabServer, serve_lab
from playwright.sync_api import Browser, BrowserContext, Route, expect, sync_playwright

expect.set_options(
    timeout=PATIENCE_MS
)  # What follows a gesture comes in its own time: the picture before its words, say.

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
    """A JupyterLab that serves copies of the notebooks."""
    with serve_lab(tmp_path_factory.mktemp("lab")) as server:
        yield server


# One browser a module, not one a session: while playwright runs, its event loop is the thread's running one, which the
# notebook tests that may follow in the same process could not bear.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where screenshots go; git ignores it."""
    folder = REPOSITORY / "screenshots"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def guarded_lab(browser: Browser, lab_server: LabServer, pictures: Path) -> Iterator[LabPage]:
    """A page whose requests to other machines are stopped and listed in ``outside``; `lab` also fails on them."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
    outside: list[str] = []
    _guard(context, outside)
    page = context.new_page()
    page.on("websocket", lambda socket: _note(socket.url, outside))
    page.set_default_timeout(PATIENCE_MS)
    try:
        yield LabPage(page, server=lab_server, pictures=pictures, outside=outside)
    finally:
        context.close()
        lab_server.stop_kernels()


@pytest.fixture
def lab(guarded_lab: LabPage) -> Iterator[LabPage]:
    """A page with JupyterLab in it; the test fails if anything in it asks another machine for something."""
    yield guarded_lab
    assert not guarded_lab.outside, f"requests that left the machine: {guarded_lab.outside}"


def _guard(context: BrowserContext, outside: list[str]) -> None:
    def decide(route: Route) -> None:
        if _note(route.request.url, outside):
            route.abort()
        else:
            route.continue_()

    context.route("**/*", decide)


def _note(url: str, outside: list[str]) -> bool:
    """Whether a request leaves the machine; if so it is written down."""
    parts = urlsplit(url)
    leaves = parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname not in HERE
    if leaves:
        outside.append(url)
    return leaves
