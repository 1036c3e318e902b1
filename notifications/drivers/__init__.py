"""Drivers: one small file per service, with its form, its limits and a table of its error codes.

Must not know messages or deliveries as rows: a driver sends a parcel and returns a receipt, or raises ChannelError.
Start reading at `base.py`, then `wecom_robot.py`; `registry.py` lists them all, docs/channels.md is their table.
"""
