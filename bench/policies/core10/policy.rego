# SPDX-License-Identifier: MIT OR Apache-2.0
# The core bundle's guards and lifecycle, and the ten rules of rules.yaml, as Rego for OPA and regorus.
package bench

import rego.v1

# --- guards -------------------------------------------------------------------------------------

depth := object.get(input, ["context", "delegation_depth"], 0)

hard_deny contains {"rule": "sensitive_extension", "reason": "path names a secret"} if {
	is_string(input.resource_path)
	regex.match(`(?i)\.(env|pem|key|secret|crt|p12|pfx|passwd|shadow)(\.|$)`, input.resource_path)
}

hard_deny contains {"rule": "system_path", "reason": "path is a system path"} if {
	is_string(input.resource_path)
	regex.match(`^/+(etc|proc|sys|root|var/run)(/|$)`, input.resource_path)
}

hard_deny contains {"rule": "path_traversal", "reason": "path leaves its folder"} if {
	is_string(input.resource_path)
	regex.match(`(^|/)\.\.(/|$)`, input.resource_path)
}

hard_deny contains {"rule": "shell_without_sandbox", "reason": "code runs only in a verified sandbox"} if {
	input.action in {"execute_shell", "run_command", "eval_code", "execute_code"}
	not input.context.sandbox_verified == true
}

hard_deny contains {"rule": "other_session", "reason": "the call names another session"} if {
	input.args.session_id != input.context.session_id
}

hard_deny contains {"rule": "delegation_depth", "reason": "delegation is too deep"} if depth > 2

hard_deny contains {"rule": "delegate_depth", "reason": "delegation is too deep"} if {
	input.event_type == "agent.delegate"
	depth > 1
}

hard_deny contains {"rule": "scope_escalation", "reason": "capability that the parent does not hold"} if {
	input.event_type in {"agent.spawn", "agent.delegate"}
	some capability in input.requested_capabilities
	not capability in input.context.session_scopes
}

hard_deny contains {"rule": "plan_length", "reason": "plan has no step or too many"} if {
	input.event_type == "agent.plan"
	not plan_length_ok
}

plan_length_ok if {
	count(input.steps) > 0
	count(input.steps) <= 50
}

hard_deny contains {"rule": "plan_blocked_tool", "reason": "plan has a blocked tool"} if {
	input.event_type == "agent.plan"
	some step in input.steps
	step.tool_name in {"execute_shell", "run_command", "drop_database", "delete_all"}
}

hard_deny contains {"rule": "budget", "reason": "budget exhausted"} if {
	input.event_type in {"tool_call", "agent.budget"}
	some kind in ["tokens", "api_calls", "cost_cents"]
	total := input.context[concat("_", ["budget_total", kind])]
	used := input.context[concat("_", ["budget_used", kind])]
	total != null
	used != null
	used >= total
}

hard_deny contains {"rule": "classification", "reason": "data classification forbids this flow"} if {
	input.data_classification == "confidential"
	depth > 0
}

hard_deny contains {"rule": "classification", "reason": "data classification forbids this flow"} if {
	input.data_classification == "restricted"
	not "restricted_data" in input.context.session_scopes
}

# --- lifecycle ----------------------------------------------------------------------------------

allowing contains "lifecycle" if {
	input.event_type in {"agent.spawn", "agent.delegate", "agent.plan", "agent.budget"}
}

# --- ten rules ----------------------------------------------------------------------------------

allowing contains "read_customers" if {
	input.action in {"read_customer", "list_orders"}
	"crm_read" in input.context.session_scopes
}

allowing contains "search_documents" if {
	input.action == "search_docs"
	input.context.user_role in {"support_agent", "manager"}
}

allowing contains "small_refund" if {
	input.action == "refund"
	input.context.user_role in {"support_agent", "manager"}
	"refunds" in input.context.session_scopes
	input.args.amount >= 0
	input.args.amount <= 100
}

escalating contains {"rule": "large_refund_needs_a_person", "reason": "refunds above 100 need a person"} if {
	input.action == "refund"
	input.args.amount > 100
	input.args.amount <= 1000
}

soft_deny contains {"rule": "huge_refund", "reason": "refunds above 1000 are not made here"} if {
	input.action == "refund"
	input.args.amount > 1000
}

allowing contains "mail_inside" if {
	input.action == "send_email"
	"mail_send" in input.context.session_scopes
	contains(input.args.to, "@example.com")
}

soft_deny contains {"rule": "mail_outside", "reason": "mail leaves the company"} if {
	input.action == "send_email"
	not contains(input.args.to, "@example.com")
}

soft_deny contains {"rule": "export_embargo", "reason": "reports of this region are not exported"} if {
	input.action == "export_report"
	input.args.region in {"north", "south"}
}

escalating contains {"rule": "export_needs_a_person", "reason": "exports are looked at by a person"} if {
	input.action == "export_report"
	not input.args.region in {"north", "south"}
}

allowing contains "write_in_workspace" if {
	input.action == "write_file"
	input.context.user_role == "support_agent"
	contains(input.args.path, "/workspace/")
}

# --- one outcome --------------------------------------------------------------------------------

decision := said(hard_deny, "deny", true, "SECURITY_CRITICAL") if {
	count(hard_deny) > 0
} else := said(soft_deny, "deny", false, "OPERATIONAL") if {
	count(soft_deny) > 0
} else := said(escalating, "escalate", false, "TRANSACTIONAL_HIGH") if {
	count(escalating) > 0
} else := {
	"outcome": "allow", "hard": false, "rules": allowing, "reasons": [],
	"risk_tier": "OPERATIONAL", "reviewers": [],
} if {
	count(allowing) > 0
} else := {
	"outcome": "deny", "hard": false, "rules": [], "reasons": ["no rule matched"],
	"risk_tier": "OPERATIONAL", "reviewers": [],
}

said(found, outcome, hard, tier) := {
	"outcome": outcome,
	"hard": hard,
	"rules": {one.rule | some one in found},
	"reasons": {one.reason | some one in found},
	"risk_tier": tier,
	"reviewers": [],
}
