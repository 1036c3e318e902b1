"""One small file for each service that takes messages: how it is called, what it allows, what its answers mean.

Must not know messages or deliveries as rows: a driver is handed a parcel and brings a receipt, or says what went wrong.
Start reading at `base.py`, then `wecom_robot.py`; `registry.py` lists them all, docs/channels.md is their table.
"""
