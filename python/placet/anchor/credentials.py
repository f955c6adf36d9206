"""Credentials under the ancestors' import path."""

from .._credentials import CredentialBroker, PersistentCredentialBroker, SessionToken

__all__ = ["CredentialBroker", "PersistentCredentialBroker", "SessionToken"]
