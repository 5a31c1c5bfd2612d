"""The pages: one module each, from a request to what its template shows."""
