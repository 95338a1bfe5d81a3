"""Matrix products, and products of tensors by the names of their axes."""
