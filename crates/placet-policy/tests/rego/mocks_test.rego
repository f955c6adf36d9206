package t_test

import data.other.lib
import data.t

test_passes if lib.value == "library"

test_fails if lib.value == "other"

test_undefined if input.nothing.here

test_with_input if t.d01 with input as {"n": 101}

test_with_function if t.l25 == 12 with lib.double as data.t.tripled

test_with_builtin if count([1]) == 9 with count as 9

test_with_added if crypto.md5("a") == "x" with crypto.md5 as "x"

test_with_data if lib.value == 5 with data.other.lib.value as 5

test_conflict if lib.torn == 1 with input.n as 1

todo_test_later if false

test_negated if not t.d01 with input as {"n": 1}

test_false := false

test_value := 1
