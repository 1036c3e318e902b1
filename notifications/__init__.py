"""Messages to people and programs, and the outbox that delivers them.

Start reading at `models.py`, then `messages/accept.py` and `deliveries/claim.py`. A feature is a folder:

- `messages/`: accept, read, withdraw, answer; the signed page of one message.
- `channels/`: the ways to reach a person: create, change, confirm, test.
- `deliveries/`: the outbox: claim, send, retry, give up; callbacks and stream events.
- `quota/`: limits of the platforms. `wechat/`: the official account's client, tokens, callbacks.
- `drivers/`: one file per service. `console/`: the web pages.

An outbox row is written in the transaction of the change that it reports. The app must not import agents or jobs: a row
carries its subject as text.
"""
