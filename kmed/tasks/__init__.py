"""Tasks: one flow per family of tasks, from files to a measured bundle, read top to bottom."""
