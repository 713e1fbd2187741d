"""Shared fixtures; shape annotations of the package are checked while the tests run."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# One thread a worker: the suite runs two workers on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_hook = install_import_hook("spikeloom", "beartype.beartype")


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder of the real recordings, or skip: they are not part of the project."""
    folder = Path(os.environ.get("SPIKELOOM_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}; set SPIKELOOM_TEST_DATA to the folder that holds them")
    return folder
