"""Schedule steps: functions from kernel to kernel, a loop or a buffer at a time."""
