"""Synthetic patients, and what happens to them in a day.

The data of the demo, of `dev --changing` and of many tests. How a server stores it belongs in `demo.hapi`.
"""
