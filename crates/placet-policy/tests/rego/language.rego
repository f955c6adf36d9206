package t

import data.other.lib
import data.other.lib as renamed
import input.o as object_alias

default d01 := false

d01 if input.n > 100

default d02 := {"a": 1}

d02 := {"a": 2} if input.n == 5

# else, functions, defaults of functions
l01 := "low" if input.n < 3 else := "mid" if input.n < 10 else := "high"

grade(x) := "a" if x > 90 else := "b" if x > 50 else := "c"

l02 := [grade(95), grade(60), grade(1)]

default safe(_) := "fallback"

safe(x) := "one" if x == 1

l03 := [safe(1), safe(2), safe(input.n)]

overloaded("a") := 1

overloaded("b") := 2

l04 := [overloaded("a"), overloaded("b")]

l05 := overloaded("c")

pair([x, y]) := x + y

l06 := pair([1, 2])

fields({"k": v}) := v

l07 := fields({"k": "v"})

l08 := fields(input.o)

# partial sets and objects
s01 contains x if some x in input.l

s01 contains "extra" if input.n == 5

s02[k] := v if some k, v in input.o

s02["n"] := input.n if input.n

s03.nested[x].deep := y if { some x in ["a", "b"]; y := count(x) }

s04.a.b.c := 1

s04.a.d := 2

l09 := s01 & {1, 2, "extra"}

l10 if "extra" in s01

l11 := s02.n

# iteration, unification, comprehensions
l12 := {i: x | some i, x in input.l}

l13 := [x | x := input.l[_]; x > 1]

l14 := {k | input.o[k]}

l15 := [a | [a, _] = [[1, 2], [3, 4]][_]]

l16 if { [x, 2] = [1, y]; x == 1; y == 2 }

l17 if { {"a": x} = {"a": 5}; x == input.n }

l18 := [[i, j] | some i; some j; input.l[i] == input.l[j]; i != j]

l19 := [x | some x in input.l; every y in input.l { x >= y }]

l20 if { every k, v in {"a": 1} { is_string(k); v == 1 } }

l21 if { every x in [] { x == 1 } }

l22 if { every x in input.missing { x == 1 } }

l23 := object_alias.x

l24 := lib.value

l25 := renamed.double(4)

l26 := [x | walk(input.o, [path, x]); count(path) == 1]

# with
l27 := x if { x := l01 with input.n as 1 }

l28 := x if { x := l24 with data.other.lib.value as "mocked" }

l29 := x if { x := l25 with data.other.lib.double as tripled }

tripled(x) := x * 3

l30 := x if { x := count([1, 2]) with count as 7 }

l31 := x if { x := data.other with data.other as {"replaced": true} }

l32 := x if { x := s01 with input as {"l": [9]} }

l33 if { not l01 == "low" with input.n as 50 }

# references
l34 := input["o"]["x"]

l35 := input.l[1]

l36 := input.l[-1]

l37 := input.o[input.key]

l38 := data.t["l35"]

l39 := input.deep.a[0].b[_]

l40 := [1, [2, [3, input.n]]][1][1][1]

l41 := {"a": {"b": input.n}}.a.b

l42 := {1, 2, 3}[2]

l43 := {"x", "y"}["z"]

l44 := input.l == [1, 2, 3]

l45 := input.n in {4, 5}

l46 := 2, 3 in input.l

l47 := "x", {"y": 1} in input.o

l48 := `raw \n text`

l49 := "esc \" \u00e9 \t"

l50 := null

l51 := [] == []

l52 := {} == {}

l53 := set() == {x | x := 1; x == 2}

l54 := -5 + 2

l55 := (1 + 2) * 3 - 4 / 2

l56 := input.n != 4

l57 if input.s < "b"

l58 := {"a", "b"} - {"b"} | {"c"}

l59 := x if { x = input.n }

l60 := x if { some x; x = input.l[_]; x == 2 }

l61 := count(s01) > 2

l62 := {x: y | some x in input.l; y := x * x}

l63 := any_big if input.n

any_big if { some x in input.l; x > 2 }

l64 if { input.missing == null }

l65 if { input.nothing == null }

l66 := input.nothing

l67 := [y | some x in input.l; y := grade(x * 40)]

l68 := z if { z := [w | some w in input.l; w != 2]; count(z) == 2 }

l70 := sprintf("%v", [{"b": [1, "x"], "a": {3, 1}}])


# membership as a value
m01 := {"in": input.n in {4, 5}}
m02 := x if { x := input.n in input.l }
m03 := [x | x := input.n in [5]]
m04 if { (input.n in {4, 5}) == false }
m05 if { (1 in input.nothing) == false }
m06 := f01(input.n in {5})
f01(x) := [x]
m07 := 1, 2 in input.l if true
m08 := 7, 7 in {7, 8}
m09 := 7, 8 in {7, 8}
m10 := (1 in [1]) == (2 in [2])
m11 := "w" in input.o
m12 := 1 in "text"
m13 if { not (input.n in {1}) == true }
m14 if 5 in {input.n}
m15 if { x := {1, input.n}; 5 in x }
