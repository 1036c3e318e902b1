"""What job calls take and give: bodies, queries and headers, the same for the gateway and for Django REST framework.

Must not know who asks, nor find anything: it is handed both. Start reading at `reading.py`; `rendering.py` is the way
back.
"""
