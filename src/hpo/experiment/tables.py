"""The tables of the state database."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

experiments = sa.Table(
    "experiments",
    metadata,
    sa.Column("experiment_id", sa.String, primary_key=True),
    sa.Column("name", sa.String),
    sa.Column("tags", sa.Text),  # JSON
    sa.Column("notes", sa.Text),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("config", sa.Text, nullable=False),  # JSON
    sa.Column("config_hash", sa.String, nullable=False),
    sa.Column("search_space", sa.Text, nullable=False),  # JSON
    sa.Column("optim_metrics", sa.Text, nullable=False),  # JSON
    sa.Column(
        "best_trials", sa.Text, nullable=False, default="[]"
    ),  # JSON: numbers; several for several objectives
    sa.Column("random_seed", sa.Integer, nullable=False),
    sa.Column("data_source", sa.String),
    sa.Column("data_digest", sa.String),
    sa.Column("command_line", sa.Text),
    sa.Column("arguments", sa.Text),  # JSON
    sa.Column("working_directory", sa.Text),
    sa.Column("git_commit", sa.String),
    sa.Column("git_dirty", sa.Boolean),
    sa.Column("git_diff", sa.Text),
    sa.Column("packages", sa.Text),  # JSON
    sa.Column("python", sa.String),
    sa.Column("platform", sa.String),
    sa.Column("host", sa.String),
    sa.Column("devices", sa.Text),  # JSON
    sa.Column("started_at", sa.DateTime, nullable=False),  # UTC, as all times here
    sa.Column("ended_at", sa.DateTime),
)

trials = sa.Table(
    "trials",
    metadata,
    sa.Column("experiment_id", sa.String, sa.ForeignKey("experiments.experiment_id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("trial_id", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("params", sa.Text, nullable=False),  # JSON
    sa.Column("config", sa.Text),  # JSON
    sa.Column("metrics", sa.Text),  # JSON; at the best iteration
    sa.Column("test_metrics", sa.Text),  # JSON; the best trial's, on data held back
    sa.Column("is_feasible", sa.Boolean, nullable=False, default=True),  # false where a soft constraint is broken
    sa.Column("reason", sa.Text),
    sa.Column("traceback", sa.Text),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("host", sa.String),
    sa.Column("pid", sa.Integer),
    sa.Column("device", sa.String),
    sa.Column("data_source", sa.String),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("started_at", sa.DateTime),
    sa.Column("ended_at", sa.DateTime),
)

reports = sa.Table(
    "reports",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("experiment_id", sa.String, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("replicate", sa.Integer, nullable=False, default=0),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("metrics", sa.Text, nullable=False),  # JSON
    sa.Column("time", sa.DateTime, nullable=False),
    sa.Index("reports_of_a_trial", "experiment_id", "number", "replicate", "step"),
)

replicates = sa.Table(
    "replicates",
    metadata,
    sa.Column("experiment_id", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("replicate", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("random_seed", sa.Integer, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("metrics", sa.Text, nullable=False),  # JSON; at the best iteration
    sa.Column("reason", sa.Text),
    sa.Column("ended_at", sa.DateTime, nullable=False),
)

# how earlier attempts ended, of trials that were tried again
attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("experiment_id", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("traceback", sa.Text),
    sa.Column("ended_at", sa.DateTime, nullable=False),
)
