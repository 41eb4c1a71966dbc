"""Exports: a run for other tools and other people, always without its secrets."""
