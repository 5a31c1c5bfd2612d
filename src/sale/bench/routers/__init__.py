"""Every router of the comparison behind one interface (method, section 6)."""
