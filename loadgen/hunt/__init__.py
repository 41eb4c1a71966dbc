"""Searches with many trials: for failing replays, for their smallest case, and for races."""
