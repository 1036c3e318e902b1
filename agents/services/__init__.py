"""What can be done to agents. One module a flow."""
