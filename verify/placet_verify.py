#!/usr/bin/env python3
"""Verify a Placet log without Placet: `placet_verify.py LOG --key NAME+HASH+BASE64 [--from CHECKPOINT]`
An independent implementation, standard library only, of the same specifications. Ed25519 is RFC 8032 in plain Python: it
only verifies, so it need not run in constant time. LOG is an SQLite ledger or a JSONL mirror. Prints a report as JSON;
exits 0 (clean), 1 (findings), 2 (error).
"""  # SPDX-License-Identifier: MIT OR Apache-2.0
import argparse, datetime, json, sqlite3
from base64 import b64decode
from functools import partial, reduce
from glob import escape, glob
from hashlib import sha256, sha512
from itertools import chain
from os.path import exists, splitext
WRONG = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
b64 = partial(b64decode, validate=True)
KEPT = {"seq", "leaf", "hash", "view", "sealed", "personal"}  # what a mirror's line has besides what can be read
USES = dict.fromkeys(("issue", "present"), "credential") | dict.fromkeys(("reserve", "settle", "release"), "budget")
USES |= dict.fromkeys(("ask", "vote", "close", "consume", "claim", "mark", "told"), "approval")
FOLLOW = {"time", "outcome", "approval", "budget", "credential", "rollback", "missing"}  # may follow from another record
def ed25519(public, text, signature):  # RFC 8032, section 5.1.7, without cofactor; no points of small order
    def point(data):  # section 5.1.3
        y, sign = int.from_bytes(data, "little") & (2**255 - 1), data[31] >> 7
        x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        x = pow(x2, (P + 3) // 8, P)
        x = x if (x * x - x2) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
        if y >= P or (x * x - x2) % P or (x == 0 and sign): raise ValueError("no point")
        return (x := P - x if x & 1 != sign else x), y, 1, x * y % P
    def add(p, q):  # section 5.1.4
        a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
        c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
        return (b - a) * (d - c) % P, (d + c) * (b + a) % P, (d - c) * (d + c) % P, (b - a) * (b + a) % P
    def times(s, p):
        return reduce(lambda q, bit: add(add(q, q), p) if bit == "1" else add(q, q), f"{s:b}", (0, 1, 1, 0))
    def same(p, q):
        return (p[0] * q[2] - q[0] * p[2]) % P == 0 == (p[1] * q[2] - q[1] * p[2]) % P
    a, r, s = point(public), point(signature[:32]), int.from_bytes(signature[32:], "little")
    k = int.from_bytes(sha512(signature[:32] + public + text).digest(), "little") % L
    base = times(s, point((4 * pow(5, -1, P) % P).to_bytes(32, "little")))
    small = any(same(times(8, one), times(0, one)) for one in (a, r))
    return len(signature) == 64 and s < L and not small and same(base, add(r, times(k, a)))
def parse_key(text):
    name, key_id, data = text.split("+", 2)
    if len(b64(data)) != 33 or sha256(name.encode() + b"\n" + b64(data)).hexdigest()[:8] != key_id or b64(data)[0] != 1:
        raise ValueError(f"no Ed25519 key, or one that does not fit its hash: {text}")
    return name, bytes.fromhex(key_id), b64(data)[1:]
def open_checkpoint(note, keys):  # C2SP signed-note and tlog-checkpoint: (origin, size, root)
    (text, blank, signatures), signers = note.rpartition("\n\n"), set()
    if not blank or not signatures.endswith("\n") or any(c < " " and c != "\n" for c in note):
        raise ValueError("no signed note")
    for line in signatures[:-1].split("\n"):
        mark, name, data = line.split(" ")
        named = [key for key in keys if key[:2] == (name, b64(data)[:4])]
        if mark != "\u2014" or (named and not any(ed25519(key[2], f"{text}\n".encode(), b64(data)[4:]) for key in named)):
            raise ValueError(f"no signature, or one forged in the name of `{name}`")
        signers.update(key[0] for key in named)
    origin, size, root, *more = text.split("\n")
    if origin not in signers or "" in more or len(b64(root)) != 32 or str(abs(int(size))) != size:
        raise ValueError("no checkpoint that a given key signed for the log of its name")
    return origin, int(size), b64(root)
def load(text):  # RFC 8785 without floats, which no log holds: every other form is refused
    def members(pairs):
        keys = [key.encode("utf-16-be") for key, _ in pairs]
        return dict(pairs) if keys == sorted(set(keys)) else {}["members out of order, or twice"]
    value = json.loads(text, object_pairs_hook=members, parse_float={}.__getitem__)
    return value if json.dumps(value, ensure_ascii=False, separators=(",", ":")) == text else {}["no canonical form"]
def parse_leaf(leaf):
    record = load(leaf.decode())
    [(kind, fact)] = record["fact"].items()
    return (record, kind, fact) if record["v"] == 1 and len(leaf) < 65536 else {}["no record of this format"]
def readable(record, kind, fact, view):  # the members of a mirror's line that follow from leaf and view
    time = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=record["time_us"])
    line = {key: record[key] for key in ("id", "tenant", "session", "agent") if key in record}
    line |= {"event": kind, "timestamp": time.isoformat(timespec="microseconds") + "Z"}
    if kind == "decision":
        reason, verdict = json.loads(view).get("reason") if view else None, fact["verdict"]
        told = {key: fact[key] for key in ("verdict", "hard", "code", "risk_tier", "rules")}
        told |= {"allow": verdict == "allow", "deny": verdict == "deny", "requires_hitl": verdict == "escalate"}
        line |= {key: fact.get(key) for key in ("action", "tool", "policy_version")} | {"event": fact["event_type"]}
        line["decision"] = told | {"reason": reason if isinstance(reason, str) else None}
    elif kind == "outcome":
        line |= {key: fact.get(key) for key in ("status", "error", "elapsed_us")} | {"decision_id": fact["decision"]}
    return line
