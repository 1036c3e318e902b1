"""The account's own pages: menu, QR codes, templates, followers, quotas (微信开放文档 · 公众号)."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Final

import segno

from devtools.simulator.base import Route
from devtools.simulator.templates import Template
from devtools.simulator.wechat_state import QrCode, Refused, State
from devtools.simulator.wire import Request, Response

_LONGEST_QR_SECONDS: Final = 2_592_000
_SHORTEST_QR_SECONDS: Final = 60
_PERMANENT_IDS: Final = 100_000
_SCENE_CHARACTERS: Final = 64
_MENU_KEYED: Final = (
    "click", "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select",
)  # fmt: skip


class Pages:
    """Calls of the account's owner."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._menu: list[dict[str, object]] = []
        self._permanent: set[str] = set()

    def routes(self) -> list[Route]:
        guarded = self._state.guarded
        verified = ("service", "test")
        return [
            Route.of("/cgi-bin/(getcallbackip|get_api_domain_ip)", guarded(self._addresses, method="GET")),
            Route.of("/cgi-bin/menu/create", guarded(self._create_menu, method="POST")),
            Route.of("/cgi-bin/menu/get", guarded(self._get_menu, method="GET")),
            Route.of("/cgi-bin/menu/delete", guarded(self._delete_menu, method="GET")),
            Route.of("/cgi-bin/qrcode/create", guarded(self._create_qr, method="POST", needs=verified)),
            Route.of("/cgi-bin/showqrcode", self._show_qr),
            Route.of("/cgi-bin/user/info", guarded(self._user_info, method="GET")),
            Route.of("/cgi-bin/user/get", guarded(self._user_list, method="GET")),
            Route.of(
                "/cgi-bin/template/get_all_private_template",
                guarded(self._list_templates, method="GET", needs=verified),
            ),
            Route.of("/cgi-bin/template/api_add_template", guarded(self._add_template, method="POST", needs=verified)),
            Route.of(
                "/cgi-bin/template/del_private_template",
                guarded(self._delete_template, method="POST", needs=verified),
            ),
            Route.of("/cgi-bin/clear_quota", guarded(self._clear_quota, method="POST")),
        ]

    def public(self) -> Mapping[str, object]:
        """Return the menu and the valid QR codes, newest first."""
        now = self._state.world.clock.now()
        codes = [code for code in self._state.codes.values() if code.until is None or code.until > now]
        return {
            "menu": self._menu,
            "codes": [
                {"ticket": code.ticket, "scene": code.scene, "until": code.until, "url": self._url(code)}
                for code in reversed(codes)
            ],
        }

    @staticmethod
    def _addresses(_request: Request) -> object:
        return {"ip_list": ["127.0.0.1"]}

    # Menu.

    def _create_menu(self, request: Request) -> object:
        buttons = self._state.body_of(request).get("button")
        if not isinstance(buttons, list) or not 1 <= len(buttons) <= 3:
            raise Refused("40016")
        for button in buttons:
            _check_button(button, name_bytes=16)
        self._state.count("menu_create")
        self._menu = buttons
        self._state.world.publish("people", None)
        return {"errcode": 0, "errmsg": "ok"}

    def _get_menu(self, _request: Request) -> object:
        self._state.count("menu_get")
        if not self._menu:
            raise Refused("46003")
        return {"menu": {"button": self._menu}}

    def _delete_menu(self, _request: Request) -> object:
        self._state.count("menu_delete")
        self._menu = []
        self._state.world.publish("people", None)
        return {"errcode": 0, "errmsg": "ok"}

    # QR codes.

    def _create_qr(self, request: Request) -> object:
        body = self._state.body_of(request)
        action, info = str(body.get("action_name")), body.get("action_info")
        scene = info.get("scene") if isinstance(info, Mapping) else None
        if not isinstance(scene, Mapping):
            raise Refused("40053")
        lasting = action.startswith("QR_LIMIT_")
        value = _scene_of(action, scene, lasting)
        self._state.count("qrcode")
        seconds = None if lasting else _seconds_of(body.get("expire_seconds"))
        if lasting:
            self._permanent.add(value)
            if len(self._permanent) > _PERMANENT_IDS:
                raise Refused("45029")
        world = self._state.world
        code = QrCode(
            ticket="gQ" + world.word(92, more="-_") + "==",
            short=world.word(16),
            scene=value,
            until=None if seconds is None else world.clock.now() + seconds,
        )
        self._state.codes[code.ticket] = code
        world.publish("people", None)
        answer: dict[str, object] = {"ticket": code.ticket, "url": self._url(code)}
        return answer if seconds is None else {**answer, "expire_seconds": seconds}

    def _url(self, code: QrCode) -> str:
        return f"{self._state.world.base}/q/{code.short}"

    def _show_qr(self, request: Request, _match: re.Match[str]) -> Response:
        """Answer with the picture; the ticket is enough, no token is needed (通过 ticket 换取二维码)."""
        code = self._state.codes.get(request.query.get("ticket", ""))
        if code is None:
            return Response.of_text("not found", 404)
        picture = io.BytesIO()
        segno.make(self._url(code), error="m", micro=False).save(picture, kind="svg", scale=10, border=4)
        return Response(headers={"Content-Type": "image/svg+xml"}, body=picture.getvalue())

    # People.

    def _user_info(self, request: Request) -> object:
        """Answer without name and picture, as WeChat does since 2021-12-27 (关于公众号用户信息接口的调整)."""
        person = self._state.follower(request.query.get("openid"))
        self._state.count("user_info")
        union = {"unionid": person.unionid} if self._state.account.with_unionid else {}
        if not person.followed:
            return {"subscribe": 0, "openid": person.chat.id, **union}
        return {
            "subscribe": 1,
            "openid": person.chat.id,
            "nickname": "",
            "sex": 0,
            "language": "zh_CN",
            "city": "",
            "province": "",
            "country": "",
            "headimgurl": "",
            "subscribe_time": int(person.followed_at),
            **union,
            "remark": "",
            "groupid": 0,
            "tagid_list": [],
            "subscribe_scene": "ADD_SCENE_QR_CODE" if person.scene else "ADD_SCENE_SEARCH",
            "qr_scene": int(person.scene) if person.scene.isdigit() else 0,
            "qr_scene_str": "" if person.scene.isdigit() else person.scene,
        }

    def _user_list(self, request: Request) -> object:
        self._state.count("user_list")
        followers = [openid for openid, person in self._state.people.items() if person.followed]
        after = request.query.get("next_openid", "")
        start = followers.index(after) + 1 if after in followers else 0
        page = followers[start : start + 10_000]
        shown = {"data": {"openid": page}} if page else {}
        return {"total": len(followers), "count": len(page), **shown, "next_openid": page[-1] if page else ""}

    # Templates and quotas.

    def _list_templates(self, _request: Request) -> object:
        return {
            "template_list": [
                {
                    "template_id": template.template_id,
                    "title": template.title,
                    "primary_industry": "",
                    "deputy_industry": "",
                    "content": template.content,
                    "example": "",
                }
                for template in self._state.templates.values()
            ]
        }

    def _add_template(self, request: Request) -> object:
        """Add a category template from a number of the library and the names of its fields."""
        body = self._state.body_of(request)
        short, names = body.get("template_id_short"), body.get("keyword_name_list", [])
        if not isinstance(short, str) or not isinstance(names, list) or len(self._state.templates) >= 25:
            raise Refused("40037")
        content = "\n".join(f"{name}:{{{{thing{number}.DATA}}}}" for number, name in enumerate(names, 1))
        template_id = self._state.world.word(43, more="-_")
        added = Template(template_id=template_id, title=short, content=content)
        self._state.templates[template_id] = added
        return {"errcode": 0, "errmsg": "ok", "template_id": template_id}

    def _delete_template(self, request: Request) -> object:
        template_id = str(self._state.body_of(request).get("template_id"))
        if self._state.templates.pop(template_id, None) is None:
            raise Refused("40037")
        return {"errcode": 0, "errmsg": "ok"}

    def _clear_quota(self, request: Request) -> object:
        if self._state.body_of(request).get("appid") != self._state.account.appid:
            raise Refused("40013")
        self._state.clear_counts()
        return {"errcode": 0, "errmsg": "ok"}


