"""What this machine needs, beside the plain way of doing the same and beside the machine's own ceiling."""
