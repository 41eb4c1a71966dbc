"""Hunts: many trials, to find where a replay stops being identical, and the smallest case that shows it."""
