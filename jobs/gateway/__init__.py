"""The hot calls of agents and senders, in front of Django: parses, calls services, renders; holds no rule of its own.

Must not be needed: with LETSERVER_GATEWAY=off the same calls go through `jobs/api/`. Start reading at `calls.py`.
"""
