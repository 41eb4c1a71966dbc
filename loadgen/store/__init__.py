"""The store: run folders, journals, and digests of the code that was recorded."""
