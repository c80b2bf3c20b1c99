"""Every public door, tried with hostile input: each case ends with a right answer, or with an error that has a code.

All cases are derived from `hostile.SEED`; `DOORS_TIMES=20` tries twenty times as many.
"""
