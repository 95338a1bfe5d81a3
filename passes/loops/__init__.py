"""Passes on loops and branches: what moves out of them, and what they need not carry."""
