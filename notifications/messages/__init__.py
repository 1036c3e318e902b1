"""Messages: one text for one person, on one or more channels.

- `new_message.py`: the value to send. `accept.py`: store it with its deliveries. `notify.py`: LetServer's own notices.
- `routing.py`: the channels of a message. `room.py`: the first one with room. `repeats.py`: idempotency, merging.
- `read.py`, `withdraw.py`: look at messages, withdraw one. `actions.py`: answers by number.
- `links.py`, `pages.py`: the signed page of one message. `api.py`, `wire.py`: `/messages`. `quick.py`: `/message/*`.
"""
