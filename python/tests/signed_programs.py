"""The other process of `test_signed`: it makes its own key, and does what it is told with a chain."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import placet


def serve(folder: Path, pipe: Connection) -> None:
    """Answers commands until the other end hangs up."""
    holder = Holder(folder)
    pipe.send(holder.key.public)
    while True:
        try:
            name, *args = pipe.recv()
        except EOFError:
            return
        try:
            answer = getattr(holder, name)(*args)
        except placet.GovernanceError as error:
            answer = (error.decision.code, error.decision.reason)
        except placet.PlacetError as error:
            answer = (error.code, str(error))
        pipe.send(answer)


class Holder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = placet.HolderKey()
        self.signed: placet.SignedToken | None = None
        self.pay: Any = None
        self.gate: placet.PolicyGate | None = None

    def take(self, chain: str) -> tuple[str, ...]:
        """Takes a chain over, to prove calls with it."""
        self.signed = placet.SignedToken(chain, self.key)
        return self.signed.scopes

    def prove(self, tool: str, args: dict[str, Any]) -> str:
        assert self.signed is not None
        return self.signed.prove(tool, args)

    def delegate(self, scopes: list[str], session: str, public: str, **options: Any) -> str:
        assert self.signed is not None
        return self.signed.delegate(scopes, session, public, **options).chain

    def hold(self, session: str) -> str:
        """Opens the same ledger, and governs a tool under the chain."""
        assert self.signed is not None
        ledger, keys = self.folder / "ledger.db", self.folder / "keys"
        broker = placet.PersistentCredentialBroker(ledger, keys=keys)
        token = broker.hold(self.signed)
        self.gate = placet.PolicyGate(
            policies=self.folder / "policy.yaml", ledger=ledger, keys=keys, credential_broker=broker
        )
        context = placet.SessionContext(
            session_id=session, user_role="", session_scopes=token.scopes, token_id=token.token_id
        )
        self.context = context

        @placet.governed(gate=self.gate, context=context, action="pay")
        def pay(amount: int, to: str = "x") -> str:
            with open(self.folder / "effects", "a", encoding="utf-8") as effects:
                effects.write(f"{amount}\n")
            return f"paid {amount}"

        self.pay = pay
        return token.session_id

    def call(self, amount: int) -> Any:
        return self.pay(amount)

    def ask(self, action: str, scopes: list[str], session: str) -> tuple[str, str]:
        assert self.gate is not None
        context = placet.SessionContext(
            session_id=session, user_role="", session_scopes=scopes, token_id=self.context.token_id
        )
        decision = self.gate.decide_tool_call(placet.ToolCallInput(action=action), context)
        return decision.verdict if decision.allow else decision.code, decision.reason
