"""The search: the space, the study, the loop that keeps the slots busy, and the Hydra sweeper over them."""
