package placet.tool_call

default decision := {"allow": true}

decision := {"allow": false, "reason": "x"} if {
    input.args.amount > 100
    not startswith(input.args.path, "/tmp/")
}
