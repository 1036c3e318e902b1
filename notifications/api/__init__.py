"""Serializers that the calls about messages, channels and deliveries share: `reading.py` in, `rendering.py` out."""
