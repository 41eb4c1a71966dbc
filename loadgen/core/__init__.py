"""The core: values and pure functions. No I/O, no clock, no randomness, no logging; a test reads its imports."""
