"""The bench: tasks, recorded runs, routers replayed over them, and reports. Method, sections 4 to 6."""
