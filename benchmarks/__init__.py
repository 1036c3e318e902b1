"""Benchmarks, each compared with a simple yardstick on the same machine at the same time. `make bench` runs them.

They run the product and the platform simulator as the tests do; nothing imports them. Start with `__main__.py`.
"""
