"""After the last trigger: what became of the instances that a run created, and how to stop them.

`targets` are the rows that the journal holds as succeeded, with their instances; `windows` says which lists
show many of them at once, `lookout` reads those and keeps what was seen, `waiting` looks again until all have
ended, `cancelling` does not want to wait for that.
"""
