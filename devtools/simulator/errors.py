"""Error codes of the platforms: message, meaning, and the page of the platform that lists it.

The tables hold the codes that the simulator answers by itself and those that the fault `errcode:N` can ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One code. `status` is of HTTP; many platforms refuse with 200."""

    code: str
    message: str
    meaning: str
    page: str
    status: int = 200


def _table(page: str, *rows: tuple[object, ...]) -> dict[str, Refusal]:
    """Rows are (code, message, meaning[, status])."""
    table = {}
    for code, message, meaning, *status in rows:
        table[str(code)] = Refusal(
            code=str(code),
            message=str(message),
            meaning=str(meaning),
            page=page,
            status=int(str(status[0])) if status else 200,
        )
    return table


WECHAT: Final = {
    **_table(
        "微信开放文档 · 公众号 · 全局返回码",
        (-1, "system error", "系统繁忙，稍候再试"),
        (
            40001,
            "invalid credential, access_token is invalid or not latest, could get access_token by "
            "getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r",
            "access_token 无效或不是最新的",
        ),
        (40002, "invalid grant_type", "不合法的凭证类型"),
        (40003, "invalid openid", "不合法的 OpenID"),
        (40007, "invalid media_id", "不合法的媒体文件 id"),
        (40008, "invalid message type", "不合法的消息类型"),
        (40013, "invalid appid", "不合法的 AppID"),
        (40014, "invalid access_token", "不合法的 access_token"),
        (40016, "invalid button size", "不合法的菜单按钮个数"),
        (40017, "invalid button type", "不合法的按钮类型"),
        (40018, "invalid button name size", "不合法的按钮名字长度"),
        (40019, "invalid button key size", "不合法的按钮 KEY 长度"),
        (40020, "invalid button url size", "不合法的按钮 URL 长度"),
        (40023, "invalid sub button size", "不合法的子菜单按钮个数"),
        (40125, "invalid appsecret", "无效的 appsecret"),
        (40164, "invalid ip {ip} ipv6 ::ffff:{ip}, not in whitelist", "调用接口的 IP 不在白名单中"),
        (41001, "access_token missing", "缺少 access_token 参数"),
        (41002, "appid missing", "缺少 appid 参数"),
        (41004, "appsecret missing", "缺少 secret 参数"),
        (42001, "access_token expired", "access_token 超时"),
        (43001, "require GET method", "需要 GET 请求"),
        (43002, "require POST method", "需要 POST 请求"),
        (43004, "require subscribe", "需要接收者关注"),
        (44002, "empty post data", "POST 的数据包为空"),
        (44004, "empty content", "文本消息内容为空"),
        (45002, "content size out of limit", "消息内容超过限制"),
        (45009, "reach max api daily quota limit", "接口调用超过每日限额"),
        (45011, "api minute-quota reach limit, must slower, retry next minute", "API 调用太频繁，请稍候再试"),
        (46003, "menu no exist", "不存在的菜单数据"),
        (47001, "data format error", "解析 JSON/XML 内容错误"),
        (48001, "api unauthorized", "api 功能未授权"),
        (48004, "api forbidden for irregularities, view detail on mp.weixin.qq.com", "api 接口被封禁"),
        (48006, "forbid to clear quota because of reaching the limit", "清零次数达到上限"),
        (89501, "ip need to be confirmed by admin", "此 IP 正在等待管理员确认"),
        (89503, "ip not confirmed by admin", "此 IP 调用需要管理员确认"),
    ),
    **_table(
        "微信开放文档 · 公众号 · 客服消息 · 发送客服消息",
        (45015, "response out of time limit or subscription is canceled", "回复时间超过限制，或已取消关注"),
        (45047, "out of response count limit", "客服接口下行条数超过上限"),
    ),
    **_table(
        "微信开放文档 · 公众号 · 客服消息 · 客服输入状态",
        (45072, "command is not valid", "command 字段取值不对"),
        (45080, "need user interaction within 30 seconds", "下发输入状态，需要之前 30 秒内跟用户有过消息交互"),
        (45081, "already in typing status, do not send typing again", "已经在输入状态，不可重复下发"),
    ),
    **_table(
        "微信开放文档 · 公众号 · 模板消息 · 发送模板消息",
        (40037, "invalid template_id", "不合法的 template_id"),
        (43101, "user refuse to accept the msg", "用户拒绝接受消息"),
        (47003, "argument invalid! data.{field}.value {why}", "模板参数不准确，可能为空或者不满足规则"),
    ),
    **_table(
        "微信开放文档 · 公众号 · 生成带参数的二维码",
        (40053, "invalid action info", "不合法的 action_info"),
        (45029, "qrcode count out of limit", "二维码个数超过限制"),
    ),
}
"""Codes of the official account, answered as `{"errcode", "errmsg"}`; each message ends with the request's id."""

