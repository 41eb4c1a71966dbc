"""The gateway: records what any client does. It stands between the client and the recorded server.

A request is numbered and journalled once its body is in, then sent on. The pieces of its answer pass at once,
as they came; the last is held until the journal has the completion, so what a client has seen whole was
journalled before anything that it does next.
"""
