"""Real, published ONNX models: fetched, run whole, checked for what they mean."""
