"""The web pages about jobs. `views.py`: the views. `forms.py`: their forms. `presentation.py`: a job in words."""
