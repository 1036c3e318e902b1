"""`python -m tests.faults.agent ...`: the real agent with shorter retry delays."""

from __future__ import annotations

import sys

from skadi import cli, pace, poller, reporter

pace.LONGEST_HOLD = 2
pace.SHORTEST_HOLD = 1
pace.INTERVAL = 1.0
pace.FIRST_RETRY = 0.5
pace.LONGEST_RETRY = 2.0
pace.LONGEST_REPORT_RETRY = 2.0
poller.READ_MARGIN = 3.0
reporter.REQUEST_SECONDS = 5.0

if __name__ == "__main__":
    sys.exit(cli.main())
