"""What can be done to people and their tokens. One module a flow."""
