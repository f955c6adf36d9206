package t

c01 = any([false, true])
c02 = all({true})
c03 = any([])
c04 = all([])
c05 = re_match("^a", "abc")
c06 = set_diff({1, 2}, {2})
c07 = cast_array({2, 1})
c08 = cast_set([1, 1])
c09 = cast_string("a")
c10 = cast_boolean(input.n)
c11 = cast_null(null)
c12 = cast_object({"a": 1})
c13 = net.cidr_overlap("10.0.0.0/8", "10.1.1.1")
c14[x] { x := input.l[_] }
c15[k] = v { v := input.o[k] }
c16 = x { io.jwt.decode(input.tokens.RS256, [_, x, _]) }
c17 = x { split(input.csv, ",", x) }
c18 { not any([input.nothing]) }
c19 = x { x := input.l[i]; i > 0; x > 2 }
c20 { input.l[_] = 2 }
c21 = true { input.n } else = false { true }
