"""Types of what symnets uses of e3nn, whose own annotations are looser than its code."""
