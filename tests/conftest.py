"""What all tests share: a cache folder of the session's own, so that no run sees another's; the
option that rewrites golden files."""

import gc
from collections.abc import Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden")


def pytest_collection_finish() -> None:
    """What was collected stays to the end: the garbage collector need not look at it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLIR_LITE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield
