"""Delayed jobs: ordered now, fired once at a later time.

- `service.py`: create, change, cancel, fire by hand. `release.py`: the scan that fires what is due.
- `ends.py`: how a row ends, and what happens when its agent or owner goes. `listing.py`: questions.
- `notices.py`: the notices to owners. `wire.py`: bodies in and out. `api.py`: the calls under `/delayed-jobs`.
"""
