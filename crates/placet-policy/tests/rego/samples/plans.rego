package kitelogik.agent_plan

default decision := {"allow": true}

write_tool_steps := count([s | s := input.plan.steps[_]; s.type == "write"])

decision := {"allow": false, "reason": reason} {
    count(input.plan.steps) > 20
    reason := sprintf("plan has %v steps; limit is 20", [count(input.plan.steps)])
}

decision := {"escalate": true, "reason": reason} {
    write_tool_steps > 3
    reason := sprintf("plan contains %v write steps; require approval", [write_tool_steps])
}
