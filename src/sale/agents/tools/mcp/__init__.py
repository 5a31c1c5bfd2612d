"""Tools of MCP servers. Needs the `mcp` extra."""
