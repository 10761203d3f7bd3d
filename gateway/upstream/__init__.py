"""Talking to Gemini. `protocol` says what an upstream is, `packing` and `reply` are pure, `gemini_web` does the I/O and is
the only importer of gemini_webapi."""
