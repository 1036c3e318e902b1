"""The command language, for every platform the same: what a line means and what is said to it.

Registered commands live in modules beside this one, one a subject; later apps register theirs. Start at `interpret.py`.
"""
