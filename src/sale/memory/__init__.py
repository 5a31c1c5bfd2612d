"""The auction memory: what was bid, who won, how it went; and what is worth showing again."""
