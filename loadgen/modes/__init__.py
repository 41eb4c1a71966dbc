"""Modes of replay: the application from its boundary inward, the whole process, the client."""
