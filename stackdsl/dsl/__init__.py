"""What an author writes: decorators that write down, and the reading and checking of it."""
