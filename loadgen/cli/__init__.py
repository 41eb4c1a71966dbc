"""The command line: parses, makes one call, renders, sets the exit code. Nothing else prints."""
