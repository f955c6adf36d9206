# The truth of operators that take several types: `t` is true, `f` is false, neither is unknown. `r` is the raw
# value and `n` its normal form; the normal form of what is no text, list or object is null.

§_same_t(r, n, r2, n2) if {
	is_string(r)
	r == r2
	n == n2
}

§_same_t(r, n, r2, n2) if {
	is_number(r)
	r == r2
	n == n2
}

§_same_t(r, n, r2, n2) if {
	is_boolean(r)
	r == r2
	n == n2
}

§_same_f(r, n, r2, n2) if {
	is_string(n)
	is_string(n2)
	r != r2
	n != n2
}

§_same_f(r, _, r2, _) if {
	is_number(r)
	is_number(r2)
	r != r2
}

§_same_f(r, _, r2, _) if {
	is_boolean(r)
	is_boolean(r2)
	r != r2
}

§_among_t(r, n, r2, n2) if {
	is_array(n2)
	some i, _ in r2
	§_same_t(r, n, r2[i], n2[i])
}

§_among_f(r, n, r2, n2) if {
	r != null
	is_array(n2)
	every i, _ in r2 {
		§_same_f(r, n, r2[i], n2[i])
	}
}

§_contains_t(r, n, raw, part, _) if {
	is_string(n)
	contains(r, raw)
	contains(n, part)
}

§_contains_t(r, n, raw, _, normal) if {
	is_array(n)
	some i, _ in n
	r[i] == raw
	n[i] == normal
}

§_contains_f(r, n, raw, part, _) if {
	is_string(n)
	not contains(r, raw)
	not contains(n, part)
}

§_contains_f(r, n, raw, _, normal) if {
	is_array(n)
	every i, _ in n {
		is_string(n[i])
		r[i] != raw
		n[i] != normal
	}
}

§_holds_t(r, value) if {
	is_array(r)
	some item in r
	type_name(item) == type_name(value)
	item == value
}

§_holds_f(r, value) if {
	is_array(r)
	every item in r {
		type_name(item) == type_name(value)
		item != value
	}
}

# A pattern in the spelling of this engine, where a word border needs two.
§_pattern(re2, _) := re2 if not regex.is_valid("(?-u:a)")

§_pattern(_, other) := other if regex.is_valid("(?-u:a)")

§_count(r, n) := count(r) if is_array(n)

§_count(r, n) := count(r) if is_object(n)

# Minute of the day and weekday of the event in a zone.
§_local(zone) := {"minute": (clock[0] * 60) + clock[1], "day": day} if {
	nanoseconds := input.norm.now_ns
	is_number(nanoseconds)
	clock := time.clock([nanoseconds, zone])
	day := time.weekday([nanoseconds, zone])
}

