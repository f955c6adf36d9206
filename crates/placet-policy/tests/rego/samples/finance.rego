package kitelogik.tool_call

default decision := {"allow": true}

# Always require approval for tools tagged finance.write above the threshold.
decision := {"escalate": true, "reviewers": ["finance-oncall"]} {
    "finance.write" in input.tool_tags
    input.args.amount > 1000
}
