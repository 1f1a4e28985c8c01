"""Job lists made from a schedule, or from what the gateway says of its instances.

    quartz ─► cron ─► cadence ─► plan ─► writing          zones, ranges: which times are meant
                                  ▲
    instances ─► missing, failed ─┘                        what exists, or ended badly

All of it is pure, save `schedules` and `history`, which ask the gateway, and `writing`.
"""
