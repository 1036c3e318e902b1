"""Messages: one text for one person, on one or more channels.

- `accept.py`: store a message with its deliveries. `routing.py`: the first channel, and the fallbacks after it.
- `read.py`: look at messages, take one back. `actions.py`: answers by number.
- `links.py`, `pages.py`: the signed page of one message. `api.py`: `/messages`. `quick.py`: `/message/*`.
"""
