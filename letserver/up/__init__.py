"""The supervisor of `make up`: owns the processes of one embedded instance, from lock to last child.

Must not know models or rules: it runs commands and reads their exit. Start reading at `start.py`.
"""
