"""The faults of docs/guarantees.md against the whole running product, and the checker that reads what was left.

`__main__.py` is `make faults`; `cells.py` has the table, `injections.py` the faults, `run.py` runs one cell,
`product.py` starts the processes, `load.py` uses them, `proxy.py` is the bad network between them, and `invariants.py`
finds broken promises.
"""
