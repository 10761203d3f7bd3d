"""The one place that knows the version: packaging, `/api/info` and the server header read it from here."""

__version__ = "0.1.0"
