"""A small trained model and held-out images, so that a first example runs without a download."""
