"""Tools for the users and developers of a checkout. The product must not import them. Start reading at `simulator/`.

- `simulator/` plays WeChat and the other platforms on loopback.
- `english/` counts sentences that are hard to follow, as a part of `make lint`.
- `hooks/` holds the git hooks that `make hooks` installs.
- `trace/` counts the product files that each of six calls crosses; `lines.py` counts the product's lines.
"""
