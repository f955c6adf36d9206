package t

a01 if { not startswith(input.y, "x") }
a02 if { not input.y == 1 }
a03 if { not input.y != 1 }
a04 if { not input.y > 1 }
a05 if { not input.y in {1} }
a06 if { not f(input.y) }
a07 if { not input.y }
a08 if { not data.zz.q }
a09 if not f(input.y)
a10 if { not lower(input.y) == "x" }
a11 if { not {"a": input.y} == {"a": 1} }
a12 if { not count([x | x := input.y]) == 1 }
a13 if { not data.t.nope }
a14 if { not g }
a15 if { not f(g) }
a16 if not input.y
a17 if { not input.y + 1 == 2 }
a18 if { not [input.y] }
a19 if { not input.y = 1 }
a20 if { not f(lower(input.y)) }
a21 if { not 1 == input.y }
a22 if { not input.y.z == input.q }
a23 if { not input.y with input.y as 1 }
a24 if { not f(input.y) with input.y as 1 }
a25 if { not f(input.y) with input.y as 2 }
a26 if { not input.y in input.l }
a27 if { not 3 in input.y }
a28 if { not count(input.y) > 1 }
a29 if { not obj[input.y] }
a30 if { not obj[input.y].b }
a31 if { not obj[input.y].b == 1 }
a32 if { not input.m[lower(input.y)] }
a33 if { not object.get(input, "y", false) }
a34 if { not is_string(input.y) }
a35 if { every x in input.l { not f(input.y); x > 0 } }
a36 if { not startswith(input.x, "x") }
a37 if { not f([input.y]) }
a38 if { not f({input.y}) }
a39 if { not f({"a": input.y}) }
a40 if { not f([x | x = input.y]) }
a41 if { not (input.y + 1) * 2 == 4 }
a42 if { not f((input.x)) }
a43 if {
	not startswith(
		input.y, # a comment, with "quotes" and not
		"x",
	)
}
a44 := [x | some x in input.l; not f(x)]
a45 if { not f(count([x | some x in input.l; not x > input.y])) }
a46 := true if not startswith(input.y, "a") else := false if not input.y
a47 if { some x in input.l; not x == input.y; not x > 5 }
a48 if { x := input.x; not f(x) }
a49 if { not input.x - 1 > 0 }
a50 if { not regex.match(input.y, "a") }
a51 contains x if { some x in input.l; not startswith(x, "a") }
a52[x] := 1 if { some x in input.l; not x > 1 }
a53(x) if { not f(x) }
a54 if a53(2)
a55 if { not a53(input.y) }
a56 if { not not_g }
a57 if { not json.unmarshal(input.y) == 1 }
a58 if { not {1, input.y} == {1} }
a59 if { not input.l[0] == 1 }
a60 if { not input.l[input.y] == 1 }
a61 if { not startswith(input.y, "x") with input as {"y": "z"} }

not_g if not g
g := 1 if input.zz
f(x) if x == input.x
obj := input.obj
