"""The object cache on disk: hits only where equal, survives damage, never in the way."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from mlir_lite.backends.code_cache import CodeCache, default_cache
from mlir_lite.backends.llvm.machine.jit import compile_objects
from mlir_lite.backends.llvm.machine.machine import Machine

TEXT = "define i64 @f() {\n  ret i64 1\n}\n"
OTHER = "define i64 @f() {\n  ret i64 2\n}\n"
MACHINE = Machine.named("haswell")
CODE = bytes(range(256)) * 8


@pytest.fixture
def cache(tmp_path: Path) -> CodeCache:
    return CodeCache(tmp_path / "cache")


def only_file(cache: CodeCache) -> Path:
    [path] = cache.folder.iterdir()
    return path


def test_what_is_put_is_got_by_another_object(cache: CodeCache) -> None:
    cache.put(TEXT, MACHINE, CODE)
    assert CodeCache(cache.folder).get(TEXT, MACHINE) == CODE


@pytest.mark.parametrize(
    "machine",
    [
        Machine("aarch64-unknown-linux-gnu", MACHINE.cpu, MACHINE.features),
        Machine(MACHINE.triple, "znver5", MACHINE.features),
        Machine(MACHINE.triple, MACHINE.cpu, "-avx2"),
    ],
)
def test_another_machine_misses(cache: CodeCache, machine: Machine) -> None:
    cache.put(TEXT, MACHINE, CODE)
    assert cache.get(TEXT, machine) is None


def test_another_llvm_misses(cache: CodeCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put(TEXT, MACHINE, CODE)
    monkeypatch.setattr("mlir_lite.backends.llvm.machine.machine.llvm_version", lambda: "0.0.0")
    assert cache.get(TEXT, MACHINE) is None


def test_an_entry_under_the_wrong_key_misses(cache: CodeCache) -> None:
    cache.put(TEXT, MACHINE, CODE)
    path = only_file(cache)
    cache.put(OTHER, MACHINE, b"other")
    [other] = [file for file in cache.folder.iterdir() if file != path]
    other.write_bytes(path.read_bytes())
    assert cache.get(OTHER, MACHINE) is None


def flipped(position: int) -> Callable[[bytes], bytes]:
    """A damage: the bits of one byte turned over."""

    def damage(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[position] ^= 0xFF
        return bytes(changed)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data + b"x",
        flipped(0),
        flipped(30),
        flipped(-1),
        flipped(-len(CODE) - 5),
        lambda data: data[:17] + b"{}\n",
        lambda data: data[:17] + b"[1]\n",
    ],
)
def test_a_damaged_entry_is_ignored_and_replaced(
    cache: CodeCache, damage: Callable[[bytes], bytes]
) -> None:
    cache.put(TEXT, MACHINE, CODE)
    path = only_file(cache)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get(TEXT, MACHINE) is None
    cache.list()
    cache.put(TEXT, MACHINE, CODE)
    assert cache.get(TEXT, MACHINE) == CODE


def test_a_folder_that_cannot_be_made_warns_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    cache = CodeCache(tmp_path / "file" / "cache")
    host = Machine.host()
    with caplog.at_level(logging.WARNING, "mlir_lite"):
        first, second = compile_objects([TEXT, OTHER], host, cache=cache, workers=1)
    assert first and second
    assert cache.get(TEXT, host) is None
    assert cache.list() == ()
    assert cache.clear() == 0
    assert len(caplog.records) == 1
    assert "is not cached" in caplog.text


def test_the_longest_unused_goes_first(cache: CodeCache) -> None:
    for age, text in ((300, TEXT), (200, OTHER)):
        known = set(cache.folder.iterdir()) if cache.folder.exists() else set()
        cache.put(text, MACHINE, CODE)
        [path] = set(cache.folder.iterdir()) - known
        os.utime(path, (time.time() - age, time.time() - age))
    assert cache.get(TEXT, MACHINE) == CODE  # used now, so the other is the oldest
    size = max(entry.size for entry in cache.list())
    small = CodeCache(cache.folder, capacity=2 * size + 50)
    small.put(TEXT + "\n", MACHINE, CODE)
    assert small.get(OTHER, MACHINE) is None
    assert small.get(TEXT, MACHINE) == CODE
    assert small.get(TEXT + "\n", MACHINE) == CODE


def test_an_object_beyond_the_capacity_evicts_nothing(cache: CodeCache) -> None:
    cache.put(TEXT, MACHINE, b"small")
    capacity = cache.list()[0].size + 100
    CodeCache(cache.folder, capacity=capacity).put(OTHER, MACHINE, CODE)
    assert cache.get(TEXT, MACHINE) == b"small"
    assert cache.get(OTHER, MACHINE) is None


def test_all_files_are_looked_at_only_where_they_may_be_too_many(
    cache: CodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put(TEXT, MACHINE, CODE)
    small = CodeCache(cache.folder, capacity=4 * cache.list()[0].size + 50)
    looks = mock.Mock(wraps=os.scandir)
    monkeypatch.setattr(os, "scandir", looks)
    counts = []
    for number in range(6):
        small.put(f"; {number}\n", MACHINE, CODE)
        counts.append(looks.call_count)
    assert counts == [1, 1, 1, 2, 3, 4]  # what others have, then at the capacity
    assert len(small.list()) == 4


def test_what_a_dead_writer_left_is_swept(cache: CodeCache) -> None:
    cache.folder.mkdir()
    old, young = cache.folder / ".writing-old", cache.folder / ".writing-young"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    cache.put(TEXT, MACHINE, CODE)
    assert not old.exists()
    assert young.exists()


def test_list_and_clear(cache: CodeCache) -> None:
    cache.put(TEXT, MACHINE, CODE)
    cache.put(OTHER, MACHINE, CODE)
    entries = cache.list()
    assert len(entries) == 2
    assert {entry.parts["cpu"] for entry in entries} == {"haswell"}
    assert sum(entry.size for entry in entries) == sum(
        path.stat().st_size for path in cache.folder.iterdir()
    )
    assert cache.clear() == 2
    assert cache.list() == ()


def test_a_miss_on_an_empty_cache_says_so(cache: CodeCache) -> None:
    assert str(cache.explain(TEXT, MACHINE)) == "miss: the cache is empty"


def test_a_hit_is_explained(cache: CodeCache) -> None:
    cache.put(TEXT, MACHINE, CODE)
    explanation = cache.explain(TEXT, MACHINE)
    assert explanation.hit
    assert explanation.differing == ()


def test_a_miss_names_the_part_that_differs(cache: CodeCache) -> None:
    cache.put(TEXT, MACHINE, CODE)
    explanation = cache.explain(TEXT, Machine.named("znver5"))
    assert not explanation.hit
    assert explanation.differing == ("cpu",)
    assert "cpu: 'haswell' there, 'znver5' here" in str(explanation)


def test_a_miss_shows_the_first_line_that_differs(cache: CodeCache) -> None:
    cache.put("; nothing alike\n", MACHINE, CODE)
    cache.put(TEXT, MACHINE, CODE)
    explanation = cache.explain(OTHER, MACHINE)
    assert explanation.differing == ("text",)
    assert "line 2 is '  ret i64 1' there, '  ret i64 2' here" in str(explanation)


def test_the_folder_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLIR_LITE_CACHE_DIR", str(tmp_path / "mine"))
    assert default_cache().folder == tmp_path / "mine"
    assert default_cache() is default_cache()
    monkeypatch.delenv("MLIR_LITE_CACHE_DIR")
    assert default_cache().folder.name == "mlir-lite"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_share_a_folder(cache: CodeCache) -> None:
    """Four processes write, evict and read the same entries; each read is whole or nothing."""
    texts = [f"; text {index}\n" for index in range(6)]
    small = CodeCache(cache.folder, capacity=4 * (len(CODE) + 600))

    def use(seed: int) -> int:
        for turn in range(60):
            text = texts[(turn * (seed + 1)) % len(texts)]
            small.put(text, MACHINE, CODE + text.encode())
            found = small.get(texts[turn % len(texts)], MACHINE)
            if found not in (None, CODE + texts[turn % len(texts)].encode()):
                return 1
        return 0

    use(0)
    children = []
    for seed in range(4):
        child = os.fork()
        if child == 0:
            status = 2
            try:
                status = use(seed)
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert not [path for path in cache.folder.iterdir() if path.name.startswith(".")]
