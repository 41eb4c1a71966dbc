"""Existing traffic: the requests of a file (HAR, curl commands, ...), sent by virtual users.

Method, target, headers, cookies and body bytes are sent as in the file. The host is that of the server under
test, and headers that belong to a connection are left out.
"""
