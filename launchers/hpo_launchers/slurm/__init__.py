"""Trials in jobs of a Slurm cluster: `hydra/launcher=slurm`."""
