"""Backends: each turns a Program of kernels into something that runs."""
