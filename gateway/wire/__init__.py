"""Wire formats as pure functions: bytes and dicts on one side, the values of `gateway/model.py` on the other. No socket,
no clock, no randomness: ids and times come in with the call."""
