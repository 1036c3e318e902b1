"""Every write on messages, channels and the outbox."""
