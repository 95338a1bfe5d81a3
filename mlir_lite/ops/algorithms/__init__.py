"""Ways to compute products and convolutions that passes choose; no user writes them."""