def read_sqlite(path):  # checkpoints (size, note), entries (seq, leaf, hash, view, fields, line), stated size and chain
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.text_factory = lambda data: data.decode(errors="replace")
    personal = "SELECT field, salt, CAST(value AS BLOB) FROM personal WHERE seq = ?"
    rows = db.execute("SELECT seq, CAST(leaf AS BLOB), hash, CAST(body AS BLOB) FROM entry LEFT JOIN view USING (seq) ORDER BY seq")
    entries = ((*row, db.execute(personal, row[:1]).fetchall()) for row in rows)
    head = db.execute("SELECT size, chain FROM head").fetchone() or (-1, b"gone")
    return db.execute("SELECT size, note FROM checkpoint ORDER BY size"), entries, head
def read_mirror(path):  # with the files that were full before it: NAME.FIRST.jsonl, by the position of the first entry
    def entry(line):
        leaf, view, fields = line["leaf"].encode(), line.get("view"), line.get("personal")
        fields = fields and [(field["field"], b64(field["salt"]), field["value"].encode()) for field in fields]
        view = False if view is None and "sealed" in line else view and view.encode()  # False: kept under a key
        return int(line["seq"]), leaf, bytes.fromhex(line["hash"]), view, fields, line
    def items(checkpoints):
        for text in chain.from_iterable(open(n, encoding="utf-8", errors="replace", newline="\n") for n in names):
            try:
                line = load(text[:-1] if text[-1] == "\n" else "")
                mark = line.keys() == {"event", "size", "note", "timestamp"} and line["event"] == "checkpoint"
                item = (line["size"], line["note"]) if mark else entry(line)
            except WRONG:
                mark, item = False, (-1,)
            if mark == checkpoints: yield item
    names = sorted(glob(f"{escape(splitext(path)[0])}.{'[0-9]' * 12}{splitext(path)[1]}"))
    names += [path] if exists(path) or not names else []
    return items(True), items(False), None
