"""The data the server keeps: virtual keys and their budgets, the ledger of requests, and sessions."""
