"""Norms, softmax, losses and attention."""