WECOM: Final = {
    **_table(
        "企业微信开发者中心 · 全局错误码",
        (-1, "system busy", "系统繁忙，稍候再试"),
        (40001, "invalid credential", "不合法的 secret 参数"),
        (40008, "invalid message type", "不合法的消息类型"),
        (40013, "invalid corpid", "不合法的 corpid"),
        (40014, "invalid access_token", "不合法的 access_token"),
        (40056, "invalid agentid", "不合法的 agentid"),
        (40058, "{why}. invalid Request Parameter", "不合法的参数"),
        (41001, "access_token missing", "缺少 access_token 参数"),
        (42001, "access_token expired", "access_token 已过期"),
        (44004, "text content is empty", "文本消息 content 参数为空"),
        (45002, "content size out of limit", "消息内容大小超过限制"),
        (45009, "api freq out of limit", "接口调用超过限制"),
        (47001, "data format error", "JSON/XML 解析错误"),
        (60020, "not allow to access from your ip, {ip}", "访问 IP 不在白名单之中"),
        (81013, "user & party & tag all invalid", "UserID、部门 ID、标签 ID 全部非法或无权限"),
    ),
    **_table(
        "企业微信开发者中心 · 群机器人配置说明", (93000, "invalid webhook url", "机器人 webhookurl 不合法或已移出群")
    ),
}

FEISHU: Final = _table(
    "飞书开放平台 · 自定义机器人使用指南",
    (9499, "Bad Request", "请求体格式错误"),
    (11232, "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]", "发送太频繁"),
    (19001, "param invalid: incoming webhook access token invalid", "webhook 地址无效"),
    (19021, "sign match fail or timestamp is not within one hour from current time", "签名校验失败或时间戳过期"),
    (19022, "Ip Not Allowed", "IP 校验失败"),
    (19024, "Key Words Not Found", "自定义关键词校验失败"),
)

DINGTALK: Final = _table(
    "钉钉开放平台 · 自定义机器人发送群消息 · 错误码",
    (-1, "system busy", "系统繁忙，请稍后重试"),
    (40035, "缺少参数 json", "请求体不是 JSON"),
    (130101, "send too fast, exceed 20 times per minute", "发送速度太快而限流，10 分钟后恢复"),
    (300001, "token is not exist", "token 不存在"),
    (310000, "{why}, more: [https://ding-doc.dingtalk.com/doc#/serverapi2/qf2nxq]", "安全校验不通过：加签、关键词、IP"),
    (400013, "group has been dismissed", "群已被解散"),
    (400101, "access_token is missing", "access_token 不存在"),
    (410100, "send too fast", "发送速度太快而限流"),
)

TELEGRAM: Final = _table(
    "Telegram Bot API · Making requests",
    (400, "Bad Request: {why}", "the request is wrong", 400),
    (401, "Unauthorized", "no such bot", 401),
    (403, "Forbidden: bot was blocked by the user", "the person blocked the bot", 403),
    (404, "Not Found", "no such method", 404),
    (429, "Too Many Requests: retry after {seconds}", "slower", 429),
    (500, "Internal Server Error", "try again", 500),
)

SLACK: Final = {
    **_table(
        "Slack API · Sending messages using incoming webhooks · Handling errors",
        ("invalid_payload", "invalid_payload", "the body is not what a webhook takes", 400),
        ("no_text", "no_text", "there is no text", 400),
        ("invalid_token", "invalid_token", "the address is not right", 403),
        ("no_service", "no_service", "the webhook was switched off or removed", 404),
        ("no_active_hooks", "no_active_hooks", "the webhook was switched off", 404),
        ("channel_not_found", "channel_not_found", "the channel is gone", 404),
        ("channel_is_archived", "channel_is_archived", "nobody can post there any more", 410),
        ("rollup_error", "rollup_error", "try again", 500),
    ),
    **_table("Slack API · Rate limits", ("rate_limited", "rate_limited", "slower: one a second", 429)),
    **_table(
        "Slack API · Handling user interaction · response_url",
        ("used_url", "used_url", "answered five times already", 404),
        ("expired_url", "expired_url", "older than 30 minutes", 404),
    ),
}

SLACK_METHODS: Final = _table(
    "Slack API · chat.postMessage · Errors",
    ("not_authed", "not_authed", "no token"),
    ("invalid_auth", "invalid_auth", "wrong token"),
    ("channel_not_found", "channel_not_found", "no such channel or person"),
    ("no_text", "no_text", "there is no text"),
    ("msg_too_long", "msg_too_long", "over 40 000 characters"),
    ("ratelimited", "ratelimited", "slower", 429),
)
"""As `{"ok": false, "error"}`."""

