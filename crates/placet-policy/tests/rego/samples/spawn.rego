package kitelogik.agent_spawn

default decision := {"allow": true}

decision := {"allow": false, "reason": reason} {
    input.parent.depth >= 2
    reason := sprintf("delegation depth %v exceeds limit (2)", [input.parent.depth])
}
