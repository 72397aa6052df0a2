"""Files: loads from CSV, npy and JSON."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from ..sizes import as_load


def read_load(path: str | Path) -> np.ndarray:
    """Loads [layers, experts] from a file.

    Parameters
    ----------
    path : str or Path
        .csv: a line per layer, a number per expert; a first line without numbers is skipped. .npy: an array.
        .json: a list of lists of numbers, or an object that has it as "load", such as a plan's.
        Another ending, and a file that does not hold loads, raise a ValueError that says where.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "loads.csv")
    ...     _ = file.write_text("expert 0,expert 1\\n90,10\\n20,60\\n")
    ...     read_load(file).tolist()
    [[90.0, 10.0], [20.0, 60.0]]
    """
    path = Path(path)
    readers = {".csv": _csv, ".npy": _npy, ".json": _json}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"loads are read from {', '.join(readers)} files; got {path.name}")
    return as_load(reader(path), name=path.name)


def _csv(path: Path) -> list[list[float]]:
    rows: list[list[float]] = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            for cells in reader:
                if not "".join(cells).strip() or (reader.line_num == 1 and not any(map(_is_number, cells))):
                    continue
                rows.append([float(cell) for cell in cells])
                if len(rows[-1]) != len(rows[0]):
                    raise ValueError(f"{len(rows[-1])} numbers, where the first layer has {len(rows[0])}")
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path.name}, line {reader.line_num}: {error}") from None
    if not rows:
        raise ValueError(f"{path.name} has no layers: they are one line each, numbers separated by commas")
    return rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path.name} is no npy file: {error}") from None


def _json(path: Path) -> object:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from None
    if isinstance(found, dict) and "load" not in found:
        raise ValueError(f'{path.name} has no "load"; it has {", ".join(found) or "nothing"}')
    return found["load"] if isinstance(found, dict) else found
