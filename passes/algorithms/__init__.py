"""Passes that choose how something is computed: convolutions, attention, Strassen's products."""
