"""Tests of the CUDA backend. (A package called `cuda` would hide NVIDIA's.)"""
