"""Calls to addresses that people choose: which are refused, and what a hostile peer can do to us."""

from __future__ import annotations

import datetime as dt
import gzip
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kernel import outbound
from kernel.errors import InvalidRequest
from kernel.outbound import Answer, OutboundError, check_url, is_public, post
from tests.waiting import until

pytestmark = pytest.mark.sqlite_only

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-One: 1\r\n\r\nok"


def _each(words: str) -> list[str]:
    return words.split()


NOT_PUBLIC = _each("""
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.254 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.1
192.0.0.1 192.0.0.8 192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1
239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::10.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b:1::1
100::1 2001::1 2001:2::1 2001:20::1 2001:db8::1 2002:7f00:1::1 2002:a9fe:a9fe:: 3fff::1 5f00::1 fc00::1 fd12:3456::1
fe80::1 fec0::1 ff02::1 ff0e::1
""")
PUBLIC = _each("""
1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.32.0.1 192.88.98.1 2606:4700::1111 2a00:1450::8a ::ffff:1.1.1.1
""")
NO_ADDRESSES = [
    *_each("""
    http://2130706433/ http://0x7f000001/ http://0x7f.1/ http://0177.0.0.1/ http://127.1/ http://127.0.1/ http://1.1/
    http://0/ http://[::ffff:7f00:1]/ http://localhost\\@example.com/ http://example.com@127.0.0.1/
    http://a:b@example.com/ http://@example.com/ http://example.com:0/ http://example.com:99999/ http://example.com:22/
    http://example.com:6379/ http:///path http:/example.com/ http:example.com //example.com/ ftp://example.com/
    file:///etc/passwd gopher://example.com/ javascript:alert(1) http://exa_mple..com/ http://-a.example/
    http://a-.example/ http://[fe80::1%25eth0]/ http://[::1 http://[1.2.3.4]/ http://１２７.０.０.１/
    http://127。0。0。1/ http://example.com:８０/ http://x%2ecom/ http://example.com%00/ http://ex"ample.com/ disable
    http https:// http://127.0.0.1./ http://0x7f000001./ http://%31%32%37.0.0.1/ http://①②⑦.0.0.1/
    http://example.com/{x} http://example.com/<x>
    """),
    *(
        "http://example.com/\x0b",
        "http://exam ple.com/",
        " http://example.com/",
        "http://example.com/\r\nHost: x",
        "http://a\tb/",
        "",
        "x" * 3000,
    ),
    *("http://" + "a" * 64 + ".com/", "http://" + "a." * 130 + "com/"),
]


class Stub:
    """A server of one's own words on loopback; each connection is given to `speak` on a thread."""

    def __init__(self, speak: Callable[[socket.socket], None], host: str = "127.0.0.1") -> None:
        self._speak = speak
        self.heard: list[bytes] = []
        self._listener = socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://{host}:{self.port}/path?x=1"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                line, _address = self._listener.accept()
                threading.Thread(target=self._one, args=(line,), daemon=True).start()

    def _one(self, line: socket.socket) -> None:
        with line, suppress(OSError):
            line.settimeout(5)
            self.heard.append(line.recv(65536))
            self._speak(line)
            # Closing with unread bytes would reset the connection (RST) and lose the answer.
            line.shutdown(socket.SHUT_WR)
            while line.recv(65536):
                continue

    def close(self) -> None:
        with suppress(OSError):
            # Closing alone leaves the port open to one more, as long as a thread waits in accept().
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def stub(settings: Any) -> Iterator[Callable[..., Stub]]:
    """Make servers that may be called."""
    settings.OUTBOUND_ALLOW, settings.OUTBOUND_HTTP = ["127.0.0.0/30"], True
    made: list[Stub] = []

    def make(speak: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Stub:
        made.append(Stub(speak, host))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _answers(answer: bytes) -> Callable[[socket.socket], None]:
    return lambda line: line.sendall(answer)


def _post(url: str, seconds: float = 5.0) -> Answer:
    return post(url, body=b"{}", headers={"Content-Type": "application/json"}, total_seconds=seconds)


def _error(url: str, seconds: float = 5.0) -> OutboundError:
    with pytest.raises(OutboundError) as caught:
        _post(url, seconds)
    assert "127.0.0.1" not in str(caught.value)
    return caught.value


def _nobody_is_left() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name == "outbound"]


# Which addresses.


