"""The calls about messages and channels."""
