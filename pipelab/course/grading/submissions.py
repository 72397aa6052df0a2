"""Submissions for an assignment: each in one file or in a folder; many in a folder of such files and folders."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..assignments import Assignment

MOST_FILES, MOST_BYTES = 200, 20 << 20
_TABLE = ".csv"


@dataclass(frozen=True)
class Submission:
    """One student's files: their names in the folder where the code will run, and where they are now."""

    name: str
    files: Mapping[str, Path]

    @classmethod
    def at(cls, path: str | Path, assignment: Assignment) -> Submission:
        """A folder with all that is in it, or a file, whose name does not matter if the assignment has only one.

        FileNotFoundError: nothing is there. ValueError: it is not a submission for this assignment.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"{path} is not there")
        if path.is_dir():
            return cls(path.resolve().name, _inside(path))
        if path.suffix == _TABLE and assignment.table:
            return cls(path.stem, {path.name: path})
        if path.suffix == ".py":
            (wanted, *others) = assignment.files
            return cls(path.stem, {path.name if others and path.name in assignment.files else wanted: path})
        raise ValueError(f"{path.name} is no submission for {assignment.name}, which wants {_wanted(assignment)}")

    @cached_property
    def content(self) -> str:
        """A fingerprint of all files."""
        digest = hashlib.sha256()
        for name, file in sorted(self.files.items()):
            data = file.read_bytes()
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
        return digest.hexdigest()


def find_submissions(path: str | Path, assignment: Assignment) -> list[Path]:
    """The submissions in a folder, by name: every folder and every file in it that could be one.

    A folder that has a file of the assignment, or a table schedule*.csv, is itself one submission. ValueError: there
    is none.
    """
    path = Path(path)
    one = list(assignment.files) + (["schedule*.csv"] if assignment.table else [])
    if path.is_file() or any(file.is_file() for pattern in one for file in path.glob(pattern)):
        return [path]
    endings = {Path(name).suffix for name in assignment.files} | ({_TABLE} if assignment.table else set())
    seen = [each for each in sorted(path.iterdir()) if not each.name.startswith((".", "_"))]
    found = [each for each in seen if each.is_dir() or each.suffix in endings]
    if not found:
        raise ValueError(f"{path} has no submission for {assignment.name}, which wants {_wanted(assignment)}")
    return found


def _wanted(assignment: Assignment) -> str:
    files = [f"{file} with {' and '.join(functions)}" for file, functions in assignment.files.items()]
    return " and ".join(files) + (", or a CSV table" if assignment.table else "")


def _inside(folder: Path) -> dict[str, Path]:
    """All regular files but hidden ones and those that tools leave behind. Links are not followed."""
    files: dict[str, Path] = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        left_behind = any(part.startswith(".") or part == "__pycache__" for part in name.parts)
        if file.is_file() and not file.is_symlink() and not left_behind:
            files[name.as_posix()] = file
    if len(files) > MOST_FILES or sum(file.stat().st_size for file in files.values()) > MOST_BYTES:
        most = f"{MOST_FILES} files or {MOST_BYTES >> 20} MB"
        raise ValueError(f"{folder.name} has more than {most}: no submission is that large")
    return files