def test_no_name_leads_to_an_address_that_is_not_public(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OUTBOUND_ALLOW, settings.OUTBOUND_HTTP = [], True
    for address in NOT_PUBLIC:
        assert not is_public(ipaddress.ip_address(address)), address
        _resolve_to(monkeypatch, address)
        error = _error("http://some.example/")
        assert (error.kind, error.heard) == ("refused", False), address
        assert _error(f"http://[{address}]/" if ":" in address else f"http://{address}/").kind == "refused", address
    assert [address for address in PUBLIC if not is_public(ipaddress.ip_address(address))] == []


def _resolve_to(monkeypatch: pytest.MonkeyPatch, address: str, port: int = 80) -> None:
    family, tail = (socket.AF_INET6, (0, 0)) if ":" in address else (socket.AF_INET, ())
    found = [(family, socket.SOCK_STREAM, 6, "", (address, port, *tail))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: found)


def test_address_that_parsers_could_read_differently_is_no_address(settings: Any) -> None:
    settings.OUTBOUND_HTTP, settings.OUTBOUND_ALLOW = True, []
    for url in NO_ADDRESSES:
        with pytest.raises(InvalidRequest):
            check_url(url)
        assert _error(url).kind == "refused", url


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://example.com", "https://example.com"),
        ("HTTPS://Example.COM:8443/A?b=%20#c", "https://example.com:8443/A?b=%20"),
        ("https://example.com./x", "https://example.com/x"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ("https://例え.jp/", "https://xn--r8jz45g.jp/"),
        ("https://example.com#@127.0.0.1/", "https://example.com"),
        ("https://1.1.1.1:443/", "https://1.1.1.1:443/"),
        ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
    ],
)
def test_good_address_gets_its_normal_form(url: str, normal: str) -> None:
    assert check_url(url) == normal


def test_http_and_other_ports_are_for_settings_to_open(settings: Any) -> None:
    settings.OUTBOUND_HTTP, settings.OUTBOUND_ALLOW = False, []
    for url in ("http://example.com/", "https://example.com:9000/", "https://10.0.0.7/"):
        with pytest.raises(InvalidRequest):
            check_url(url)
    settings.OUTBOUND_HTTP, settings.OUTBOUND_ALLOW = True, ["10.0.0.0/8"]
    for url in ("http://example.com/", "http://nas.home:9000/", "http://10.0.0.7:9000/"):
        assert check_url(url) == url
    for url in ("https://1.1.1.1:9000/", "https://192.168.0.1/"):
        with pytest.raises(InvalidRequest):
            check_url(url)


