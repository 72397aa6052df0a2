"""A real JupyterLab for tests: the running interpreter's, on loopback, apart from the user's own Jupyter settings.

Nothing is saved, and nothing stays behind: its kernels and what they have started end with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil

SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/notebook-extension/tracker": {
        "windowingMode": "none",  # every cell is in the page, seen or not
        "maxNumberOutputs": 500,
        "autoStartDefaultKernel": True,
        "kernelShutdown": False,
    },
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}


class Lab:
    """A JupyterLab server over a folder, for the length of a `with`. Its kernels end with it."""

    def __init__(self, folder: Path, start_timeout: float = 90) -> None:
        self.folder, self.start_timeout = folder, start_timeout
        self.token = secrets.token_hex(16)

    def __enter__(self) -> Lab:
        self._own = Path(tempfile.mkdtemp(prefix="pipelab-lab-"))
        for name, values in SETTINGS.items():
            file = self._own / "settings" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        folders = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
        env = {
            **{key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")},
            **{f"JUPYTER_{key}": str(self._own / value) for key, value in folders.items()},
            "JUPYTERLAB_SETTINGS_DIR": str(self._own / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self._own / "workspaces"),
            "IPYTHONDIR": str(self._own / "ipython"),
            "JUPYTER_PREFER_ENV_PATH": "1",
        }
        options = [
            "--no-browser",
            "--allow-root",
            "--expose-app-in-browser",
            f"--ServerApp.root_dir={self.folder}",
            f"--ServerApp.port={port}",
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={self.token}",
            "--LabApp.extension_manager=readonly",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            "--LabApp.news_url=None",
        ]
        with open(self._own / "log", "wb") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *options],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + self.start_timeout
        while time.monotonic() < end and self._server.poll() is None:
            with contextlib.suppress(OSError):
                self.api("GET", "status")
                return self
            time.sleep(0.1)
        log_text = (self._own / "log").read_text(errors="replace")[-3000:]
        self.__exit__()
        raise RuntimeError(f"JupyterLab did not start:\n{log_text}")

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self.end_kernels()
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(self._server.pid, signum)
                self._server.wait(10)
        shutil.rmtree(self._own, ignore_errors=True)

    def api(self, method: str, path: str) -> Any:
        """The server's answer to a call of its REST interface."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.url}/api/{path}", method=method, headers=headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as answer:
            return json.loads(answer.read() or "null")

    def restart_kernels(self) -> None:
        """What «Restart Kernel» does, for every kernel."""
        for kernel in self.api("GET", "kernels"):
            self.api("POST", f"kernels/{kernel['id']}/restart")

    def end_kernels(self) -> None:
        """What «Shut Down All Kernels» does."""
        for kernel in self.api("GET", "kernels"):
            self.api("DELETE", f"kernels/{kernel['id']}")

    def processes_of_kernels(self) -> set[psutil.Process]:
        """All that the kernels have started, and what those have started."""
        found: set[psutil.Process] = set()
        for kernel in psutil.Process(self._server.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended while it was asked
                found.update(kernel.children(recursive=True))
        return found

    def new_processes_of_kernels(
        self, besides: set[psutil.Process], count: int = 1, timeout: float = 60
    ) -> set[psutil.Process]:
        """Wait until there are so many besides those given; then all of them, those given among them."""
        end = time.monotonic() + timeout
        while len((now := self.processes_of_kernels()) - besides) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{count} new processes were to come; {len(now - besides)} came within {timeout} s")
            time.sleep(0.02)
        return now | besides
