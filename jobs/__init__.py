"""Jobs: orders, runs and results. A feature is a folder.

Start reading at `states.py` (the state machine), `transitions.py` (the one place where a job moves), `models/`, then
`life/`.

- `life/`: submit, claim, report, retry, cancel, chains, logs, heartbeats, and the sweeps for what is overdue.
- `queues/`: named queues: width, rate, order, dead letters, and queues that programs pull from.
- `delayed/`: jobs for a later time, fired once.
- `schedules/`: jobs that recur, cron expressions, calendars of working days.
- `watch/`: change detection: tell the owner only when a result differs.
- `coyotes/`: the HTTP API of coyotes on top of queues and jobs.
- `store/`: small named values that scripts keep between runs.
- `clocks/`: how far the clocks of processes are from the database's, and whether due work is looked for.
- `stream/`: the event list of a user's jobs and messages (`GET /stream`).
- `gateway/`: the hot calls as a small ASGI application in front of Django.
- `api/`: the remaining REST calls, and the readers and renderers that features share.
- `console/`: the web pages about jobs.

The app must not import chat, or pages of other apps.
"""
