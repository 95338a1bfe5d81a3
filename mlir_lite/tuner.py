"""The tuner: measures what the cost model only predicts, and makes a record of what is faster.

Each of the costliest pieces of a function is compiled again and again, with other answers to the
questions that the cost model asks on the way, and timed. Candidates come in the order of the
times that the model predicts for them, and first its own.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from .backends.base import Executable
from .backends.llvm.backend import cpu_target
from .errors import InputError, check
from .ir import Function
from .lowering import lower_for
from .options import Options
from .passes.fusion.pieces import Piece, pieces_of
from .passes.manager import run_passes, sample_inputs
from .passes.pipelines import Step, preparing_steps
from .passes.schedule.analysis import work_cycles
from .tuning import Choice, Tuning
from .types import Array

BLOCK_SECONDS = 0.002  # of calls: long against the clock, short against the machine's moods
ROUNDS = 5  # blocks of a candidate, each in turn with one of the best so far
HOPELESS = 1.3  # times the best: what is slower in its first block gets no second one
GAIN = 0.98  # of the best's time: what is not that much faster may be the same

Report: TypeAlias = "Callable[[Tuned], None]"


@dataclass(frozen=True)
class Tuned:
    """What tuning one piece gave; seconds a call, of the model's choices and of the best ones."""

    piece: Piece
    trials: int
    model_seconds: float
    seconds: float
    choices: tuple[Choice, ...]  # what to answer, where that is faster than the model's choices


