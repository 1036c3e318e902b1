"""The tables of the app: jobs and their queues, delayed jobs, schedules, memories of results, clocks."""

from jobs.models.clock import GatewayClock, ProcessClock, Ticker
from jobs.models.delayed import DelayedJob, DelayedState
from jobs.models.job import Job, JobEvent, JobLogChunk, JobOutput
from jobs.models.memory import STATE_NAME_LENGTH, DueEvaluation, StateEntry, WatchMemory
from jobs.models.options import (
    CALLBACK_LENGTH,
    KEY_LENGTH,
    MESSAGE_LENGTH,
    RATE_KEY_LENGTH,
    SOURCE_LENGTH,
    TASK_LENGTH,
    JobOptions,
)
from jobs.models.queue import QUEUE_NAME_LENGTH, Queue, QueueState
from jobs.models.schedule import (
    EXPRESSION_LENGTH,
    SCHEDULE_NAME_LENGTH,
    ZONE_LENGTH,
    CalendarDay,
    Missed,
    Outcome,
    Overlap,
    Schedule,
    ScheduleRun,
    WorkCalendar,
)

__all__ = [
    "CALLBACK_LENGTH",
    "EXPRESSION_LENGTH",
    "KEY_LENGTH",
    "MESSAGE_LENGTH",
    "QUEUE_NAME_LENGTH",
    "RATE_KEY_LENGTH",
    "SCHEDULE_NAME_LENGTH",
    "SOURCE_LENGTH",
    "STATE_NAME_LENGTH",
    "TASK_LENGTH",
    "ZONE_LENGTH",
    "CalendarDay",
    "DelayedJob",
    "DelayedState",
    "DueEvaluation",
    "GatewayClock",
    "Job",
    "JobEvent",
    "JobLogChunk",
    "JobOptions",
    "JobOutput",
    "Missed",
    "Outcome",
    "Overlap",
    "ProcessClock",
    "Queue",
    "QueueState",
    "Schedule",
    "ScheduleRun",
    "StateEntry",
    "Ticker",
    "WatchMemory",
    "WorkCalendar",
]
