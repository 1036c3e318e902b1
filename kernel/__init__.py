"""Ground: errors, ids, clock, text, strict JSON, bells, Redis keys.

Knows no app and has no models. Start reading at `errors.py` and `bells.py`.
"""
