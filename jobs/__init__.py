"""What: jobs, their life and their history; the gateway that hands them to agents.

Must not know chat or pages of other apps. Start reading at `states.py`, then `services/`, then `gateway/`.
"""
