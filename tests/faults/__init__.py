"""The faults of docs/guarantees.md against the whole running product, and the checker that reads what was left.

`__main__.py` is `make faults`; `cells.py` has the table, `injections.py` the faults, `run.py` runs one cell, `product.py`
has the processes, `load.py` who uses them, `proxy.py` the bad network between them; `invariants.py` finds what broke a
promise.
"""
