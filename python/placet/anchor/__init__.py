"""Credentials and approvals under the ancestors' import path."""

from .credentials import CredentialBroker, PersistentCredentialBroker, SessionToken
from .models import HITLQueue

__all__ = ["CredentialBroker", "HITLQueue", "PersistentCredentialBroker", "SessionToken"]
