"""The whole job in containers: server and load generator each in one of their own.

:mod:`~loadgen.containers.layout` says what runs where, :mod:`~loadgen.containers.serve` is the server's first
process, :mod:`loadgen.runtimes.attached` the load generator's view of it. The rest runs on the host and drives
them through Docker; ``compose/`` does the same by hand.
"""
