"""A folder in which nothing may be written (tests only)."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_rights = pytest.mark.skipif(os.name != "posix", reason="rights are another thing there")


@contextmanager
def read_only(fill: Callable[[Path], object] = lambda folder: None) -> Iterator[Path]:
    """The folder, once it is filled and closed for everybody; root is another user meanwhile."""
    root = Path(tempfile.mkdtemp(prefix="read_only_"))
    folder, user = root / "inside", os.geteuid()
    folder.mkdir()
    fill(folder)
    folder.chmod(0o555)
    root.chmod(0o755)
    try:
        if user == 0:
            os.seteuid(65534)
        yield folder
    finally:
        if user == 0:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(root)
