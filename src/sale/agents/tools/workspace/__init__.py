"""A copy of a user's repository that agents work in, and the patch that comes of it."""