def _check_button(button: object, *, name_bytes: int) -> None:
    """Raises Refused."""
    if not isinstance(button, Mapping):
        raise Refused("47001")
    name, below = button.get("name"), button.get("sub_button")
    if not isinstance(name, str) or not 1 <= len(name.encode()) <= name_bytes:
        raise Refused("40018")
    if below:
        if not isinstance(below, list) or len(below) > 5:
            raise Refused("40023")
        for inner in below:
            _check_button(inner, name_bytes=60)
        return
    kind = button.get("type")
    if kind in _MENU_KEYED:
        if not 1 <= len(str(button.get("key") or "").encode()) <= 128:
            raise Refused("40019")
    elif kind == "view":
        if not 1 <= len(str(button.get("url") or "").encode()) <= 1024:
            raise Refused("40020")
    else:
        raise Refused("40017")


def _scene_of(action: str, scene: Mapping[str, object], lasting: bool) -> str:
    """The scene as a text. Raises Refused."""
    match action, scene.get("scene_id"), scene.get("scene_str"):
        case (("QR_SCENE" | "QR_LIMIT_SCENE"), int(number), _):
            if number < 1 or (lasting and number > _PERMANENT_IDS) or number >= 2**32:
                raise Refused("40053")
            return str(number)
        case (("QR_STR_SCENE" | "QR_LIMIT_STR_SCENE"), _, str(text)):
            if not 1 <= len(text) <= _SCENE_CHARACTERS:
                raise Refused("40053")
            return text
    raise Refused("40053")


def _seconds_of(options: object) -> int:
    """Return the lifetime of a code; the default is 60 seconds."""
    return min(options, _LONGEST_QR_SECONDS) if isinstance(options, int) and options > 0 else _SHORTEST_QR_SECONDS
