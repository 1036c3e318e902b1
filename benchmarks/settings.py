"""The product's settings with the URLs of `benchmarks/urls.py`."""

from letserver.settings import *  # noqa: F403  Django's settings are a module's names

ROOT_URLCONF = "benchmarks.urls"
