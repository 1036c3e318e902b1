"""The talking door: what a person types in a chat, and what they hear back.

Must not know how pages are wired; everything it does it asks of the services below. Start reading at
`commands/interpret.py`, then `doors/`.
"""
