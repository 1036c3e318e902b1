"""How fast the product is, beside something simple on the same machine at the same time. `make bench` runs it.

It uses the product and the simulator of the platforms as the tests do; nothing imports it. Begin with `__main__.py`.
"""
