"""The speed layer: the changes since the published generation, flattened, in Redis.

Read in this order: `poll` (what one poll does), `poll_plan` and `lookback` (what it asks), `pending_changes` (what it
finds), `flatten_changes` and `entry` (what it keeps), `state`, `overlay` (how it is kept), `coverage` (when it may be
used), `tick` (polls at a steady pace).
"""
