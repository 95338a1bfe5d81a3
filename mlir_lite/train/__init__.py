"""Training: optimisers, schedules, and steps compiled as one function."""

from .clipping import Clipping, clip_by_norm, clip_by_value
from .optimisers import SGD, Adagrad, Adam, AdamW, Moment, Optimiser, RMSprop
from .schedules import Constant, Cosine, Schedule, StepDecay, WarmUp
from .step import Step, step, step_of

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Clipping",
    "Constant",
    "Cosine",
    "Moment",
    "Optimiser",
    "RMSprop",
    "Schedule",
    "Step",
    "StepDecay",
    "WarmUp",
    "clip_by_norm",
    "clip_by_value",
    "step",
    "step_of",
]
