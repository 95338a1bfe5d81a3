"""Passes that multiply narrower numbers: bf16, integers of quantised tensors."""
