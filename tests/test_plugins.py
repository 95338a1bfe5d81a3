"""Plug-ins: a package beside this one adds a pass and a backend, as CONTRIBUTING says; what is
wrong with one is an error that names its package, and nobody looks for them in vain."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import InputError, UnsupportedError, Value, f32
from mlir_lite.cli import main
from mlir_lite.passes.pipelines import Step, parse_pipeline
from mlir_lite.target import Target

GUIDE = Path(__file__).parent.parent / "CONTRIBUTING.md"
TWICE = "func @f(%x: tensor<3xf32>) -> tensor<3xf32> {\n  %0 = negative %x : tensor<3xf32>\n"
TWICE += "  %1 = negative %0 : tensor<3xf32>\n  return %1\n}\n"


@ml.function(f32[4, 8], f32[8, 3])
def product(x: Value, w: Value) -> Value:
    return ml.relu(x @ w)


def install(folder: Path, name: str, entries: str, code: str) -> None:
    """A package as pip leaves it: a module, and metadata beside it."""
    metadata = folder / f"{name}-1.5.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    (metadata / "entry_points.txt").write_text(entries)
    (folder / f"{name}.py").write_text(code)


def passes(**entries: str) -> str:
    lines = (f"{name.replace('_', '-')} = {value}" for name, value in entries.items())
    return "\n".join(["[mlir_lite.passes]", *lines])


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def guide(site: Path) -> Path:
    """The package that CONTRIBUTING shows."""
    text = GUIDE.read_text()
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    toml = next(block for kind, block in blocks if kind == "toml")
    code = [block for kind, block in blocks if kind == "python"]
    (negatives,) = (block for block in code if "def fold_negatives" in block)
    (toy,) = (block for block in code if "def toy" in block)
    groups = tomllib.loads(toml)["project"]["entry-points"]
    entries = "\n".join(
        f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in listed.items())
        for group, listed in groups.items()
    )
    install(site, "my_plugin", entries, f"{negatives}\n{toy}")
    return site


def test_a_pass_is_named_in_a_pipeline(
    guide: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = guide / "f.mlir"
    model.write_text(TWICE)
    assert main(["opt", str(model), "--passes", "decompose,fold-negatives{fuel=2}"]) == 0
    assert "negative" not in capsys.readouterr().out
    assert main(["opt", str(model), "--pass-pipeline", "fold-negatives,cpu"]) == 0
    assert "negative" not in capsys.readouterr().out


def test_passes_and_targets_are_listed_with_their_package(
    guide: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["passes"])
    assert re.search(
        r"^fold-negatives +fuel=8 +Drop pairs of negations\. \[my_plugin 1\.5\]$",
        capsys.readouterr().out, re.MULTILINE,
    )  # fmt: skip
    main(["targets"])
    assert re.search(r"^toy +of 'my_plugin 1\.5'$", capsys.readouterr().out, re.MULTILINE)


def test_a_function_is_compiled_for_a_target_of_a_package(
    guide: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, w = np.ones((4, 8), "f4"), np.full((8, 3), 0.5, "f4")
    run = ml.compile(product, target="toy")
    assert np.array_equal(run(x, w), np.maximum(x @ w, 0))
    model = guide / "product.mlir"
    model.write_text(str(product))
    assert main(["compile", str(model), "--target", "toy:small"]) == 0
    assert "kernel @" in capsys.readouterr().out  # its last stage


def test_passes_of_packages_run_at_each_start(site: Path) -> None:
    """What is kept between runs is found by the names of passes, and theirs say nothing of what
    they do."""
    code = "seen = []\ndef note(fn):\n    seen.append(fn.name)\n    return fn\n"
    install(site, "noting", passes(note="noting:note"), code)
    steps = (Step("note"), *parse_pipeline("cpu", Target("cpu")))
    for _ in range(2):
        ml.compile(product, passes=steps)
    import noting  # type: ignore[import-not-found]  # made above

    assert noting.seen == ["product", "product"]


@pytest.mark.parametrize(
    ("code", "value", "message"),
    [
        ("import no_such_module", "broken:f", "No module named 'no_such_module'"),
        ("1 / 0", "broken:f", "ZeroDivisionError: division by zero"),
        ("", "broken:f", "has no attribute 'f'"),
        ("f = 3", "broken:f", "is no function"),
    ],
)
def test_one_that_does_not_load_is_named_with_its_package(
    site: Path, capsys: pytest.CaptureFixture[str], code: str, value: str, message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    install(site, "broken", passes(bad=value), code)
    with pytest.raises(InputError, match=f"the pass 'bad' of the package 'broken 1.5'.*{message}"):
        parse_pipeline("bad", Target("cpu"))
    assert main(["passes"]) == 0  # the others are listed all the same
    assert re.search(r"^bad +not to be had: .*broken 1\.5", capsys.readouterr().out, re.MULTILINE)
    monkeypatch.delitem(sys.modules, "broken", raising=False)


def test_a_name_that_is_taken_is_said_to_be(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = passes(fuse="greedy:f") + "\n[mlir_lite.backends]\ncpu = greedy:f"
    install(site, "greedy", entries, "def f(fn): return 1 / 0")
    assert parse_pipeline("fuse", Target("cpu"))[0].run(product) is not None
    for command in ("passes", "targets"):
        main([command])
        said = r"not to be had: the \w+ '(fuse|cpu)' of 'greedy 1\.5' is hidden"
        assert re.search(said, capsys.readouterr().out)


def test_two_packages_with_one_name_are_both_named(site: Path) -> None:
    for name in ("first", "second"):
        install(site, name, passes(tidy=f"{name}:f"), "def f(fn): return fn")
    with pytest.raises(InputError, match=r"'first 1\.5' and 'second 1\.5' both have a pass 'tidy'"):
        parse_pipeline("tidy", Target("cpu"))


def test_unknown_names_are_told_what_there_is(guide: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'fold-negatives'"):
        parse_pipeline("fold-negative", Target("cpu"))
    with pytest.raises(UnsupportedError, match="there are 'cpu', 'cuda', 'reference', 'toy'"):
        ml.compile(product, target="gpu")


def test_a_backend_that_is_none_is_an_error(site: Path) -> None:
    entries = "[mlir_lite.backends]\nempty = empty_one:make"
    install(site, "empty_one", entries, "def make(target): return 3")
    with pytest.raises(InputError, match=r"'empty_one 1\.5' has no target, compile, stage_texts"):
        ml.compile(product, target="empty")


def test_nobody_looks_for_plug_ins_where_all_names_are_known() -> None:
    code = (
        "import sys, numpy as np, mlir_lite as ml\n"
        "f = ml.function(ml.f32[3])(lambda x: ml.exp(x) + 1)\n"
        "ml.compile(f, threads=1)(np.ones(3, 'f4'))\n"
        "print('importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
