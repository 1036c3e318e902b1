"""What the platforms still allow: templates a day, texts after a person wrote, pace of a robot. See `ledger.py`."""
