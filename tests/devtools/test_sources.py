"""The texts that are read from Python, Markdown and templates, each with its line."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

from devtools.english.markup_text import markdown_paragraphs, script_paragraphs, template_paragraphs
from devtools.english.paragraphs import Paragraph
from devtools.english.python_text import python_paragraphs
from devtools.english.sources import project_sentences

_PYTHON = dedent(
    '''\
    """The first sentence of the module. The second one
    goes on in the next line.

        python -m example is not a sentence

    - A list item with a full stop.
    - a list item without one
    """
    # noqa: this line is a directive
    # Two comment lines that stand below
    # each other are one sentence.
    LIMIT = 10
    """A docstring of a constant is read."""
    # call(the, code, that, was, taken, out)


    def example() -> str:
        """Return the text, e.g. an empty one. See `a. B. c` for more."""
        raise Error(_("cursor is not valid."), _("A label without stop"), "A string that is not translated.")
        return ngettext("One job is waiting.", "%(count)s jobs are waiting.", 2)  # A comment behind some code.
    '''
)


def _texts(read: Callable[[str, str], Iterator[Paragraph]], source: str) -> list[tuple[int, str]]:
    found = [sentence for paragraph in read("a", source) for sentence in paragraph.sentences()]
    return sorted((sentence.line, sentence.text) for sentence in found)


def test_docstrings_comments_and_messages_are_read_with_their_lines() -> None:
    assert _texts(python_paragraphs, _PYTHON) == [
        (1, "The first sentence of the module."),
        (1, "The second one goes on in the next line."),
        (6, "A list item with a full stop."),
        (10, "Two comment lines that stand below each other are one sentence."),
        (13, "A docstring of a constant is read."),
        (18, "Return the text, e.g. an empty one."),
        (18, "See `a. B. c` for more."),
        (19, "A string that is not translated."),
        (19, "cursor is not valid."),
        (20, "%(count)s jobs are waiting."),
        (20, "A comment behind some code."),
        (20, "One job is waiting."),
    ]


def test_sentence_is_reported_with_the_line_on_which_it_begins() -> None:
    source = '"""A first sentence that is here.\nAnd this is more of it. Whoever comes\nthird is refused."""\n'
    assert _texts(python_paragraphs, source)[-1] == (2, "Whoever comes third is refused.")


def test_markdown_is_read_without_headings_and_code() -> None:
    source = dedent(
        """\
        # A heading that is left out.

        A paragraph with a [link to a page](page.md).
        It has two lines.

        ```sh
        echo this is not a sentence.
        ```

        | cell | A cell that is a sentence. |
        |---|---|
        - An item in
          two lines.
        """
    )
    assert _texts(markdown_paragraphs, source) == [
        (3, "A paragraph with a link to a page."),
        (4, "It has two lines."),
        (10, "A cell that is a sentence."),
        (12, "An item in two lines."),
    ]


def test_translated_texts_of_templates_are_read() -> None:
    source = dedent(
        """\
        <p>This text is not translated.</p>
        {% trans "This text is translated." %} {% trans "A label here" %}
        {% blocktrans count n=jobs %}One job
        of {{ owner }} is waiting.{% plural %}Some jobs are waiting.{% endblocktrans %}
        """
    )
    assert _texts(template_paragraphs, source) == [
        (2, "This text is translated."),
        (3, "One job of {{ owner }} is waiting."),
        (3, "Some jobs are waiting."),
    ]


def test_strings_of_tests_are_data() -> None:
    source = 'send("A string that is not translated.", _("A translated text."))'
    paragraphs = python_paragraphs("tests/test_example.py", source)
    assert [line for paragraph in paragraphs for line in paragraph.lines] == [(1, "A translated text.")]


def test_comments_of_scripts_and_styles_are_read() -> None:
    source = dedent(
        """\
        // Two lines of a comment
        // are one sentence.
        const page = "https://example.org"; // A comment behind some code.
        /* A block that has
         * two lines. */
        .card { color: red; }
        """
    )
    assert _texts(script_paragraphs, source) == [
        (1, "Two lines of a comment are one sentence."),
        (3, "A comment behind some code."),
        (4, "A block that has two lines."),
    ]


def test_chinese_is_not_counted() -> None:
    assert _texts(python_paragraphs, '"""代理在线时 the agent is told 立即领取。"""\n') == []


def test_files_belong_to_the_room_that_a_reader_expects(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for name, text in {
        "jobs/life/claim.py": '"""A claim locks the row."""\n',
        "templates/chat/chat.html": '{% trans "Write to the agent." %}',
        "templates/base.html": '{% trans "Skip to the content." %}',
        "README.md": "The product runs jobs.\n",
        "docs/api.md": "The API returns JSON.\n",
        "manage.py": '"""Run a management command."""\n',
        "static/vendor/some/notes.md": "This text is by another project.\n",
        "build/old.py": '"""This file is ignored by git."""\n',
        ".gitignore": "build\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    rooms = {room: [sentence.path for sentence in found] for room, found in project_sentences(tmp_path).items()}
    assert {room: paths for room, paths in rooms.items() if paths} == {
        "jobs": ["jobs/life/claim.py"],
        "chat": ["templates/chat/chat.html"],
        "letserver": ["manage.py", "templates/base.html"],
        "docs": ["README.md", "docs/api.md"],
    }
