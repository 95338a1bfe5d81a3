"""Magika: the first and last bytes of a file -> probabilities of 214 content types."""

import inspect
import textwrap
from functools import partial

import llvmlite.binding as llvm
import numpy as np

from .case import Answer, Case, RealModel
from .corpus import ModelFile

BLOCK = 4096
SIDE = 1024
PADDING = 256
"""The token for "no byte here"; tokens 0..255 are bytes."""

ELF = 46
PYTHON = 143
"""Places in the list `target_labels_space` of the package's configuration."""

SCRIPT = b"""import sys


def main() -> None:
    print(len(sys.argv))


if __name__ == "__main__":
    main()
"""


def features(content: bytes) -> list[int]:
    """The first and the last kibibyte without outer white space, padded, as the package does."""
    first = list(content[:BLOCK].lstrip()[:SIDE])
    last = list(content[-BLOCK:].rstrip()[-SIDE:])
    return first + [PADDING] * (SIDE - len(first)) + [PADDING] * (SIDE - len(last)) + last


def object_file() -> bytes:
    """An ELF object, the same on every machine."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(
        "define float @square(float %x) {\n  %y = fmul float %x, %x\n  ret float %y\n}"
    )
    target = llvm.Target.from_triple("x86_64-unknown-linux-gnu")
    elf: bytes = target.create_target_machine().emit_object(module)
    return elf


def check_labels(answer: Answer, labels: tuple[int, ...]) -> None:
    (probability,) = answer.outputs
    assert tuple(probability.argmax(axis=1)) == labels
    assert probability.max(axis=1).min() > 0.9
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-5)


def case(name: str, contents: tuple[bytes, ...], *labels: int) -> Case:
    tokens = np.array([features(content) for content in contents], dtype=np.int32)
    return Case(name, {"bytes": tokens}, partial(check_labels, labels=labels))


MODEL = RealModel(
    name="magika",
    file=ModelFile(
        package="magika",
        version="1.0.3",
        member="magika/models/standard_v3_3/model.onnx",
        sha256="fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
        licence="Apache-2.0",
    ),
    cases=(
        case("script", (SCRIPT,), PYTHON),
        case(
            "batch",
            (inspect.getsource(textwrap).encode(), object_file(), SCRIPT),
            PYTHON,
            ELF,
            PYTHON,
        ),
    ),
)
