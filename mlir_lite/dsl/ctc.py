"""Connectionist temporal classification (Graves et al., 2006): the loss of unaligned sequences."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..errors import check
from ..ir import Operand, Value
from ..ops import (
    broadcast,
    clip,
    concat,
    expand_dims,
    gather_elements,
    greater,
    iota,
    less,
    logical_and,
    logsumexp,
    not_equal,
    reshape,
    stack,
    sum,
    where,
    zeros,
)
from ..ops.base.promote import as_value
from ..ops.shapes.slice import pad, slice_axis
from ..types import i64
from .control import scan

# The logarithm of an impossible event. It is finite, so that a difference of two is no NaN; no
# sequence of events that are possible comes near it.
_NEVER = -1e30


def ctc_loss(
    log_probs: Operand,
    targets: Operand,
    input_lengths: Operand,
    target_lengths: Operand,
    *,
    blank: int = 0,
    reduction: Literal["none", "mean", "sum"] = "mean",
    zero_infinity: bool = False,
) -> Value:
    """How unlikely targets are, summed over all their alignments to time; torch's `ctc_loss`.

    `log_probs (time, batch, classes)` are logarithms of probabilities, `targets (batch, labels)`
    integers without blanks, padded to the longest; the lengths, `(batch,)`, say how much of each
    counts. The mean is that of losses divided by the targets' lengths. Targets that do not fit into
    their time are impossible: their loss is infinite, or 0 with `zero_infinity`, and their gradient
    0 in any case.
    """
    scores = as_value(log_probs)
    labels, times, counts = (
        as_value(given).astype(i64) for given in (targets, input_lengths, target_lengths)
    )
    check(scores.rank == 3, f"log_probs are (time, batch, classes), not {scores.type}")
    batch = scores.shape[1]
    check(labels.rank == 2 and labels.shape[0] == batch, f"targets of {labels.type}")
    lengths = (times.shape, counts.shape)
    check(lengths == ((batch,), (batch,)), f"lengths of {times.type} and {counts.type}")
    total = _log_likelihood(scores, labels, times, counts, blank)
    impossible = less(total, _NEVER / 2)
    losses = where(impossible, 0.0 if zero_infinity else np.inf, -total)
    if reduction == "mean":
        return (losses / clip(counts, 1).astype(losses.dtype)).mean()
    check(reduction in ("none", "sum"), f"the reduction '{reduction}' is none of none, mean, sum")
    return sum(losses) if reduction == "sum" else losses


def _log_likelihood(
    scores: Value, labels: Value, times: Value, counts: Value, blank: int
) -> Value:
    """The forward variables of section 4.1, in logarithms: `(batch,)`."""
    steps, batch, _ = scores.shape
    classes = _with_blanks(labels, counts, blank)
    places = classes.shape[1]
    skips = _can_skip(classes, blank)
    every = broadcast(classes, (steps, batch, places))
    of_places = gather_elements(scores, every, 2)

    def step(state: Value, now: tuple[Value, Value]) -> tuple[Value, None]:
        score, time = now
        before = _shifted(state, 1)
        skipped = where(skips, _shifted(state, 2), _NEVER)
        new = logsumexp(stack([state, before, skipped], 0), 0) + score
        # What is impossible stays so, however often its logarithm is added to.
        new = clip(new, _NEVER)
        return where(expand_dims(less(time, times), 1), new, state), None

    # Before the first step, the alignment stands at the first blank.
    start = broadcast(
        where(greater(iota(places), 0), as_value(_NEVER, scores.dtype), 0.0), (batch, places)
    )
    last, _ = scan(step, start, (of_places, iota(steps)))
    end = expand_dims(counts * 2, 1)
    at_blank = gather_elements(last, end, 1)
    at_label = gather_elements(last, clip(end - 1, 0), 1)
    at_label = where(greater(end, 0), at_label, _NEVER)
    return logsumexp(concat([at_blank, at_label], 1), 1)


def _with_blanks(labels: Value, counts: Value, blank: int) -> Value:
    """Blanks before, between and after the labels, `(batch, 2 * labels + 1)`, and for padding."""
    batch, size = labels.shape
    if size == 0:  # at least one place that an alignment may skip
        labels, size = zeros((batch, 1), i64), 1
    inside = less(iota(size), expand_dims(counts, 1))
    kept = where(inside, labels, blank)
    blanks = zeros((batch, size), i64) + blank
    pairs = reshape(stack([blanks, kept], 2), (batch, size * 2))
    return concat([pairs, zeros((batch, 1), i64) + blank], 1)


def _can_skip(classes: Value, blank: int) -> Value:
    """Where an alignment may leave out the blank before: not between two equal labels."""
    before = pad(slice_axis(classes, 1, 0, classes.shape[1] - 2), [(0, 0), (2, 0)])
    return logical_and(not_equal(classes, blank), not_equal(classes, before))


def _shifted(state: Value, by: int) -> Value:
    """The state of places before, none of which are possible before the first."""
    kept = slice_axis(state, 1, 0, state.shape[1] - by)
    return pad(kept, [(0, 0), (by, 0)], value=_NEVER)
