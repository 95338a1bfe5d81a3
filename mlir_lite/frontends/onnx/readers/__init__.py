"""Readers of ONNX's operators, a family a file: from operands and attributes to values."""
