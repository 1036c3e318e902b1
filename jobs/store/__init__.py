"""Small named values that scripts keep between runs. `service.py` stores them, `api.py` answers `/state`."""
