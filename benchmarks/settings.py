"""The product's settings, and one address more."""

from letserver.settings import *  # noqa: F403  Django's settings are a module's names

ROOT_URLCONF = "benchmarks.urls"
