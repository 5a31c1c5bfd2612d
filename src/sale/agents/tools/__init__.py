"""Tools a contractor can work with."""
