"""One box from many."""
