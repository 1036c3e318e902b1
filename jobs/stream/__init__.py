"""The event list of a user's jobs and messages. `service.py` reads pages of it, `api.py` answers `GET /stream`."""
