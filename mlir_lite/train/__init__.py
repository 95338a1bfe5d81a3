"""Training: optimisers, schedules, steps compiled as one function, and the loop around them."""

from .batches import Batches
from .checkpoint import load_arrays, save_arrays
from .clipping import Clipping, clip_by_norm, clip_by_value
from .fit import Evaluator, Fitted, accuracy, fit
from .history import History
from .optimisers import SGD, Adagrad, Adam, AdamW, Moment, Optimiser, RMSprop
from .schedules import Constant, Cosine, Schedule, StepDecay, WarmUp
from .step import Step, step, step_of
from .trainer import Trainer

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Batches",
    "Clipping",
    "Constant",
    "Cosine",
    "Evaluator",
    "Fitted",
    "History",
    "Moment",
    "Optimiser",
    "RMSprop",
    "Schedule",
    "Step",
    "StepDecay",
    "Trainer",
    "WarmUp",
    "accuracy",
    "clip_by_norm",
    "clip_by_value",
    "fit",
    "load_arrays",
    "save_arrays",
    "step",
    "step_of",
]
