"""Traffic that exists: the requests of a HAR file or of a list of curl commands, played by virtual users.

What is sent is what the file has: method, target, headers, cookies and body bytes. The host is that of the
server under test, and what belongs to a connection and not to a request is left out.
"""
