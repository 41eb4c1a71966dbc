"""The record/replay engine, Retrace: the one place that knows its command lines, versions and messages."""
