"""One trial: its directory, its channel to the scheduler, and the attempt that runs its task."""
