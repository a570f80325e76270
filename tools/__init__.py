"""What helps to develop awlog."""
