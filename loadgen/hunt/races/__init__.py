"""Hunting races: trials under schedules that choose, and what makes a failure of one small and plain."""
