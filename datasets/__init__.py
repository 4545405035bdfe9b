"""What a corpus is: its files, subjects and labels. Nothing of methods."""
