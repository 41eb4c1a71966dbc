"""Fakes of loadgen's own interfaces, for its tests and for tests of code that uses them."""
