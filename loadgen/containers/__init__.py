"""The whole job in containers: server and load generator each in one of their own.

:mod:`~loadgen.containers.layout` says what runs where. :mod:`loadgen.cli.serve` is the first process
of a server's container, and :mod:`loadgen.containers.attached` the load generator's view of it. The rest runs
on the host and drives them through Docker; ``compose/`` does the same by hand.
"""