DISCORD: Final = _table(
    "Discord Developer Portal · Opcodes and status codes",
    (10015, "Unknown Webhook", "the webhook was removed", 404),
    (50006, "Cannot send an empty message", "no text and no embed", 400),
    (50027, "Invalid Webhook Token", "wrong token", 401),
    (50035, "Invalid Form Body", "over 2000 characters, or not JSON", 400),
    (429, "You are being rate limited.", "slower", 429),
)

TEAMS: Final = _table(
    "Microsoft Learn · Create incoming webhooks with Workflows for Microsoft Teams",
    ("WorkflowNotFound", "The workflow could not be found.", "the flow was removed", 404),
    ("DirectApiAuthorizationRequired", "The request is missing the sig parameter.", "wrong signature", 401),
    ("InvalidRequestContent", "The request content is not valid.", "not JSON, or no card", 400),
    ("RequestEntityTooLarge", "The message is larger than 28 KB.", "too long", 413),
    ("TooManyRequests", "Rate limit is exceeded.", "slower", 429),
)

BARK: Final = _table(
    "Bark Server · API V2",
    (400, "failed to get device token: failed to get [{key}] device token from database", "no such device", 400),
    (413, "push failed: PayloadTooLarge", "over 4 KB", 400),
    (429, "Too Many Requests", "slower", 429),
    (500, "push failed: {why}", "Apple refused it", 500),
)

PUSHPLUS: Final = _table(
    "PushPlus 文档 · 接口返回码",
    (302, "未登录", "未登录"),
    (401, "请求未授权", "token 无权限"),
    (403, "请求IP未授权", "IP 不在白名单"),
    (500, "系统异常，请稍后再试", "系统异常"),
    (600, "数据异常，操作失败", "数据异常"),
    (805, "无权查看", "无权查看"),
    (888, "积分不足，需要充值", "积分不足"),
    (900, "用户账号使用受限", "当日发送超过限制，账号被限制"),
    (903, "无效的用户token", "用户 token 不存在"),
    (905, "账户未进行实名认证", "未实名认证"),
    (999, "服务端验证错误", "参数不对"),
)

SERVERCHAN: Final = _table(
    "Server酱 · 发送消息 API",
    (40001, "[AUTH]用户不存在或者权限不足", "SendKey 不对", 400),
    (40003, "[INPUT]消息标题不能为空", "缺少 title"),
    (40009, "[AUTH]超过当天的发送次数限制[5]，请稍后再试", "当日额度用完"),
    (40010, "[AUTH]不要重复发送同样的内容", "五分钟内内容重复"),
)

WXPUSHER: Final = _table(
    "WxPusher 消息推送服务 · HTTP 状态码说明",
    (1001, "业务异常错误", "参数或内容不对"),
    (1002, "没有权限访问", "appToken 不对"),
    (1003, "签名错误", "签名错误"),
    (1004, "接口地址不存在", "接口地址不存在"),
    (1005, "服务器内部错误", "服务器错误"),
    (1006, "和微信交互的过程中发生异常", "微信接口异常"),
    (1007, "网络异常", "网络异常"),
    (1008, "数据异常", "数据异常"),
    (1009, "未知异常", "未知异常"),
)

NTFY: Final = _table(
    "ntfy · Publishing · Limitations",
    (40009, "invalid request: topic invalid", "the topic's name is not allowed", 400),
    (40024, "invalid request: request body must be valid JSON", "not JSON", 400),
    (40301, "forbidden", "the topic is closed to this token", 403),
    (40101, "unauthorized", "wrong token", 401),
    (41301, "attachment too large, or bandwidth limit reached", "over 4096 bytes", 413),
    (42901, "limit reached: too many requests", "slower", 429),
    (42908, "limit reached: daily message quota reached", "the day's messages are used up", 429),
)

GOTIFY: Final = _table(
    "Gotify · API documentation · createMessage",
    (400, "Field 'message' is required", "there is no text", 400),
    (401, "you need to provide a valid access token or user credentials to access this api", "wrong token", 401),
    (403, "you are not allowed to access this api", "a client's token", 403),
    (500, "database is locked", "try again", 500),
)

ALL: Final = {
    "wechat": WECHAT,
    "wecom": WECOM,
    "feishu": FEISHU,
    "dingtalk": DINGTALK,
    "telegram": TELEGRAM,
    "slack": SLACK,
    "slack-methods": SLACK_METHODS,
    "discord": DISCORD,
    "teams": TEAMS,
    "bark": BARK,
    "pushplus": PUSHPLUS,
    "serverchan": SERVERCHAN,
    "wxpusher": WXPUSHER,
    "ntfy": NTFY,
    "gotify": GOTIFY,
}
"""Every table, by platform."""
