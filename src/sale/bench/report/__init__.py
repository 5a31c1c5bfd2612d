"""From recorded runs to tables and figures, each with its sample size and interval."""
