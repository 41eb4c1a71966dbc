"""Tests of :mod:`loadgen.secrets`."""
