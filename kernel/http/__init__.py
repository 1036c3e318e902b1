"""What Django, DRF and the gateway share to speak HTTP.

- `answers.py`: the one shape of an error. `rest.py`: base class of an operation. `openapi.py`: the schema.
- `paging.py`: the query of a list. `prefetch.py`: requests that nobody asked for. `addresses.py`: who calls.
- `staff.py`: base class of read-only admin pages.
"""
