"""Where buffers lie: lifetimes, allocation in one arena, results in place of parameters."""
