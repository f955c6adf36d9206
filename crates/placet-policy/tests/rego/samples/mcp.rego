package kitelogik.tool_call

# Default deny for MCP calls — every allowed tool must be explicit.
default decision := {"allow": false, "reason": "MCP tool not in allowlist"}

allowed_for_role := {
    "billing":  {"stripe.refund", "stripe.lookup_charge"},
    "support":  {"zendesk.search", "zendesk.read_ticket"},
    "analyst":  {"warehouse.read_query"},
}

decision := {"allow": true} {
    input.transport == "mcp"
    input.tool in allowed_for_role[input.session.agent_role]
}
