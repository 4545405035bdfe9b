"""Who may see what: subjects and folds. Nothing of files or models."""
