"""The core: values and pure functions. No I/O, clock, randomness or logging; a test reads its imports."""
