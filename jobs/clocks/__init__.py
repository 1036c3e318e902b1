"""The clocks of the product's processes: measured, shown to staff, and reported when they are wrong or stand still.

No decision depends on them: the database's clock decides. A wrong one still spoils logs, and hints at a broken host.

- `skew.py`: stores what a process measured, and notifies staff once an episode.
- `progress.py`: notes when due work was last looked for, and notifies staff when no process looks.
- `watch.py`: the thread that measures, one in every process.
"""
