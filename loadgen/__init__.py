"""Does a recorded Flask server, replayed, give exactly the same answers, even under concurrency?

This package's root stays empty of imports: :mod:`loadgen.traced` is loaded inside the server under test,
and whatever is imported here would be loaded there too.
"""

__version__ = "0.1.0"
