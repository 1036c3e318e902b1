"""The faults of docs/guarantees.md against the whole running product, and the checker of the guarantees.

`__main__.py` is `make faults`; `cells.py` has the table, `injections.py` the faults, `run.py` runs one cell,
`product.py` starts the processes, `load.py` puts load on them, `proxy.py` is a faulty network between them;
`invariants.py` finds violations of the guarantees. `workloads.py` and `failpoint_runner.py` kill processes at
failpoints.
"""
