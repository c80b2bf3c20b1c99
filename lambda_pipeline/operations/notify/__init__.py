"""Notifications: somebody is told when a refresh, a tick or a check fails, and when it is over.

A notice goes to a webhook and by mail, as settings say (`channels`), at most once per interval and subject (`ledger`).
Which failures there are is known elsewhere: here nothing of Dagster, and nothing of a patient.
"""

from lambda_pipeline.operations.notify.channels import Channel, Delivery, configured_channels
from lambda_pipeline.operations.notify.notice import Notice, State
from lambda_pipeline.operations.notify.notifier import Notifier

__all__ = ["Channel", "Delivery", "Notice", "Notifier", "State", "configured_channels"]
