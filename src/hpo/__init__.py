"""Hyperparameter optimization and ablation of PyTorch models on Hydra and Optuna."""
