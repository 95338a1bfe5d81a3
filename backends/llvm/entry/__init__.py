"""From Python into an executable: arrays checked and results allocated in compiled code."""
