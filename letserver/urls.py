"""Every path: the API at the root, pages under /console/, staff under /admin/."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from agents import api as agents
from chat.adapters.slack import slack
from chat.adapters.telegram import telegram
from chat.adapters.wechat import wechat
from chat.adapters.wecom import wecom
from jobs.api import agent, me, system, user
from jobs.coyotes import api as coyotes
from jobs.delayed import api as delayed
from jobs.queues import api as queues
from jobs.schedules import api as schedules
from jobs.store import api as state
from jobs.stream import api as stream
from letserver import api
from letserver.console_urls import root
from notifications.channels import api as channels
from notifications.deliveries import api as outbox
from notifications.messages import api as messages
from notifications.messages.pages import confirmation_page, message_page
from notifications.messages.quick import quick_calls

urlpatterns = [
    path("status", api.Status.as_view()),
    path("me", me.Me.as_view()),
    path("job/add", user.AddJobLine.as_view()),
    path("jobs", user.Jobs.as_view()),
    path("jobs/<str:job_id>", user.OneJob.as_view()),
    path("jobs/<str:job_id>/cancel", user.JobCancel.as_view()),
    path("jobs/<str:job_id>/log", user.JobLog.as_view()),
    path("queues", queues.Queues.as_view()),
    path("queues/<str:name>", queues.OneQueue.as_view()),
    path("queues/<str:name>/jobs", queues.QueueJobs.as_view()),
    path("queues/<str:name>/jobs/<str:pulled_id>/ack", queues.QueueAck.as_view()),
    path("queues/<str:name>/jobs/<str:pulled_id>/extend", queues.QueueExtend.as_view()),
    path("queues/<str:name>/next", queues.QueueNext.as_view()),
    path("queues/<str:name>/pause", queues.QueuePause.as_view()),
    path("queues/<str:name>/resume", queues.QueueResume.as_view()),
    path("queues/<str:name>/drain", queues.QueueDrain.as_view()),
    path("queues/<str:name>/flush", queues.QueueFlush.as_view()),
    path("queues/<str:name>/dead", queues.QueueDead.as_view()),
    path("queues/<str:name>/dead/replay", queues.QueueReplay.as_view()),
    path("schedules", schedules.Schedules.as_view()),
    path("schedules/preview", schedules.PreviewExpression.as_view()),
    path("schedules/<str:schedule_id>", schedules.OneSchedule.as_view()),
    path("schedules/<str:schedule_id>/run", schedules.ScheduleRunNow.as_view()),
    path("schedules/<str:schedule_id>/pause", schedules.SchedulePause.as_view()),
    path("schedules/<str:schedule_id>/resume", schedules.ScheduleResume.as_view()),
    path("schedules/<str:schedule_id>/forget", schedules.ScheduleForget.as_view()),
    path("schedules/<str:schedule_id>/runs", schedules.ScheduleRuns.as_view()),
    path("schedules/<str:schedule_id>/preview", schedules.SchedulePreview.as_view()),
    path("delayed-jobs", delayed.DelayedJobs.as_view()),
    path("delayed-jobs/<str:delayed_id>", delayed.OneDelayedJob.as_view()),
    path("delayed-jobs/<str:delayed_id>/fire", delayed.DelayedJobFire.as_view()),
    *(path(route, view) for route, view in quick_calls().items()),
    path("messages", messages.Messages.as_view()),
    path("messages/<str:message_id>", messages.OneMessage.as_view()),
    path("channels", channels.Channels.as_view()),
    path("channels/<str:channel_id>", channels.OneChannel.as_view()),
    path("channels/<str:channel_id>/test", channels.ChannelTest.as_view()),
    path("channels/<str:channel_id>/confirmation", channels.ChannelConfirmation.as_view()),
    path("m/<str:token>", message_page, name="message-page"),
    path("c/<str:token>", confirmation_page, name="confirmation-page"),
    path("agents", agents.Agents.as_view()),
    path("agents/<str:agent_id>", agents.OneAgent.as_view()),
    path("agents/<str:agent_id>/token", agents.AgentTokens.as_view()),
    path("agent/job", agent.NextJob.as_view()),
    path("agent/job/add", agent.AgentAddsJob.as_view()),
    path("agent/job/delayed", delayed.AgentDelaysJob.as_view()),
    path("agent/beat", agent.BeatCall.as_view()),
    path("agent/whoami", agent.WhoAmI.as_view()),
    path("agent/jobs/<str:job_id>/log", agent.AgentLog.as_view()),
    path("agent/jobs/<str:job_id>/running", agent.JobRunning.as_view()),
    path("agent/jobs/<str:job_id>/succeed", agent.JobSucceed.as_view()),
    path("agent/jobs/<str:job_id>/fail", agent.JobFail.as_view()),
    path("deliveries", outbox.Deliveries.as_view()),
    path("deliveries/<str:delivery_id>/replay", outbox.DeliveryReplay.as_view()),
    path("callbacks/secret", outbox.CallbackSecret.as_view()),
    path("state", state.State.as_view()),
    path("state/<str:name>", state.OneState.as_view()),
    path("stream", stream.Stream.as_view()),
    path("coyotes/<str:agent_id>/", coyotes.Home.as_view()),
    path("coyotes/<str:agent_id>/channels", coyotes.Channels.as_view()),
    path("coyotes/<str:agent_id>/channels/<str:channel>", coyotes.OneChannel.as_view()),
    path("coyotes/<str:agent_id>/channels/<str:channel>/tasks", coyotes.Tasks.as_view()),
    path("coyotes/<str:agent_id>/channels/<str:channel>/tasks/<str:task_id>", coyotes.OneTask.as_view()),
    path("coyotes/<str:agent_id>/channels/<str:channel>/failed-tasks", coyotes.FailedTasks.as_view()),
    path("coyotes/<str:agent_id>/channels/<str:channel>/failed-tasks/<str:task_id>", coyotes.OneFailedTask.as_view()),
    path("coyotes/<str:agent_id>/delay-tasks", coyotes.DelayedTasks.as_view()),
    path("coyotes/<str:agent_id>/delay-tasks/<str:task_id>", coyotes.OneDelayedTask.as_view()),
    path("sys/jobs", system.SystemJobs.as_view()),
    path("sys/jobs/<str:job_id>/expire", system.SystemJobExpiry.as_view()),
    path("sys/users/<str:user_id>/agents", agents.SystemAgents.as_view()),
    path("chat/wechat", wechat, name="chat-wechat"),
    path("chat/wecom", wecom, name="chat-wecom"),
    path("chat/telegram", telegram, name="chat-telegram"),
    path("chat/slack", slack, name="chat-slack"),
    path("api/schema", api.Schema.as_view(), name="api-schema"),
    path("api/docs", api.docs, name="api-docs"),
    path("", root),
    path("console/", include("letserver.console_urls")),
    path("admin/", admin.site.urls),
]

handler400 = "letserver.errors.bad_request"
handler403 = "letserver.errors.permission_denied"
handler404 = "letserver.errors.page_not_found"
handler500 = "letserver.errors.server_error"
