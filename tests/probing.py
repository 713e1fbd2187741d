"""Files are tried as the package tries them, by children of one process that has its imports behind it.

The package starts a process for each file, which takes 0.3 to 0.7 s, nearly all of it imports.
"""

import atexit
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

from spikeloom.data.formats.storage import guard


class Prober:
    """A process that forks for each file. It is started for the first one."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None

    def __call__(self, path: Path) -> subprocess.CompletedProcess[bytes]:
        """What the process that tries the file wrote, and how it ended."""
        if self._server is None or self._server.poll() is not None:
            self._server = subprocess.Popen(
                [sys.executable, "-P", __file__],
                env=guard._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            atexit.register(self._server.kill)
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(str(path.absolute())).encode() + b"\n")
        self._server.stdin.flush()
        status, output = json.loads(self._server.stdout.readline())
        return subprocess.CompletedProcess([], status, output.encode())


def serve() -> None:
    """Try the files that are named on standard input; answer with the status and the output of each child."""
    import h5py  # noqa: F401
    import scipy.io.matlab  # noqa: F401

    from spikeloom.data.formats.storage import probe

    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writer, 1)
            probe._STARTED = 0.0  # of this process, which has computed nothing yet
            status = 1
            with contextlib.suppress(BaseException):
                probe.main([json.loads(line)])
                status = 0
            os._exit(status)
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            output = file.read().decode()
        _, ended = os.waitpid(child, 0)
        print(json.dumps([os.waitstatus_to_exitcode(ended), output]), flush=True)


if __name__ == "__main__":
    serve()
