"""Reads ONNX models into functions."""

from .onnx_model import OnnxModel, from_onnx

__all__ = ["OnnxModel", "from_onnx"]
