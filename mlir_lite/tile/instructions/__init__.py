"""Instructions that kernels may call, each with its meaning as loops."""
