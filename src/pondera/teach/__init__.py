"""Teachers: rationales for the cold start, and the filters that verify them."""
