"""The shape of a memory."""

from .._memory import MemoryEntry, TrustTier

__all__ = ["MemoryEntry", "TrustTier"]
