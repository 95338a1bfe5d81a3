"""The wheel holds every file of the package once, built from the checkout or from the sdist."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("mlir_lite", "passes", "backends", "pyproject.toml", "README.md", "LICENSE")
SUFFIXES = {".py", ".typed", ".safetensors", ".txt"}


def package_files() -> set[str]:
    """What must be in a wheel: the package's files, those behind the links included."""
    found: set[str] = set()
    for folder, names, files in os.walk(ROOT / "mlir_lite", followlinks=True):
        names[:] = [name for name in names if name != "__pycache__"]
        inside = Path(folder).relative_to(ROOT)
        found |= {(inside / name).as_posix() for name in files if Path(name).suffix in SUFFIXES}
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, so that building leaves nothing in it."""
    copy = tmp_path_factory.mktemp("tree") / "mlir-lite"
    copy.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(source, copy / name)
    return copy


@pytest.fixture(scope="module")
def built(tree: Path) -> Iterator[Path]:
    """The folder with the wheel from the checkout, and below it sdist and the wheel from that."""
    output = tree.parent / "dist"
    for target, options in ((output, ["--wheel"]), (output / "both", [])):
        command = [sys.executable, "-m", "build", "--no-isolation", *options]
        done = subprocess.run(
            [*command, "--outdir", str(target), str(tree)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    yield output


@pytest.mark.parametrize("route", [".", "both"], ids=["checkout", "sdist"])
def test_wheel_holds_every_file_once(built: Path, route: str) -> None:
    (wheel,) = (built / route).glob("*.whl")
    assert wheel.name.endswith("py3-none-any.whl")
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert len(names) == len(set(names))
    assert set(names) == package_files()


def test_wheel_carries_licence_and_command(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    metadata = {name.split("/", 1)[1]: name for name in archive.namelist() if ".dist-info/" in name}
    assert archive.read(metadata["licenses/LICENSE"]) == (ROOT / "LICENSE").read_bytes()
    assert "mlir-lite = mlir_lite.cli:main" in archive.read(metadata["entry_points.txt"]).decode()


def test_sdist_holds_no_file_twice(built: Path) -> None:
    (sdist,) = (built / "both").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    inside = {name.split("/", 1)[1] for name in names if "/" in name}
    assert package_files() <= inside
    assert not any(name.startswith(("passes/", "backends/")) for name in inside)


def test_rooms_at_the_top_are_links() -> None:
    for name in ("passes", "backends"):
        link = ROOT / "mlir_lite" / name
        assert link.is_symlink()
        assert os.readlink(link) == f"../{name}"