def test_other_port_is_refused_where_the_name_leads_to_the_internet(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTBOUND_HTTP, settings.OUTBOUND_ALLOW = True, ["10.0.0.0/8"]
    _resolve_to(monkeypatch, "1.1.1.1")
    assert _error("http://some.example:6379/").kind == "refused"


def test_name_that_changes_its_address_is_called_where_it_was_judged(
    stub: Callable[..., Stub], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.2/32"]
    judged = stub(_answers(_OK), "127.0.0.2")
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str, *args: Any, **more: Any) -> Any:
        if host == "rebind.example":
            asked.append(host)
            host = "127.0.0.2" if len(asked) == 1 else "127.0.0.1"
        return real(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert _post(f"http://rebind.example:{judged.port}/").status == 200
    assert asked == ["rebind.example"]
    assert f"Host: rebind.example:{judged.port}".encode() in judged.heard[0]
    assert _error(f"http://rebind.example:{judged.port}/").kind == "refused"


# Bytes that go out and come in.


def test_answer_comes_with_lower_case_headers_and_the_request_asks_for_nothing_packed(
    stub: Callable[..., Stub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    peer = stub(_answers(_OK))
    answer = _post(peer.url)
    assert (answer.status, answer.body, answer.headers["x-one"]) == (200, b"ok", "1")
    (request,) = peer.heard
    assert request.startswith(b"POST /path?x=1 HTTP/1.1\r\n")
    assert b"Accept-Encoding: identity\r\n" in request
    assert b"Cookie" not in request
    assert b"Authorization" not in request


def test_redirect_is_an_answer_and_is_not_followed(stub: Callable[..., Stub]) -> None:
    peer = stub(_answers(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"))
    assert _post(peer.url).status == 302
    assert len(peer.heard) == 1


def test_packed_answer_stays_packed(stub: Callable[..., Stub]) -> None:
    bomb = gzip.compress(bytes(5_000_000))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    answer = _post(stub(_answers(head + bomb)).url)
    assert answer.body == bomb[: outbound.ANSWER_BYTES]


def test_endless_answer_is_read_up_to_its_limit(stub: Callable[..., Stub]) -> None:
    sent: list[int] = []

    def speak(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1600):
            line.sendall(bytes(65536))
            sent.append(65536)

    answer = _post(stub(speak).url)
    assert (answer.status, len(answer.body)) == (200, outbound.ANSWER_BYTES)
    until(_nobody_is_left)
    assert sum(sent) < 50_000_000


@pytest.mark.parametrize("place", ["status", "headers", "body", "nothing"])
def test_peer_that_drips_is_hung_up_on_at_the_deadline(stub: Callable[..., Stub], place: str) -> None:
    begin = {
        "status": b"",
        "headers": b"HTTP/1.1 200 OK\r\nX-Slow: ",
        "body": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        "nothing": b"",
    }[place]
    gone = threading.Event()

    def speak(line: socket.socket) -> None:
        line.sendall(begin)
        try:
            while place != "nothing":
                line.sendall(b"x")
                time.sleep(0.02)
            while line.recv(65536):  # the body may come after the head
                continue
        finally:
            gone.set()

    began = time.monotonic()
    error = _error(stub(speak).url, 0.4)
    assert (error.kind, error.heard) == ("timeout", True)
    assert time.monotonic() - began < 2
    assert gone.wait(3)
    until(_nobody_is_left)


def test_resolver_that_hangs_does_not_hold_us(stub: Callable[..., Stub], monkeypatch: pytest.MonkeyPatch) -> None:
    peer = stub(_answers(_OK))
    go_on = threading.Event()
    real = socket.getaddrinfo

    def hanging(host: str, *args: Any, **more: Any) -> Any:
        go_on.wait(10)
        return real("127.0.0.1", *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    error = _error(f"http://slow.example:{peer.port}/", 0.3)
    assert (error.kind, error.heard) == ("timeout", False)
    # The answer of the resolver comes too late: nothing is sent any more.
    go_on.set()
    until(_nobody_is_left)
    assert not any(b"POST" in request for request in peer.heard)


def test_no_connection_was_not_heard_and_a_lost_one_may_have_been(stub: Callable[..., Stub]) -> None:
    closed = stub(_answers(_OK))
    closed.close()
    refused = _error(closed.url)
    assert (refused.kind, refused.heard) == ("connect", False)
    lost = _error(stub(lambda _line: None).url)
    assert (lost.kind, lost.heard) == ("connect", True)


@pytest.mark.parametrize("answer", [b"\x00\xff garbage\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 x OK\r\n\r\n"])
def test_peer_that_does_not_speak_http_gives_no_answer(stub: Callable[..., Stub], answer: bytes) -> None:
    assert _error(stub(_answers(answer)).url).heard


def test_certificate_of_nobody_is_refused(stub: Callable[..., Stub], tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            line, _address = listener.accept()
            with line:
                context.wrap_socket(line, server_side=True)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    stub(_answers(_OK))
    error = _error(f"https://127.0.0.1:{listener.getsockname()[1]}/")
    assert (error.kind, error.heard) == ("tls", False)
    thread.join(5)
    listener.close()


def test_plain_text_where_tls_should_be_is_refused(stub: Callable[..., Stub]) -> None:
    error = _error(stub(_answers(_OK)).url.replace("http:", "https:"))
    assert (error.kind, error.heard) == ("tls", False)


_LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


def _certificate(folder: Path, name_in_it: x509.GeneralName = _LOOPBACK) -> Path:
    """Write a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    alternative = x509.SubjectAlternativeName([name_in_it])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "one.pem"
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    return path


def test_platform_of_the_settings_may_be_anywhere(stub: Callable[..., Stub], settings: Any) -> None:
    peer = stub(_answers(_OK))
    settings.OUTBOUND_ALLOW, settings.OUTBOUND_HTTP = [], False
    assert outbound.call_platform("GET", peer.url, body=None, headers={}).status == 200
    assert peer.heard[0].startswith(b"GET ")
    assert _error(peer.url).kind == "refused"


def test_answer_whose_end_is_lost_is_its_status(stub: Callable[..., Stub]) -> None:
    answer = _post(stub(_answers(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")).url)
    assert (answer.status, answer.body) == (200, b"half")


def test_certificate_is_for_the_name_though_the_address_is_called(
    stub: Callable[..., Stub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(_answers(_OK))
    pem = _certificate(tmp_path, x509.DNSName("good.example"))
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    asked: list[str] = []
    context.sni_callback = lambda _line, name, _context: asked.append(name)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve() -> None:
        for _ in range(2):
            line, _address = listener.accept()
            with line, suppress(OSError), context.wrap_socket(line, server_side=True) as secure:
                heard = b""
                while not heard.endswith(b"{}"):  # closing over words that were not read takes back the answer
                    heard += secure.recv(65536)
                secure.sendall(_OK)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    _resolve_to(monkeypatch, "127.0.0.1", port)
    assert _post(f"https://good.example:{port}/").status == 200
    error = _error(f"https://other.example:{port}/")
    assert (error.kind, error.heard) == ("tls", False)
    assert asked == ["good.example", "other.example"]
    thread.join(5)
    listener.close()
