"""The frame around the commands: help, exit codes, errors."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mlir_lite.cli import COMMANDS

from .conftest import Cli


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Logging as it is before anyone asks for more."""
    logger = logging.getLogger("mlir_lite")
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)


def test_help_lists_every_command(cli: Cli) -> None:
    done = cli("--help")
    assert done.code == 0
    assert all(f"\n  {name} " in done.out for name in COMMANDS)


def test_no_command_is_wrong_usage_and_shows_the_help(cli: Cli) -> None:
    done = cli()
    assert done.code == 2
    assert "commands:" in done.err


def test_unknown_command_is_wrong_usage(cli: Cli) -> None:
    done = cli("optimise")
    assert done.code == 2
    assert "invalid choice: 'optimise'" in done.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_says_what_it_does(cli: Cli, name: str) -> None:
    done = cli(name, "--help")
    assert done.code == 0
    assert done.out.startswith(f"usage: mlir-lite {name} ")
    assert len(done.out.split("\n\n")[1]) > 20


def test_help_loads_no_compiler() -> None:
    code = "import sys, mlir_lite.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: pass\n"
    listing = subprocess.run(
        [sys.executable, "-c", f"{code}print('LOADED', *sys.modules)"],
        capture_output=True, text=True, check=True,
    ).stdout.split("LOADED")[1].split()  # fmt: skip
    assert {"llvmlite", "networkx", "mlir_lite.ops", "mlir_lite.driver"}.isdisjoint(listing)


def test_error_is_one_paragraph_without_traceback(cli: Cli, chain: Path) -> None:
    done = cli("opt", chain, "--passes", "no-such-pass")
    assert done.code == 1
    assert done.out == ""
    assert done.err.startswith("mlir-lite: error: there is no pass 'no-such-pass'; there are ")
    assert done.err.count("\n") == 1


def test_debug_log_shows_the_traceback(
    cli: Cli, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLIR_LITE_LOG", "debug")
    done = cli("opt", chain, "--passes", "no-such-pass")
    assert "Traceback (most recent call last)" in done.err
    assert done.err.count("mlir-lite: error: ") == 1


def test_wrong_variable_is_an_error(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIR_LITE_LOG", "loud")
    done = cli("env")
    assert done.code == 1
    assert "MLIR_LITE_LOG must be one of debug, info, warning, error, got 'loud'" in done.err


def test_missing_file_is_an_error(cli: Cli, tmp_path: Path) -> None:
    done = cli("opt", tmp_path / "none.mlir")
    assert done.code == 1
    assert done.err == f"mlir-lite: error: {tmp_path / 'none.mlir'}: No such file or directory\n"


def test_a_file_that_cannot_be_written_is_named(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "f.mlir"
    path.write_text("func @f(%x: tensor<2xf32>) -> tensor<2xf32> {\n  return %x\n}\n")
    done = cli("opt", path, "-o", tmp_path / "none" / "out.mlir")
    assert done.code == 1
    target = tmp_path / "none" / "out.mlir"
    assert done.err == f"mlir-lite: error: cannot write '{target}': No such file or directory\n"


def test_parse_error_shows_the_place(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "bad.mlir"
    path.write_text("func @f(%x: tensor<2xf32>) -> tensor<2xf32> {\n  return %y\n}\n")
    done = cli("opt", path)
    assert done.code == 1
    assert f"{path}:2:10: " in done.err
    assert "^~" in done.err


def test_reader_that_goes_away_is_no_traceback(chain: Path) -> None:
    command = f"{sys.executable} -m mlir_lite ops | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("operation ")
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["run", "bench", "profile"])
def test_seeds_are_numbers_from_0_on(cli: Cli, chain: Path, command: str) -> None:
    done = cli(command, chain, "--random-inputs" if command == "run" else "--seed", "-1")
    assert done.code == 2
    assert "expected a number from 0 on, got '-1'" in done.err


def test_too_little_memory_is_an_error_without_traceback(cli: Cli, layer: Path) -> None:
    done = cli("run", layer, "--random-inputs", 0, "--shape", f"batch={10**15}")
    assert done.code == 1
    assert done.err.startswith("mlir-lite: error: there is not enough memory: ")


def test_results_go_through_links_and_into_what_is_no_file(
    cli: Cli, chain: Path, tmp_path: Path
) -> None:
    link, target = tmp_path / "link.mlir", tmp_path / "target.mlir"
    target.write_text("before")
    link.symlink_to(target)
    assert cli("opt", chain, "-o", link).code == 0
    assert link.is_symlink() and target.read_text().startswith("func @chain")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert cli("opt", chain, "-o", pipe).code == 0
    assert os.read(reader, 10) == b"func @chai"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_model_is_no_allocation_problem(cli: Cli, chain: Path) -> None:
    done = cli("plan", chain)
    assert done.code == 1
    assert f"`mlir-lite compile {chain} --emit plan`" in done.err


def test_a_file_without_functions_says_so(cli: Cli, tmp_path: Path) -> None:
    empty = tmp_path / "empty.mlir"
    empty.write_text("// nothing\n")
    assert cli("opt", empty).err == f"mlir-lite: error: {empty} holds no function\n"
