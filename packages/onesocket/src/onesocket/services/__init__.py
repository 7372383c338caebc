"""Real services, ready to use: addresses, protocols and typed messages.

Each module is one service, for `Client`, `join`, `onesocket.blocking` and `Provider` alike, and has a fake venue in
`onesocket.testing.services` that programs can be tested against.
"""
