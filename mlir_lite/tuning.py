"""Records of measured choices: what the tuner found faster than what the cost model would take.

A record is an input of compilation, kept as a readable file:

    {
      "format": "mlir-lite tuning 1",
      "machine": "znver5",
      "choices": {
        "product 128x768x3072 f32 in panels of 64": {"tile": "6x4", "order": "panels first"}
      }
    }
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

from .errors import InputError, check

FORMAT = "mlir-lite tuning 1"
_KEYS = ("format", "machine", "choices")


class Choice(NamedTuple):
    """The answer to a question about a problem: `6x4` is the `tile` of `product 128x768x3072 f32`.

    Problems are told apart by all that the cost model sees of them, so that an answer that was
    possible for one stays so.
    """

    problem: str
    question: str
    answer: str


class Chooser(Protocol):
    """Who answers the questions that the cost model leaves open: a record, or the tuner."""

    def choose(self, problem: str, question: str, ranked: Mapping[str, float]) -> str:
        """One of the answers of `ranked`, which has the cycles that the model predicts for each,
        its favourite first."""


@dataclass(frozen=True)
class Tuning:
    """Choices measured on a machine (LLVM's name for it). Where there is none, the model's hold."""

    machine: str = ""
    choices: tuple[Choice, ...] = ()

    def choose(self, problem: str, question: str, ranked: Mapping[str, float]) -> str:
        """The recorded answer, else the model's; `InputError` for one that cannot be given."""
        answer = self._answers.get((problem, question))
        if answer is None:
            return next(iter(ranked))
        check(
            answer in ranked,
            f"the tuning record has '{answer}' as the {question} of '{problem}', which can be "
            f"{', '.join(ranked)}",
            InputError,
        )
        return answer

    @cached_property
    def _answers(self) -> Mapping[tuple[str, str], str]:
        return {(choice.problem, choice.question): choice.answer for choice in self.choices}

    def __str__(self) -> str:
        """The text of a record, by which `parse_tuning` gives this again."""
        tree: dict[str, dict[str, str]] = {}
        for problem, question, answer in sorted(self.choices):
            tree.setdefault(problem, {})[question] = answer
        record = dict(zip(_KEYS, (FORMAT, self.machine, tree), strict=True))
        return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def read_tuning(path: str | Path) -> Tuning:
    """The record in a file; `InputError` where it is none, naming the file and the place in it."""
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: a tuning record is UTF-8 text: {error}") from None
    return parse_tuning(text, str(path))


def parse_tuning(text: str, file: str = "<record>") -> Tuning:
    """The record of a text that came from this file; `InputError` as by `read_tuning`."""
    try:
        tree = json.loads(text, object_pairs_hook=_without_repetition)
    except json.JSONDecodeError as error:
        place = f"{file}:{error.lineno}:{error.colno}"
        raise InputError(f"{place}: a tuning record is JSON: {error.msg}") from None
    except RecursionError:
        raise InputError(f"{file}: a tuning record is not that deep") from None
    except _Repeated as error:
        raise InputError(f"{file}: the key '{error}' is there twice") from None
    record = _mapping(tree, file, "the record")
    check(
        record.get("format") == FORMAT,
        f"{file}: 'format' is {record.get('format')!r}, expected '{FORMAT}': make the record anew "
        "with `mlir-lite tune`",
        InputError,
    )
    strange = [key for key in record if key not in _KEYS]
    check(not strange, f"{file}: unknown key '{', '.join(strange)}'", InputError)
    machine = _text(record.get("machine"), file, "'machine'")
    problems = _mapping(record.get("choices"), file, "'choices'")
    return Tuning(machine, tuple(sorted(_choices(problems, file))))


def _choices(problems: Mapping[str, object], file: str) -> Iterable[Choice]:
    for problem, answers in problems.items():
        place = f"'choices' / '{problem}'"
        for question, answer in _mapping(answers, file, place).items():
            yield Choice(problem, question, _text(answer, file, f"{place} / '{question}'"))


def _mapping(tree: object, file: str, place: str) -> Mapping[str, object]:
    if not isinstance(tree, dict):
        raise InputError(f"{file}: {place} is {json.dumps(tree)}, expected an object {{..}}")
    return tree


def _text(tree: object, file: str, place: str) -> str:
    if not isinstance(tree, str):
        raise InputError(f"{file}: {place} is {json.dumps(tree)}, expected a string")
    return tree


class _Repeated(Exception):
    """A key that an object has twice."""


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    tree: dict[str, object] = {}
    for key, value in pairs:
        if key in tree:
            raise _Repeated(key)
        tree[key] = value
    return tree
