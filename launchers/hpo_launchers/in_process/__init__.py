"""Trials one after the other in the process of the scheduler, for debugging: `hydra/launcher=in_process`."""
