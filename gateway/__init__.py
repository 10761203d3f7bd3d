"""HTTP gateway in front of a pool of Gemini web accounts. Start reading at `gateway/calls.py`."""
