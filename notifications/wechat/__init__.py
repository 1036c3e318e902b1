"""The official account of WeChat: what we ask of it (`client.py`), what it tells us (`callback.py`).

Must not know deliveries or commands. wechatpy is used in here only, so that another version of it is a change here.
"""
