"""Sessions in containers: server and load generator each run in a separate container.

:mod:`~loadgen.containers.layout` defines what runs where. :mod:`loadgen.containers.serve` runs first in a
server's container, and :mod:`loadgen.containers.attached` is the load generator's view of that server. The
rest runs on the host and drives both through Docker; ``compose/`` does the same by hand.
"""
