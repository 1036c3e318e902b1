"""The web pages about messages and channels. `views.py`, their `forms.py`, and `presentation.py`: rows in words."""
