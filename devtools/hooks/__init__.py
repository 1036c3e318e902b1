"""Git hooks, installed by `make hooks`. `commit-msg` runs `subject.py`, which reads the verbs of `verbs.txt`."""
