# How the statements of every exported file become one decision. Each exported file carries these rules, so that
# one works alone and several load together: equal definitions merge, and nothing here is a `default` or a function.
# Effects are 1 allow, 2 escalate, 3 deny, 4 hard deny; tiers are 0 core, 1 global, 2 project. An escalation on an
# unknown condition is not `sure`: it restricts what else is said, and does not break a silence.

decision := {
	"outcome": ["", "allow", "escalate", "deny", "deny"][v1_effect],
	"hard": v1_effect == 4,
	"reasons": v1_reasons,
	"rules": [key[4] | some key in v1_deciding],
	"risk_tier": v1_risk_names[v1_risk],
	"reviewers": sort({name | v1_effect == 2; some key in v1_deciding; some name in key[6]}),
}

allow := decision.outcome == "allow"

deny := decision.hard

requires_hitl := decision.outcome == "escalate"

risk_tier := decision.risk_tier

deny_reason contains reason if {
	decision.outcome == "deny"
	some reason in decision.reasons
}

# Normal forms come with the input, since they need Unicode tables; without them no text can be judged.
v1_statement contains {
	"tier": 0, "kind": 0, "file": "", "number": 0, "effect": 4, "risk": -1, "reviewers": [],
	"rule": {"name": "<input>", "file": "", "line": 0},
	"reason": "the input has no `norm`; send the document that Placet builds for an event",
	"instead": "", "sure": true,
} if {
	not v1_has_norm
}

v1_has_norm if {
	is_object(input.norm)
	is_object(input.norm.unfolded)
}

# Files with a default add it here; this definition only makes the set exist.
v1_default contains s if {
	some s in v1_statement
	s.tier < 0
}

# The project tier must allow; a global tier that must allow too adds itself.
v1_must_allow contains 2

v1_risk_names := [
	"INFORMATIONAL", "OPERATIONAL", "TRANSACTIONAL_LOW",
	"TRANSACTIONAL_HIGH", "DESTRUCTIVE", "SECURITY_CRITICAL",
]

v1_risks := {s.risk | some s in v1_counted; s.risk >= 0}

v1_risk := max(v1_risks) if count(v1_risks) > 0

v1_risk := 1 if count(v1_risks) == 0

# After a hard deny the tiers below are not asked.
v1_last_tier := min({s.tier | some s in v1_statement; s.effect == 4} | {2})

v1_heard contains s if {
	some s in v1_statement
	s.tier <= v1_last_tier
}

v1_silent contains tier if {
	some tier in v1_must_allow
	tier <= v1_last_tier
	count({1 | some s in v1_heard; s.tier == tier; s.sure}) == 0
}

# What counts: everything said, and the defaults of a tier that must allow and said nothing.
v1_counted contains s if {
	some s in v1_heard
}

v1_counted contains s if {
	some s in v1_default
	s.tier in v1_silent
}

# A guard binds where it restricts, a tier that must allow always.
v1_binding contains s if {
	some s in v1_counted
	s.effect > 1
}

v1_binding contains s if {
	some s in v1_counted
	s.tier in v1_must_allow
}

v1_effects contains s.effect if {
	some s in v1_binding
}

# Nothing said and no default: deny.
v1_effects contains 3 if {
	some tier in v1_silent
	count({1 | some s in v1_default; s.tier == tier}) == 0
}

v1_effect := max(v1_effects)

# What carries the outcome, in the order in which rules are read.
v1_deciding := sort({[s.tier, s.kind, s.file, s.number, s.rule, s.reason, s.reviewers, s.instead] |
	some s in v1_binding
	s.effect == v1_effect
})

v1_reasons := given if {
	given := [key[5] |
		some i, key in v1_deciding
		key[5] != ""
		count({1 | some j, other in v1_deciding; j < i; other[5] == key[5]}) == 0
	]
	count(given) > 0
}

v1_reasons := [v1_deciding[0][7]] if {
	count({1 | some key in v1_deciding; key[5] != ""}) == 0
}

v1_reasons := [concat("", ["no rule allows the action ", json.marshal(input.action), "; add a rule that does, or correct the name"])] if {
	count(v1_deciding) == 0
}
