"""The adapters: one module per chat platform. Each checks a callback, runs the line as a command, and answers.

- `wechat.py`, `wecom.py`, `telegram.py`, `slack.py`: the callbacks of the platforms.
- `console.py`: the console's chat page, and the login by chat.
- `receiving.py`: the steps that all platforms share. `answers.py`: shared HTTP answers.
"""
