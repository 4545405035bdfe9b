"""What it all means: tables of finished results. Never a model."""
