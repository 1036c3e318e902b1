"""Everything that `make up` says, Chinese first, English beside it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


class Refusal(Exception):
    """The start cannot go on; carries one clear sentence in both languages, and lines of a log where they help."""

    def __init__(self, chinese: str, english: str, *, details: str = "") -> None:
        super().__init__(english)
        self.chinese = chinese
        self.english = english
        self.details = details


def say(text: str, *, error: bool = False) -> None:
    """Print at once, also where the terminal's encoding lacks a character."""
    stream = sys.stderr if error else sys.stdout
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)


def step(chinese: str, english: str) -> None:
    """Print that a step has begun that takes a while."""
    say(f"  · {chinese} · {english} …")


def refuse(refusal: Refusal) -> None:
    """Print why the start was refused."""
    say(f"\n✗ {refusal.chinese}\n  {refusal.english}", error=True)
    if refusal.details:
        say("\n" + refusal.details, error=True)


def tell_tightened(data: Path, *, mode: int, count: int) -> None:
    """Say that others could use the data folder until now."""
    say(
        f"! 数据目录 {data}（权限 {mode:o}）中有 {count} 项原先对其他用户开放，现在只有本用户可以访问；"
        "若曾有他人读取，请更换其中的密钥和密码\n"
        f"  {count} paths of the data folder {data} (mode {mode:o}) were open to other users and are private now; "
        "if others may have read them, change its keys and passwords"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The facts that a person needs once everything runs."""

    url: str
    username: str
    password: str
    user_token: str
    data: Path
    seconds: float


def tell_ready(ready: Ready) -> None:
    """Print addresses, the login, the token and a command that works when pasted."""
    say(
        f"""
✓ LetServer 已就绪 · LetServer is ready   ({ready.seconds:.1f} s)

  控制台 Console      {ready.url}/
  管理员 Staff login  {ready.username} / {ready.password}
  令　牌 User token   {ready.user_token}
  数　据 Data, logs   {ready.data}

  试一试：粘贴下面这行，演示机会执行 date 并把结果带回来
  Try it: paste this line, the demo agent runs `date` and the answer comes back

curl -sS -H "Authorization: Bearer {ready.user_token}" -H "Content-Type: application/json" \
-d '{{"agent":"demo","message":"date"}}' "{ready.url}/jobs?wait=10"

  按 Ctrl-C 停止 · Press Ctrl-C to stop
"""
    )


def tell_stopping() -> None:
    """Say that the end was asked for."""
    say("\n  · 正在停止 · Stopping …")


def tell_stopped() -> None:
    """Say that nothing is left running."""
    say("  ✓ 已停止 · Stopped")


def tell_restart(*, name: str, how_zh: str, how_en: str, delay_seconds: float, log: Path, last: bool) -> None:
    """Tell in one line that a child ended by itself, and what happens next."""
    quiet = "（之后不再逐次提示 · further restarts are not told）" if last else ""
    say(
        f"! {name} {how_zh}，{delay_seconds:g} 秒后重启 · {name} {how_en}, restarting in {delay_seconds:g} s"
        f" · {log}{quiet}"
    )


def tell_given_up(*, name: str, log: Path) -> None:
    """Tell in one line that a child refuses its own configuration and is left alone."""
    say(f"! {name} 拒绝其配置，不再重启 · {name} refuses its configuration and is not restarted · {log}")


def port_refusal(host: str, port: int, error: OSError) -> Refusal:
    """Return the sentence for an address that cannot be listened on."""
    import errno

    if error.errno == errno.EADDRINUSE:
        return Refusal(
            f"端口 {port} 已被占用；请换一个端口，例如：make up LETSERVER_PORT={other_port(port)}",
            f"Port {port} is in use; choose another, for example: make up LETSERVER_PORT={other_port(port)}",
        )
    if error.errno == errno.EACCES:
        return Refusal(
            f"没有权限监听端口 {port}；请使用 1024 以上的端口。",
            f"This user may not listen on port {port}; choose one above 1023.",
        )
    return Refusal(
        f"无法监听 {host} 的端口 {port}：{error.strerror or error}。请检查 LETSERVER_HOST。",
        f"Cannot listen on {host} port {port}: {error.strerror or error}. Check LETSERVER_HOST.",
    )


def other_port(port: int) -> int:
    """Return a port to propose instead."""
    return port + 1 if port < 65535 else 8000
