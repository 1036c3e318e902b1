"""The adapters between our services and HTTP, for Django, DRF and the gateway.

- `answers.py`: the one shape of an error. `rest.py`: the base class of an operation. `openapi.py`: the schema.
- `bodies.py`: reads a body by the serializer that draws its schema.
- `paging.py`: the query of a list. `prefetch.py`: link previews. `addresses.py`: the caller's IP address.
- `idempotency.py`: the header `Idempotency-Key`.
- `staff.py`: the base class of read-only admin pages.
"""