def tune(
    fn: Function,
    target: str = "cpu",
    threads: int | None = None,
    *,
    trials: int = 200,
    kernels: int = 10,
    winograd: str | int = "auto",
    report: Report | None = None,
) -> Tuning:
    """Measure choices for the costliest `kernels` of a function on this machine, timing at most
    `trials` candidates in all, and give a record for `ml.compile(fn, tune=..)`.

    Trials are dealt out evenly; what one kernel does not need is left to those after it. `report`
    is told of each kernel when it is done. Raises `InputError` for a function of unknown sizes and
    `UnsupportedError` for a target that is not this machine.
    """
    check(trials > 0, f"at least one trial, not {trials}", InputError)
    check(kernels > 0, f"at least one kernel, not {kernels}", InputError)
    static = not fn.sizes and not fn.static
    check(static, f"@{fn.name} has named sizes; specialise it first", InputError)
    _, machine = cpu_target(target)
    tuner = _Tuner(target, threads, winograd)
    pieces = tuner.costliest(fn, min(kernels, trials))
    left = trials
    for number, piece in enumerate(pieces):
        tuned = tuner.tune(piece, left // (len(pieces) - number))
        left -= tuned.trials
        if report is not None:
            report(tuned)
    return Tuning(machine.cpu, tuple(sorted(tuner.found.values())))


@dataclass(frozen=True)
class _Question:
    problem: str
    question: str
    ranked: Mapping[str, float]
    answer: str

    def penalties(self) -> Iterable[tuple[Choice, float]]:
        """The other answers, and the logarithm of how much slower the model takes each to be."""
        least = min(self.ranked.values())
        for answer, cycles in self.ranked.items():
            if answer != self.answer:
                yield Choice(self.problem, self.question, answer), math.log(cycles / least)


@dataclass
class _Survey:
    """Answers like the model, but for the choices forced, and writes down what it is asked."""

    forced: Mapping[tuple[str, str], Choice]
    asked: dict[tuple[str, str], _Question] = field(default_factory=dict)

    def choose(self, problem: str, question: str, ranked: Mapping[str, float]) -> str:
        key = problem, question
        forced = self.forced.get(key)
        answer = next(iter(ranked)) if forced is None else forced.answer
        self.asked.setdefault(key, _Question(problem, question, ranked, answer))
        return answer


@dataclass(frozen=True)
class _Arrays:
    """The inputs and results of a piece, the same memory for all candidates: where its pages lie
    makes a difference of its own."""

    inputs: Sequence[Array]
    results: Sequence[Array]

    @staticmethod
    def of(fn: Function) -> _Arrays:
        types = fn.result_types
        results = tuple(np.zeros(type_.static_shape, type_.dtype.numpy) for type_ in types)
        return _Arrays(sample_inputs(fn), results)


@dataclass
class _Candidate:
    """Compiled code of a piece, its arrays, and its best time so far."""

    choices: tuple[Choice, ...]
    executable: Executable
    arrays: _Arrays
    seconds: float = math.inf
    calls: int = 1  # in a block

    @staticmethod
    def of(choices: tuple[Choice, ...], executable: Executable, arrays: _Arrays) -> _Candidate:
        made = _Candidate(choices, executable, arrays)
        made.time()
        made.calls = max(1, int(BLOCK_SECONDS / made.seconds))
        return made

    def time(self) -> float:
        """Time a block of calls; the first call, which warms the caches, does not count."""
        inputs, results = self.arrays.inputs, self.arrays.results
        self.executable(*inputs, out=results)
        start = time.perf_counter()
        for _ in range(self.calls):
            self.executable(*inputs, out=results)
        seconds = (time.perf_counter() - start) / self.calls
        self.seconds = min(self.seconds, seconds)
        return seconds

    def beats(self, best: _Candidate) -> bool:
        """Whether this is faster, by the best times of both, which take turns."""
        if self.time() > HOPELESS * best.seconds:
            return False
        # Of these rounds alone: the best one has had more chances of a quiet moment.
        times = [(self.time(), best.time()) for _ in range(ROUNDS)]
        return min(own for own, _ in times) < GAIN * min(other for _, other in times)


@dataclass
class _Waiting:
    """Candidates to try, as penalties, running numbers and choices; the least penalty first."""

    heap: list[tuple[float, int, tuple[Choice, ...]]] = field(default_factory=list)
    count: int = 0

    def add(self, asked: Sequence[_Question], forced: int, penalty: float) -> None:
        """Those that differ from a tried one in one of the answers after the `forced` ones."""
        for last, question in enumerate(asked[forced:], forced):
            before = tuple(map(_choice, asked[:last]))
            for choice, slower in question.penalties():
                self.count += 1
                heapq.heappush(self.heap, (penalty + slower, self.count, (*before, choice)))


@dataclass
class _Tuner:
    target: str
    threads: int | None
    winograd: str | int
    found: dict[tuple[str, str], Choice] = field(default_factory=dict)  # by problem and question

    def costliest(self, fn: Function, count: int) -> list[Piece]:
        """The pieces that leave something to choose and cost most by the model."""
        steps = (*preparing_steps(cpu_target(self.target)[0]), Step("constant-fold"))
        costs: list[tuple[float, Piece]] = []
        for piece in pieces_of(run_passes(fn, steps)):
            survey = _Survey({})
            program = lower_for(piece.function, self.target, self._options(survey))[3]
            cycles = sum(map(work_cycles, program.kernels)) * piece.count
            if survey.asked:
                costs.append((-cycles, piece))
        return [piece for _, piece in sorted(costs, key=lambda pair: pair[0])[:count]]

    def tune(self, piece: Piece, trials: int) -> Tuned:
        """Search for the best choices: the candidate that the model predicts to be the fastest of
        those left comes next. Each differs in the last of its choices from one that was tried."""
        arrays = _Arrays.of(piece.function)
        model, asked = self._compiled(piece.function, arrays, ())
        best, done = model, 1
        waiting = _Waiting()
        waiting.add(asked, 0, 0.0)
        while waiting.heap and done < trials:
            penalty, _, choices = heapq.heappop(waiting.heap)
            candidate, asked = self._compiled(piece.function, arrays, choices)
            waiting.add(asked, len(choices), penalty)
            done += 1
            if candidate.beats(best):
                best = candidate
        # Once more, from the beginning: of many candidates one wins by luck, too.
        model.seconds = best.seconds = math.inf
        if best is not model and best.beats(model):
            self.found |= {(choice.problem, choice.question): choice for choice in best.choices}
            return Tuned(piece, done, model.seconds, best.seconds, best.choices)
        model.time()
        return Tuned(piece, done, model.seconds, model.seconds, ())

    def _compiled(
        self, fn: Function, arrays: _Arrays, choices: tuple[Choice, ...]
    ) -> tuple[_Candidate, list[_Question]]:
        """A candidate with these choices, and the questions it answers, in order. What has been
        found for an earlier piece is no question."""
        forced = {(choice.problem, choice.question): choice for choice in choices}
        survey = _Survey(forced | self.found)
        backend, _, lowered, program, _ = lower_for(fn, self.target, self._options(survey))
        executable = backend.compile(
            program, lowered.constants, threads=self.threads, stages={}, seconds={}
        )
        asked = [asked for key, asked in survey.asked.items() if key not in self.found]
        answered = tuple(map(_choice, asked))
        return _Candidate.of(answered, executable, arrays), asked

    def _options(self, survey: _Survey) -> Options:
        return replace(Options(), winograd=self.winograd, tuning=survey)


def _choice(question: _Question) -> Choice:
    return Choice(question.problem, question.question, question.answer)
