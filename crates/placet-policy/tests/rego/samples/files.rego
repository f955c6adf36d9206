package kitelogik.tool_call

# Default: allow tool calls. Deny rules below override.
default decision := {"allow": true}

deny[reason] {
    input.tool == "fs.write"
    not startswith(input.args.path, "/tmp/")
    reason := sprintf("write outside /tmp denied: %v", [input.args.path])
}

decision := {"allow": false, "deny": deny[_]} { deny[_] }
