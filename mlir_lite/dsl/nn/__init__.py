"""Layers and models with torch's names, parameters and weight layouts; arrays stay outside."""

from .activations import GELU, Dropout, Flatten, ReLU, Sigmoid, SiLU, Softmax, Tanh
from .attention import MultiheadAttention, TransformerEncoderLayer
from .conv import Conv1d, Conv2d, ConvTranspose2d
from .initialisers import (
    Initialiser,
    fan_in_uniform,
    filled,
    normal,
    uniform,
    xavier_uniform,
)
from .linear import Embedding, Linear
from .module import Module, Parameter
from .norm import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, RMSNorm
from .pool import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from .recurrent import GRU, LSTM, RNN
from .sequential import Sequential

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "Initialiser",
    "LayerNorm",
    "Linear",
    "MaxPool2d",
    "Module",
    "MultiheadAttention",
    "Parameter",
    "RMSNorm",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "TransformerEncoderLayer",
    "fan_in_uniform",
    "filled",
    "normal",
    "uniform",
    "xavier_uniform",
]
