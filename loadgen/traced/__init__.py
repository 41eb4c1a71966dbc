"""Code that runs inside the server under test: the request boundary and the workarounds for the engine.

It runs in the application's process, so it imports only the standard library and the engine. ``python -m
loadgen.traced`` installs the boundary and starts the engine.
"""
