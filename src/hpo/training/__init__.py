"""The training loop: the task that ships with hpo."""
