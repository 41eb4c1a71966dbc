"""Secrets: how they are found, replaced by pseudonyms, and encrypted."""
