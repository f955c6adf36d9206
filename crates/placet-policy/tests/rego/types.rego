package t
e01 if { some x in input.n }
e02 if { every x in input.n { x } }
e03 := input.s + 1
e04 := input.s - 1
e05 := input.set - 1
e06 := input.s & {1}
e07 := input.s | {1}
e08 := input.n[0]
e09 := input.n.a.b
e10 if { some i; input.n[i] == 1 }
e11 if input.n in input.n
e12 := {x | x := input.n[_]}
e13 := input.l[input.o]
e14 if { [a, b] = input.n; a == b }
e15 if { {"a": a} = input.n; a }
e16 := input.l % 2
e17 := 5 % input.half
e19 := walkit
walkit := [p | walk(input.nope, p)]
e20 := {k: v | some k, v in input.n}
e21 := f(input.n, 1)
f(x, 1) := y if { y := x.z }
e22 if { x := input.l; x[_] == 3 }
e23 := count(input.n)
e24 := object.union(input.n, {})
e25 := sprintf("%d", input.s)
e26 := input.s * input.s
e27 := to_number(input.o)
e28 := {1} - input.n
e29 := {1} & input.l
e30 := [x | x := input.l[_] + input.s]
e31 := sum(input.s)
e32 := time.parse_rfc3339_ns("bad")
e33 := json.unmarshal("{")
e34 := glob.match(input.n, [], "a")
e35 := regex.match("(", "a")
e36 if input.n > input.s
e37 := {"a": input.missing}
e38 := [input.missing]
e39 := x if { x := input.l[9] }
e40 := input["l"][0]
e41 := data.nope.nope
e42 := object.get(input.n, "a", 1)
e43 := semver.compare("x", "1.0.0")
e44 := net.cidr_contains("x", "y")
e45 := split(input.n, ",")
e47 := base64.decode(input.n)
e48 := array.slice(input.n, 0, 1)
e50 := units.parse("x")
e51 := (input.n + 1) * (input.one - 2)
e52 := 1 + 2 * 3 - 4 / 2
e53 := input.one - {1}
e54 := {x | some x in input.l} | {x | some x in input.set}
e55 := ({1, 2} & {2}) | ({3} - {3})
e56 := input.one +
	# a comment
	(input.n *
		2)
e57 := count(input.l) - count(input.o)
e58 := [y | some x in input.l; y := x + 1]
e59 := {k: v | some k, v in input.o}
e60 if { some x in input.l; x + 1 > 2; not x - 1 == input.one }
e61 := 5 % 3
e62 := input.n % input.half
e63 := 0.1 + input.one
e64 := input.one / 3
e65 := -1 + input.one

# Values in heads that are undefined in some turns
strings := {1: "1", 2: "bad", 3: "3"}
h01[x] := y if { some x in [1, 2, 3]; y := to_number(strings[x]) }
h02[x] := to_number(strings[x]) if { some x in [1, 2, 3] }
h03 contains to_number(strings[x]) if { some x in [1, 2, 3] }
h04[x] := to_number(strings[x]) if some x in [2, 3]
h05[[x, 1]] := to_number(strings[x]) if { some x in [1, 2, 3] }
h06 := to_number(strings[x]) if { some x in [2, 3] }
h07.a[x] := to_number(strings[x]) if { some x in [1, 2] }
h08[input.nope] := 1 if { some x in [1, 2] }
h09 contains input.nope if true
h10 := {"a": input.nope} if input.one
h11(x) := to_number(strings[x]) if x > 0
h12 := [h11(1), h11(3)]
h13 := h11(2)
h14 := input.nope if false else := input.one + 1 if input.n else := "last"
h15 := sprintf("%v", [input.nope]) if { true } # a comment
h16 contains sprintf("%v %v", [x, input.one]) if {
	some x in input.l # a comment
}
h17[sprintf("k%v", [x])] := x * 2 if some x in input.l
h18 := {
	"a": input.one,
	"b": [y | some x in input.l; not x == 2; y := x - 1],
} if {
	not input.l == "nothing"
}
h19 := "a" == input.s if input.n
h20 := input.s == "a" if { input.n == "x" } else := `raw` == input.s if input.s == `b` else := input.s != "a"
h21 := {"k": "v", "s": set()} if not input.s == "a"
h22 := [set(), "x", input.one] if input.n
h23 if { not startswith("", input.s) }
h24 if { not {"a": "b", "c": input.s} == {"a": "b", "c": "d"} }
h25 if not "é" == input.s
h26 := "é" in {input.s} if "ü" != input.s
h27 := {"a": {"b": 1, "c": input.s}, "d": "e"}["a"] if { 1 == 1 }
