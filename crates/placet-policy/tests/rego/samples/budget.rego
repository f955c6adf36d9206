package kitelogik.agent_resource

default decision := {"allow": true}

decision := {"allow": false, "reason": "session token budget exhausted"} {
    input.session.tokens_spent > 100000
}
