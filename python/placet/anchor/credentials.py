"""Credentials under the ancestors' import path."""

from .._core import HolderKey
from .._credentials import CredentialBroker, PersistentCredentialBroker, SessionToken, SignedToken

__all__ = ["CredentialBroker", "HolderKey", "PersistentCredentialBroker", "SessionToken", "SignedToken"]
