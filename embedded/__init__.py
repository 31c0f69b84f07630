"""The one-machine installation: builds the environment, starts every service and keeps it alive."""
