"""A small project of a user's: models, data, steps, a metric, a scheduler and tasks of its own."""
