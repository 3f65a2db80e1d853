"""A fresh process for each trial, on this machine: `hydra/launcher=local`."""
