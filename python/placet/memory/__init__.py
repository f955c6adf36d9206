"""Agent memory with tiers of trust and provenance."""

from .._memory import (
    MemoryEntry,
    MemoryStore,
    MemoryStoreError,
    TrustTier,
    default_memory_write_policy,
    memory_tools,
)

__all__ = [
    "MemoryEntry",
    "MemoryStore",
    "MemoryStoreError",
    "TrustTier",
    "default_memory_write_policy",
    "memory_tools",
]
