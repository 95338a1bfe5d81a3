"""What the factors of f32 products may be rounded to, by name."""

from __future__ import annotations

from ...errors import InputError, UnsupportedError, check
from ...target import Target

PRECISIONS = ("f32", "tf32", "bf16", "f16")
_OF_PROCESSORS = ("f32", "bf16")
_ALSO = {"fp32": "f32", "fp16": "f16"}


def named_precision(choice: str) -> str:
    """A precision by its name here; `InputError` for one that there is not."""
    choice = _ALSO.get(choice, choice)
    check(
        choice in PRECISIONS,
        f"there is no precision '{choice}'; there are {', '.join(PRECISIONS)}",
        InputError,
    )
    return choice


def check_precision(choice: str, target: Target) -> None:
    """`UnsupportedError` for a precision that only cards have."""
    check(
        target.gpu is not None or choice in _OF_PROCESSORS,
        f"{target.name} has no precision '{choice}': it has {' and '.join(_OF_PROCESSORS)}; cards "
        f"(cuda:sm_80 and later) have {', '.join(PRECISIONS)}",
        UnsupportedError,
    )
