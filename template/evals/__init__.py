"""`make eval`: is the service as good as it was? Questions with expectations, asked through its own stack.

Nothing of `app` imports this; it may be deleted without a trace.
"""
