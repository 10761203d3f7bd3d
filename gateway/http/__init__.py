"""The edge to the callers: aiohttp lives here and in `app.py`, nowhere else below."""
