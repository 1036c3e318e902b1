"""The check of the English in docstrings, comments, documents and sentences for people, a part of `make lint`.

`sources.py` finds the files and their rooms, `python_text.py` and `markup_text.py` read their paragraphs,
`paragraphs.py` cuts them into sentences, `openings.py` finds sentences without a subject, `words.py` finds the words
listed in `words.toml`, `report.py` counts, prints and compares with the limits.
"""
