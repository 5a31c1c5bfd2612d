"""The market for other programs. Each way in has a module, and an extra where it needs one."""
