"""What the admin page in `static/` talks to."""
