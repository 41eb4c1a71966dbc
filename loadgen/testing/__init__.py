"""Fakes of loadgen's own seams, for its tests and for those of whoever builds on them."""
