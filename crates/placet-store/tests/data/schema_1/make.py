# Makes a ledger as the release with schema 1 wrote it: run in an empty folder, keep `ledger.db` and `keys`.
import os
import placet

os.environ["PLACET_KEYS"] = "keys"
open("p.yaml", "w").write("""version: 1
rules:
  - name: small
    when: { action: pay, args.amount: { lte: 100 } }
    then: allow
  - name: large
    when: { action: pay, args.amount: { gt: 100 } }
    then: hitl
    reason: a person reads it first
""")
gate = placet.PolicyGate(policies="p.yaml", ledger="ledger.db", keys="keys")
ctx = placet.SessionContext(session_id="s1", user_role="clerk", session_scopes=[])


@placet.governed(gate, ctx)
def pay(amount, to):
    return f"paid {to}"


pay(10, to="Ann Archer")
pay(20, to="Bob Brown")
try:
    pay(200, to="Carol Clark")
except placet.GovernanceError as e:
    print(e)
print(gate.audit.erase(by="dpo", basis="gdpr-17", containing="Ann Archer"))
print(len(gate.audit.query()))
