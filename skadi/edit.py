"""`skadi TOKEN`: write a token into skadi.yml by changing its text, so that comments and layout stay."""

from __future__ import annotations

import os
import re
import tempfile

from skadi import yamlet
from skadi.config import TOKEN, ConfigError, read_text

TOKEN_LINE = re.compile(
    r"""^token[ ]*:(?:[ ]+(?:"[^"\n]*"|'[^'\n]*'|[^\s#"'][^#\n]*?))?(?P<comment>[ ]+\#[^\n]*)?[ ]*$""", re.M | re.X
)


def with_token(text: str, token: str) -> str:
    """Return the text of a configuration with another token. Raises ConfigError if the line cannot be changed
    safely.
    """
    breaks = "\r\n" if "\r\n" in text else "\n"
    plain = text.replace("\r\n", "\n")
    # YAML would read some tokens as a number; only those get quotes.
    written = token if yamlet.load(token) == token else f'"{token}"'
    found = TOKEN_LINE.findall(plain)
    if len(found) == 1:
        plain = TOKEN_LINE.sub(lambda match: "token: {}{}".format(written, match.group("comment") or ""), plain)
    elif not found:
        start = re.match(r"(?:\ufeff)?(?:[ ]*(?:#[^\n]*)?\n)*(?:---[^\n]*\n)?", plain)
        at = start.end() if start else 0
        plain = f"{plain[:at]}token: {written}\n{plain[at:]}"
    try:
        document = yamlet.load(plain, typed=False)
    except yamlet.YamlError as error:
        raise ConfigError(f"the line `token:` cannot be changed safely ({error})") from error
    if not isinstance(document, yamlet.Map) or document.get("token") != token:
        raise ConfigError("the line `token:` cannot be found")
    return plain.replace("\n", breaks)


def write_token(path: str, token: str) -> None:
    """Change the token in a file and set its mode to 0600. Raises ConfigError."""
    if not TOKEN.match(token):
        raise ConfigError(f"a token has 20 letters and digits, this has {len(token)} characters")
    real = os.path.realpath(path)
    try:
        text = with_token(read_text(real), token)
    except ConfigError as error:
        raise ConfigError(f"{real} was not changed: {error}. Write it yourself: token: (your token)") from error
    try:
        status = os.stat(real)
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(real), prefix=".skadi-")  # its mode is 0600
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if os.geteuid() == 0:
                os.chown(temporary, status.st_uid, status.st_gid)
            os.replace(temporary, real)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise ConfigError(f"{real} cannot be written: {error.strerror}") from error
