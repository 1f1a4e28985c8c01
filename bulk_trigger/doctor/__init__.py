"""What would keep a job list from running, found out before the first send.

    questions ─► Answers ─► diagnosis ─► [Line]          connection, clock, lookup, flows, jobs: one noun each

Only `questions` asks the gateway, and nothing that it asks changes anything there. All else is pure.
"""
