"""A server on loopback that behaves like the chat platforms, so that no test and no demo needs an account there.

It imports nothing of the product: what both sides must agree on (signatures, encryption, error codes) is written here
a second time, from the platforms' own pages. Start reading in `platforms.py` (what is served), `client.py` (what tests
call) and `push.py` (how a person's line reaches the product).
"""
