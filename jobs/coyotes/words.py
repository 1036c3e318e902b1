"""The refusals of the original, in its words."""

from __future__ import annotations

from kernel.errors import AppError

NO_NAME, NO_TASK_NAME, NO_CHANNEL = "channel name required", "任务名称不能为空", "channel不存在"
NO_TASK, NO_DELAYED_TASK = "任务不存在", "Can't find the specified delay task"


class Refusal(AppError):
    """A refusal of the original, in its words."""

    status = 400
    code = "Refusal"
