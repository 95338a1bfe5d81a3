"""Threads that wait inside compiled code."""
