"""Hazards: sources of nondeterminism, and how often each of them replays identically."""
