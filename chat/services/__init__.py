"""What a conversation does to its rows. One module a flow."""
