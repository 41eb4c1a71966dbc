"""The search for races: trials under explored schedules, and the reduction of a failure."""
