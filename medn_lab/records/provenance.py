"""How a result came about: what was called, on which clips, by which versions, on what machine."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

# Whose versions are written down; those that are not installed are left out.
PACKAGES = ("medn-lab", "torch", "numpy", "opencv-python", "opencv-python-headless", "captum", "umap-learn")


def run_record(call: str, *, table: pd.DataFrame, **settings: Any) -> dict[str, Any]:
    """What must be known to make a result again, as JSON-ready values.

    Parameters
    ----------
    call : str
        The function's name.
    table : DataFrame
        The clips' table, of which the number and the ids' sha256 are kept.
    **settings
        The function's own arguments, JSON-ready.

    Returns
    -------
    dict
        ``call``, the settings, ``clips`` (``n``, ``sha256``), ``versions``, ``hardware`` (the system, and what kind of
        processor). No path and no name of the machine or its user is in it.

    See Also
    --------
    medn_lab.rerun

    Examples
    --------
    >>> kept = run_record("predict", table=pd.DataFrame({"clip_id": ["a", "b"]}))
    >>> kept["call"], kept["clips"]["n"], kept["clips"]["sha256"][:8], "torch" in kept["versions"]
    ('predict', 2, '7e18f737', True)
    """
    return {
        "call": call,
        **settings,
        "clips": {"n": len(table), "sha256": ids_sha256(table)},
        "versions": {"python": platform.python_version(), **_versions()},
        "hardware": dict(_hardware()),
    }


def ids_sha256(table: pd.DataFrame) -> str:
    """The sha256 of a table's clip ids in their order, by which a run record knows its clips.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id``.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> ids_sha256(pd.DataFrame({"clip_id": ["a", "b"]}))[:8]
    '7e18f737'
    """
    return hashlib.sha256("\n".join(table["clip_id"].astype(str)).encode()).hexdigest()


def describe_source(source: Mapping[str, Any]) -> str:
    """One line on how a result came about, for a record's ``repr``; empty where nothing is known.

    Examples
    --------
    >>> run = {"versions": {"medn-lab": "0.1.0", "torch": "2.13.0"}}
    >>> run["hardware"] = {"system": "Linux", "machine": "x86_64"}
    >>> source = {"name": "tiny", "sha256": "0123456789ab", "recipe": {"corpus": "SynthME", "seed": 4}, "run": run}
    >>> describe_source(source)
    'by tiny (01234567), medn_lab 0.1.0, torch 2.13.0, Linux x86_64, on SynthME seed 4'
    """
    run = source.get("run")
    if not run:
        return ""
    name, sha, recipe = source.get("name", ""), source.get("sha256", ""), source.get("recipe") or {}
    versions, hardware = run.get("versions", {}), run.get("hardware", {})
    model = f"{name} ({sha[:8]})" if isinstance(sha, str) and sha else str(name)
    facts = [f"by {model}"] if model else []
    facts += [f"seed {seed}" for part, seed in (source.get("training") or {}).items() if part == "seed"]
    facts += [f"medn_lab {versions.get('medn-lab', '?')}", f"torch {versions.get('torch', '?')}"]
    facts += [" ".join(str(hardware[part]) for part in ("system", "machine") if hardware.get(part))]
    facts += [str(run["device"])] if run.get("device", "cpu") != "cpu" else []
    if "corpus" in recipe and "seed" in recipe:
        facts.append(f"on {recipe['corpus']} seed {recipe['seed']}")
    elif recipe:
        digest = hashlib.sha256(json.dumps(dict(recipe), sort_keys=True, default=str).encode()).hexdigest()
        facts.append(f"recipe {digest[:8]}")
    return ", ".join(filter(None, facts))


@cache
def _hardware() -> dict[str, Any]:
    """With the processor's name: of two of one kind, one may sum in wider steps and end on other digits."""
    cpus, processor = os.cpu_count(), platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        named = (
            line.partition(":")[::2] for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        )
        processor = next((name.strip() for key, name in named if key.startswith("model name")), processor)
    return {"system": platform.system(), "machine": platform.machine(), "cpus": cpus, "processor": processor}


@cache  # a process keeps its packages, and every prediction reads them
def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            # What is loaded may be newer than what was installed: an editable checkout has another version.
            found[name] = sys.modules["medn_lab"].__version__ if name == "medn-lab" else version(name)
        except PackageNotFoundError:
            continue
    return found
