"""The exit codes of `skadi`; docs/agent.md explains them."""

EXIT_OK, EXIT_FAILED, EXIT_CONFIG = 0, 1, 78
