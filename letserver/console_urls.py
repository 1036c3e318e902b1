"""The console's paths, mounted at /console/. Here upper apps hand their part of a page to lower ones."""

from __future__ import annotations

from django.urls import path
from django.views.i18n import set_language

from accounts import console as people
from agents import console as agents
from chat.adapters import console as chat
from jobs.console import views as jobs
from jobs.console.views import root
from notifications.console import channels, messages

__all__ = ["app_name", "root", "urlpatterns"]

app_name = "console"

urlpatterns = [
    path("", jobs.overview, name="overview"),
    path("chat", chat.chat, name="chat"),
    path("login/chat", chat.login_by_chat, name="login-chat"),
    path("login", people.Login.as_view(), name="login"),
    path("logout", people.Logout.as_view(), name="logout"),
    path("language", set_language, name="language"),
    path("theme", people.theme, name="theme"),
    path("account", people.account, name="account"),
    path("account/password", people.PasswordChange.as_view(), name="password"),
    path("account/tokens", people.token_mint, name="token-mint"),
    path("account/tokens/<str:token_id>/revoke", people.token_revoke, name="token-revoke"),
    path("agents", agents.agent_list, name="agents"),
    path("agents/add", agents.agent_add, name="agent-add"),
    path("agents/<str:agent_id>", agents.agent_detail, {"last_jobs": jobs.last_jobs}, name="agent"),
    path("agents/<str:agent_id>/enable", agents.agent_enable, name="agent-enable"),
    path("agents/<str:agent_id>/disable", agents.agent_disable, name="agent-disable"),
    path("agents/<str:agent_id>/reset-token", agents.agent_reset, name="agent-reset"),
    path("agents/<str:agent_id>/delete", agents.agent_delete, name="agent-delete"),
    path("jobs", jobs.job_list, name="jobs"),
    path("jobs/send", jobs.job_send, name="job-send"),
    path("jobs/<str:job_id>", jobs.job_detail, name="job"),
    path("jobs/<str:job_id>/output.txt", jobs.job_output, name="job-output"),
    path("jobs/<str:job_id>/cancel", jobs.job_cancel, name="job-cancel"),
    path("jobs/<str:job_id>/again", jobs.job_again, name="job-again"),
    path("messages", messages.message_list, name="messages"),
    path("messages/send", messages.message_send, name="message-send"),
    path("messages/<str:message_id>", messages.message_detail, name="message"),
    path("messages/<str:message_id>/withdraw", messages.message_withdraw, name="message-withdraw"),
    path("deliveries/<str:delivery_id>/replay", messages.delivery_replay, name="delivery-replay"),
    path("channels", channels.channel_list, name="channels"),
    path("channels/add", channels.channel_add, name="channel-add"),
    path("channels/<str:channel_id>", channels.channel_detail, name="channel"),
    path("channels/<str:channel_id>/move", channels.channel_move, name="channel-move"),
    path("channels/<str:channel_id>/switch", channels.channel_switch, name="channel-switch"),
    path("channels/<str:channel_id>/test", channels.channel_test, name="channel-test"),
    path("channels/<str:channel_id>/confirmation", channels.channel_ask, name="channel-ask"),
    path("channels/<str:channel_id>/delete", channels.channel_delete, name="channel-delete"),
]
