"""The folder in which made and fetched data are kept, so that they need not be made or fetched again."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """$SPIKELOOM_CACHE, or else the folder "spikeloom" where the platform keeps data that can be made again.

    That is $XDG_CACHE_HOME or ~/.cache on Linux, ~/Library/Caches on macOS and %LOCALAPPDATA% on Windows. The folder
    need not exist. Everything in it may be deleted at any time.
    """
    if chosen := os.environ.get("SPIKELOOM_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "spikeloom"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "spikeloom" / "cache"
    folder = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification says that relative paths are to be ignored.
    return (folder if folder.is_absolute() else Path.home() / ".cache") / "spikeloom"


def canonical(settings: Mapping[str, Any]) -> str:
    """Settings (plain values) as one line of JSON, the same for every order of its keys.

    Example:
        >>> canonical({"b": (1, 2), "a": 0.5})
        '{"a": 0.5, "b": [1, 2]}'
    """
    return json.dumps(settings, sort_keys=True)


def cache_place(kind: str, settings: Mapping[str, Any], ending: str) -> Path:
    """The file in the cache for data made with some settings; other settings have another file.

    Args:
        kind: Kind of data; a folder of that name holds it.
        settings: Everything that the data depend on, as plain values.
        ending: Ending of the file, with the dot.
    """
    return cache_folder() / kind / (hashlib.sha256(canonical(settings).encode()).hexdigest()[:16] + ending)
