"""Every router, and attempts under checks of stated quality, on tables that others recorded."""
