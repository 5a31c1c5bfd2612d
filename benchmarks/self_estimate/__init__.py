"""Does an agent know whether it will succeed? What it says before the work, after its plan, and after its answer."""
