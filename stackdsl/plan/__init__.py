"""Pure planning: a stack and what was seen of its hosts become addresses, links and steps."""
