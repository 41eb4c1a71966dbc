"""The gateway: a proxy between any client and the recorded server, which records the client's requests.

A request is numbered and journaled when its body is complete, and then sent on. The pieces of its answer pass
at once, as they arrive. The last piece is held back until the journal has the completion, so an answer that a
client has seen completely was journaled before anything that the client does next.
"""
