"""Typed settings and the loader that fills them. Imports nothing of ours."""
