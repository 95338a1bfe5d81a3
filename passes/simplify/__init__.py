"""Passes that leave less to compute: canonical forms, constants, folded norms."""
