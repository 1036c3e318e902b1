"""A form shows the hidden characters of a text beside its input, which must keep them."""

from __future__ import annotations

from django import forms
from django.template.loader import render_to_string

from kernel.visible import visible_page


class _Form(forms.Form):
    name = forms.CharField()


def _drawn(name: str) -> str:
    field = _Form(initial={"name": name})["name"]
    return render_to_string("components/_field.html", {"field": field, "widget": field.as_widget()})


def test_form_names_characters_that_turn_the_reading_direction() -> None:
    page = _drawn("nas\u202egpj")
    assert 'value="nas\u202egpj"' in page
    assert "nas⟨U+202E⟩gpj" in page
    assert "⟨" not in _drawn("nas 中文")


def test_page_keeps_what_a_form_sends_back_and_shows_the_rest() -> None:
    page = 'a\u202eb<input value="c\u202ed">\n<textarea>e\u202ef</textarea>\u2066g'
    assert visible_page(page) == 'a⟨U+202E⟩b<input value="c\u202ed">\n<textarea>e\u202ef</textarea>⟨U+2066⟩g'
    assert visible_page("<p>中文 👨\u200d👩</p>\r\n") == "<p>中文 👨\u200d👩</p>\r\n"
