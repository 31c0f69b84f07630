"""Evidence that Stagegate collects itself, as tasks that say how far they are."""
