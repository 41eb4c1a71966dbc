"""What is imported inside the server under test: the request boundary and the workarounds for the engine.

Everything here runs in the application's own process, so it imports the standard library and the engine
and nothing else. ``python -m loadgen.traced`` starts the engine with the boundary in place.
"""
