package kitelogik.main

import future.keywords.if

default allow := false

allow if { input.action == "a"; some x in input.tool_tags; x == "b" }

deny["r"] { input.context.delegation_depth > 2 }
