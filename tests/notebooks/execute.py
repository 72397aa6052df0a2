"""Execute notebooks as a reader would: `python tests/notebooks/execute.py [--in-place] NOTEBOOK ...`

A lesson runs in an empty temporary folder with the running interpreter's own kernel. In place, what is written is the
same from one execution to the next but for the outputs themselves: no timing, no local paths, no widget state.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # python3 is this environment's kernel; read when Jupyter is imported

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def execute(path: Path, cell_timeout: float = 90) -> tuple[NotebookNode, float]:
    """The notebook with its outputs, and the seconds it took, the kernel's start included; the file is not touched.

    Raises nbclient's CellExecutionError where a cell raises, and CellTimeoutError where one takes too long.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="pipelab-lesson-") as folder:
        env = {**os.environ, "IPYTHONDIR": str(Path(folder, ".ipython"))}  # not the user's start-up files
        client = NotebookClient(
            notebook,
            timeout=cell_timeout,
            kernel_name="python3",
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
            resources={"metadata": {"path": folder}},
            store_widget_state=False,
            record_timing=False,
            coalesce_streams=True,
        )
        start = time.monotonic()
        client.execute(env=env)
        return notebook, time.monotonic() - start


def tidy(notebook: NotebookNode) -> NotebookNode:
    """The notebook without what differs between machines and executions and no reader needs."""
    notebook.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        language_info={"name": "python"},
    )
    for index, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"cell-{index:02}")
        cell.metadata = NotebookNode({key: value for key, value in cell.metadata.items() if key == "tags"})
        for output in cell.get("outputs", ()):
            # A widget's model dies with the kernel, and Lab would say «model not found» in its place.
            if {"image/png", "text/html"} & set(output.get("data", {})):
                output.data.pop(WIDGET_VIEW, None)
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = smaller(output.data["image/png"])
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return notebook


def smaller(png: str) -> str:
    """A picture of a few flat colours needs no more than 256: a fourth of the bytes, to the eye the same."""
    file = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    picture.quantize(256, method=Image.Quantize.FASTOCTREE).save(file, "png", optimize=True)
    return min(png, base64.b64encode(file.getvalue()).decode(), key=len)


def main() -> int:
    parser = argparse.ArgumentParser(description="Execute notebooks and say how long each took.")
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--in-place", action="store_true", help="write the outputs into the files")
    parser.add_argument("--cell-timeout", type=float, default=90, help="seconds (default 90)")
    arguments = parser.parse_args()
    failed = 0
    for path in arguments.notebooks:
        try:
            notebook, seconds = execute(path, arguments.cell_timeout)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            failed += 1
            print(f"{path}: {type(error).__name__}\n{error}", file=sys.stderr)
            continue
        print(f"{path}: {seconds:.1f} s")
        if arguments.in_place:
            nbformat.write(tidy(notebook), path)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