class Run:
    def __init__(self, keys, outside):
        self.keys, self.outside, self.origin, self.roots, self.found = keys, outside, outside and outside[0], [], []
        self.n, self.time, self.signed, self.last, self.truncation = 0, 0, 0, None, "not checkable"
        self.open, self.gone, self.chain, self.erasures, self.sealed = {}, {}, bytes(32), [], 0
        self.things, self.rollbacks = {("credential", None): None}, []
    def find(self, code, start, end):
        self.truncation = "found" if code == "truncated" else self.truncation
        self.found.append({"code": code, "from": start, "to": max(end, start + 1)})
    def root(self, roots):  # RFC 6962, section 2.1, from the roots of the full subtrees
        return reduce(lambda right, left: sha256(b"\1" + left + right).digest(), roots[::-1] or [sha256().digest()])
    def entry(self, seq, leaf=b"", stored=b"", view=None, fields=None, line=None):
        if seq != self.n:
            return self.find("unreadable" if seq < 0 else "sequence", self.n, 0) or "stop"
        self.n, self.chain, self.sealed = self.n + 1, sha256(self.chain + stored).digest(), self.sealed + (view is False)
        wrong, node, before = {"leaf_hash": stored != sha256(b"\0" + leaf).digest()}, stored, [*self.roots]
        for _ in range((self.n & -self.n).bit_length() - 1):
            node = sha256(b"\1" + self.roots.pop() + node).digest()
        self.roots.append(node)
        try:
            record, kind, fact = parse_leaf(leaf)
            hashes, digest = record.get("commitments", {}), record.get("view")
            there = {f: sha256(salt + value).hexdigest() for f, salt, value in fields or () if len(salt) == 32}
            wrong["field"] = len(there) != len(fields or ()) or any(hashes.get(f) != there[f] for f in there)
            wrong["view"] = view not in (None, False) and sha256(view).hexdigest() != digest
            if line and not wrong["view"]:
                whole = {key: line[key] for key in line.keys() & KEPT} | readable(record, kind, fact, view)
                wrong["readable"] = json.dumps(whole, sort_keys=True) != json.dumps(line)
            wrong["time"], self.time = record["time_us"] < self.time, record["time_us"]
            gone = {*hashes} - {*there} if fields is not None else set()
            self.gone[seq] = gone | ({"the view"} if digest and view is None else set())
            self.erasures += [{"seq": seq, **fact}] if kind == "erasure" else []
            wrong |= {code: True for bad, code in self.refers(seq, record, kind, fact, before) if bad}
            for named in set(fact["records"]) & self.gone.keys() if kind == "erasure" else ():
                self.gone[named] -= set(fact.get("fields", self.gone[named]))
        except WRONG: wrong["leaf"] = True
        for code in filter(wrong.get, wrong): self.find(code, seq, 0)
    def refers(self, seq, record, kind, fact, before):  # what does not fit the records before it, as (whether, code)
        ops, allowed = [item for op in record.get("ops", ()) for item in op.items()], fact.get("verdict") == "allow"
        for name, op in ops:
            code, things, op = USES.get(name), self.things, op if isinstance(op, dict) else {"id": op}
            key = code, op.get("approval", str(op.get("id")))
            there = things.get(key)  # as it began; None once it ended
            if name == "present":
                yield any(("credential", one) not in things for one in op["id"]), code
            elif name in ("issue", "ask", "reserve"):  # a hold may be made anew, or get its permit
                anew = name == "reserve" and (not there or there == op or not there["in_flight"])
                yield (key in things and not anew) or ("credential", op.get("parent")) not in things, code
                things[key] = op | {"yes": set()} if name == "ask" else op
            elif code:
                late = name in ("mark", "told")  # also after the end
                few = name == "consume" and there and len(there["yes"]) < max(one["count"] for one in there["quorums"])
                kept = name == "release" and there and there["in_flight"] and fact.get("status") != "not_started"
                fits = there and op.get("digest", there.get("digest")) == there.get("digest")
                yield few or kept or (key not in things if late else not fits), code
                if fits and name == "vote" and op["strength"] >= there["strength"]:  # they are in order of their letters
                    there["yes"] |= {op["approver"]} if op["approve"] else set()
                things |= {key: None} if key in things and not (late or name == "claim" or op.get("approve")) else {}
            elif name == "accept_rollback":
                things |= {key: None for key in things if key[0] == "approval"}
        yield ("rollback" in fact) != ("accept_rollback" in dict(ops)), "rollback"
        if kind == "decision":
            asked, waits = ("approval", fact.get("approval")), fact["verdict"] == "escalate"
            used = [op["approval"] for name, op in ops if name == "consume"]
            unasked = waits and asked[1] is not None and asked not in self.things
            yield unasked or used != [asked[1]] * (allowed and asked[1] is not None), "approval"
            shown = [op for name, op in ops if name == "present" and allowed and "credential" in fact]
            yield any(fact["credential"] not in ids for ids in shown), "credential"
            yield not (allowed or waits or fact["verdict"] == "deny") or record["id"] in self.open, "outcome"
            self.open |= {record["id"]: seq} if allowed and fact["permit"] else {}
        elif kind == "outcome":
            yield self.open.pop(fact["decision"], None) is None, "outcome"
        elif "rollback" in fact:
            self.rollbacks.append({"seq": seq, **(said := fact["rollback"])})
            fits = (said["size"], said["root"]) == (seq, self.root(before).hex())
            yield not (fits and all(lost["size"] > seq for lost in said["lost"])), "rollback"
    def checkpoint(self, size, note):
        try:
            origin, stated, root = open_checkpoint(note, self.keys)
            if stated != size or size < self.n or origin != (self.origin or origin):
                raise ValueError("another checkpoint than the one that belongs here")
        except WRONG:
            return self.find("checkpoint", self.signed, size)
        if size > self.n: return self.find("truncated", self.n, size)
        if root != self.root(self.roots): return self.find("root", self.signed, size) or "stop"
        self.origin, self.signed, self.last = origin, size, note
    def walk(self, checkpoints, entries, stated):
        mark = next(checkpoints, None)
        for entry in chain(entries, [None]):
            while mark and mark[0] <= self.n:
                if self.checkpoint(*mark):
                    return
                mark = next(checkpoints, None)
            if self.outside and self.outside[1] == self.n:
                self.truncation = "none"
                if self.outside[2] != self.root(self.roots):
                    self.find("forked", 0, self.n)
            if entry and self.entry(*entry):
                return
        for mark in [mark, *checkpoints] if mark else ():
            self.checkpoint(*mark)
        if stated and stated != (self.n, self.chain):
            self.find("head", self.signed if stated[0] == self.n else min(stated[0], self.n), max(stated[0], self.n))
        if self.outside and self.outside[1] > self.n:
            self.find("truncated", self.n, self.outside[1])
        for seq in filter(self.gone.get, self.gone): self.find("missing", seq, 0)  # and no erasure names it
    def report(self):
        places = [(f["from"], f["to"]) for f in self.found if f["code"] not in FOLLOW]
        ones, wide = ([p for p in places if (p[1] == p[0] + 1) == one] for one in (True, False))
        first = min(ones or wide or [(f["from"], f["to"]) for f in self.found], default=None)
        if ones and wide and min(wide)[0] <= first[0]:
            first = (min(wide)[0], min(min(wide)[1], first[1]))  # hashes that were made to fit hide an earlier one
        lost = [seq for seq, gone in self.gone.items() if gone and first and seq < first[0]]
        if lost:  # where a leaf was changed, or reading stopped, there may have been the erasure which explains it
            kept = {f["code"] for f in self.found} <= {"view", "field", "readable", *FOLLOW}
            first = (min(lost), min(lost) + 1 if kept else first[1])
        return {
            "ok": not self.found, "origin": self.origin, "entries": self.n, "root": self.root(self.roots).hex(),
            "signed": self.signed, "truncation": self.truncation, "findings": self.found, "last_checkpoint": self.last,
            "unsigned": {"from": self.signed, "to": self.n} if self.signed < self.n else None, "sealed": self.sealed,
            "first_bad": first and {"from": first[0], "to": first[1]}, "erasures": self.erasures, "rollbacks": self.rollbacks,
            "unknown": [{"seq": seq, "decision": decision} for decision, seq in self.open.items()]}
def verify(path, keys, outside=None):
    magic = open(path, "rb").read(16) if exists(path) else b""
    run = Run(keys := [parse_key(key) for text in keys for key in text.split()], outside and open_checkpoint(outside, keys))
    run.walk(*(read_sqlite if magic == b"SQLite format 3\0" else read_mirror)(path))
    return run.report()

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log")
    parser.add_argument("--key", action="append", required=True, help="the log's public key, obtained elsewhere")
    parser.add_argument("--from", dest="outside", type=argparse.FileType(encoding="utf-8"), help="a checkpoint")
    options = parser.parse_args()
    try:
        report = verify(options.log, options.key, options.outside and options.outside.read())
    except (*WRONG, OSError, sqlite3.Error) as error:
        parser.exit(2, f"placet_verify: {options.log}: {error}\n")
    print(json.dumps(report, indent=1, ensure_ascii=False))
    parser.exit(0 if report["ok"] else 1)
