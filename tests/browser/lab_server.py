"""A JupyterLab of the tests' own: fresh configuration, free port, copies of the notebooks, no way off the machine."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class LabServer:
    """A running JupyterLab: its address, and the folder that it serves."""

    url: str
    root: Path

    def ask(self, path: str, *, method: str = "GET") -> bytes:
        """The answer of Jupyter's REST interface."""
        request = urllib.request.Request(f"{self.url}/api/{path}", method=method)
        with DIRECT.open(request, timeout=30) as answer:
            return answer.read()

    def stop_kernels(self) -> None:
        """End every notebook's kernel, so that a finished test holds no memory."""
        for session in json.loads(self.ask("sessions")):
            self.ask(f"sessions/{session['id']}", method="DELETE")


@contextmanager
def serve_lab(folder: Path) -> Iterator[LabServer]:
    """Serve JupyterLab from `folder` with copies of the repository's notebooks; committed files do not change."""
    root = folder / "root"
    shutil.copytree(REPOSITORY / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".*"))
    (root / "pretrained").symlink_to(REPOSITORY / "pretrained", target_is_directory=True)
    settings = folder / "config/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"fetchNews": "false", "checkForUpdates": false}')  # Lab would ask its home page for news

    port = free_port()
    server = LabServer(f"http://127.0.0.1:{port}", root)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True"]
    command += ["--expose-app-in-browser", "--allow-root", "--LabApp.extension_manager=readonly"]
    with running(command, folder=folder, cwd=root, address=f"{server.url}/api/status"):
        yield server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command: list[str], *, folder: Path, cwd: Path, address: str) -> Iterator[None]:
    """A server's process, from when its address answers until the block ends."""
    log = folder / "server.log"
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment(folder), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
            start_new_session=True,
        )  # fmt: skip
    try:
        for _ in range(600):
            if process.poll() is not None:
                break
            try:
                DIRECT.open(address, timeout=10)
            except urllib.error.HTTPError:
                pass  # it answers
            except OSError:
                time.sleep(0.2)
                continue
            yield
            return
        raise RuntimeError(f"the server did not come up; its log ends:\n{log.read_text()[-3000:]}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def environment(folder: Path) -> dict[str, str]:
    """The kernels' and the server's environment: nothing of the user's configuration, and proxies that lead nowhere."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTEST"))}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    direct = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost")
    places = {f"JUPYTER_{kind.upper()}_DIR": str(folder / kind) for kind in ("config", "data", "runtime")}
    places |= {"JUPYTER_PREFER_ENV_PATH": "1", "IPYTHONDIR": str(folder / "ipython"), "HF_HUB_OFFLINE": "1"}
    return ours | proxies | direct | places
