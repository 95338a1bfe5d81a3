"""The readers of operators: functions with the parameters that ATen's schemas have."""
