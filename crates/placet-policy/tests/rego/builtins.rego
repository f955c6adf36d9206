package t

# Digests
b001 := crypto.md5(input.s)
b002 := crypto.sha1(input.s)
b003 := crypto.sha256(input.s)
b004 := crypto.hmac.md5(input.s, "key")
b005 := crypto.hmac.sha1(input.s, "key")
b006 := crypto.hmac.sha256(input.s, input.long)
b007 := crypto.hmac.sha512(input.s, "")
b008 := crypto.hmac.equal(b004, b004)
b009 := crypto.hmac.equal(b004, b005)
b010 := crypto.sha256(input.n)

# Networks
b020 := net.cidr_contains("10.0.0.0/8", input.ip)
b021 := net.cidr_contains("10.0.0.0/8", "10.1.0.0/16")
b022 := net.cidr_contains("10.1.0.0/16", "10.0.0.0/8")
b023 := net.cidr_contains("10.0.0.0/8", "x")
b024 := net.cidr_contains("10.0.0.0/8", "::ffff:10.1.1.1")
b025 := net.cidr_contains("2001:db8::/32", "2001:db8:1::1")
b026 := net.cidr_contains("::/80", "::/80")
b027 := net.cidr_contains("10.0.0.7/8", "10.9.9.9")
b030 := net.cidr_intersects("10.0.0.0/8", "10.1.0.0/16")
b031 := net.cidr_intersects("10.1.0.0/16", "10.0.0.0/8")
b032 := net.cidr_intersects("10.0.0.0/8", "11.0.0.0/8")
b033 := net.cidr_intersects("10.0.0.0/8", "nope")
b040 := net.cidr_contains_matches(["10.0.0.0/8", "11.0.0.0/8"], {"10.1.1.1", "11.0.0.0/9"})
b041 := net.cidr_contains_matches({"a": "10.0.0.0/8", "b": ["11.0.0.0/8", "meta"]}, "10.1.1.1")
b042 := net.cidr_contains_matches("10.0.0.0/8", ["10.2.0.0/16", "12.0.0.0/8"])
b043 := net.cidr_contains_matches("10.0.0.0/8", ["bad"])
b044 := net.cidr_contains_matches({["10.0.0.0/8", "x"]}, "10.2.0.0/16")
b050 := net.cidr_merge(["10.0.0.0/25", "10.0.0.128/25", "192.168.0.0/16"])
b051 := net.cidr_merge({"10.0.0.0/8", "10.1.0.0/16", "10.1.1.1"})
b052 := net.cidr_merge(["2001:db8::/33", "2001:db8:8000::/33"])
b053 := net.cidr_merge(["bad"])
b054 := net.cidr_merge(["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"])
b060 := net.cidr_expand("10.0.0.4/30")
b061 := net.cidr_expand("10.0.0.7/30")
b062 := net.cidr_expand("::1/127")
b063 := net.cidr_expand("bad")
b070 := net.cidr_is_valid("10.0.0.0/8")
b071 := net.cidr_is_valid("10.0.0.0/33")
b072 := net.cidr_is_valid(input.ip)

# Numbers, strings, arrays
b100 := numbers.range(3, 1)
b101 := numbers.range_step(10, 1, 3)
b102 := numbers.range_step(1, 10, 3)
b103 := numbers.range_step(1, 2, input.zero)
b104 := numbers.range(input.half, 3)
b105 := strings.split_n(input.csv, ",", 2)
b106 := strings.split_n(input.csv, ",", -1)
b107 := strings.split_n(input.csv, ",", 0)
b108 := strings.split_n("abc", "", 2)
b109 := strings.split_n(input.csv, ",", 99)
b110 := array.flatten([1, [2, [3]], {4}])
b111 := array.concat([1], [2])
b112 := array.slice([1, 2, 3], 1, 9)
b113 := sprintf("%d %s %v %.2f %5d|", [1, "a", {"b": [1]}, 2.345, 42])
b114 := sprintf("%v %v", [1.0, 1e3])
b115 := concat(",", {"b", "a"})
b116 := split("a,b", ",")
b117 := substring(input.s, 1, 3)
b118 := substring(input.s, -1, 3)
b119 := indexof(input.s, "l")
b120 := indexof_n(input.s, "l")
b121 := replace(input.s, "l", "L")
b122 := strings.replace_n({"h": "H", "o": "0"}, input.s)
b123 := trim("xxaxx", "x")
b124 := trim_left("xxaxx", "x")
b125 := trim_prefix("xxaxx", "x")
b126 := upper(input.s)
b127 := format_int(255, 16)
b128 := to_number("12.5")
b129 := to_number("nope")
b130 := to_number(null)
b131 := strings.any_prefix_match(["abc", "def"], {"de"})
b132 := strings.reverse("abc")
b133 := strings.count("banana", "an")
b134 := lower(input.n)
b135 := abs(-1.5)
b136 := round(2.5)
b137 := ceil(2.1)
b138 := floor(-2.1)
b139 := 7 % 3
b140 := 7 / input.zero
b141 := 1 / 3
b142 := 10 / 2
b143 := max([1, "a", null])
b144 := min({2, 1})
b145 := sum([1, 2.5])
b146 := product({2, 3})
b147 := sort([3, "a", null, true, [1]])
b148 := count("äö")
b149 := bits.and(12, 10)
b150 := bits.lsh(1, 70)
b151 := rem_test if { x := 5 % 0; x }
rem_test := 1

# Types, objects, sets
b160 := type_name(input.l)
b161 := object.get(input, ["o", "x", "y"], "none")
b162 := object.get(input, "nope", "none")
b163 := object.union({"a": {"b": 1}}, {"a": {"c": 2}})
b164 := object.union_n([{"a": 1}, {"a": 2}, {"b": 3}])
b165 := object.remove({"a": 1, "b": 2}, ["a"])
b166 := object.filter({"a": 1, "b": 2}, {"a"})
b167 := object.subset({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}})
b168 := object.keys({"a": 1, "b": 2})
b169 := json.filter({"a": {"b": 1, "c": 2}}, ["a/b"])
b170 := json.remove({"a": {"b": 1, "c": 2}}, ["a/b"])
b171 := json.patch({"a": 1}, [{"op": "add", "path": "/b", "value": 2}])
b172 := json.unmarshal("{\"a\": [1, 2.5]}")
b173 := json.marshal({"b": 1, "a": [null, true]})
b174 := json.is_valid("{")
b175 := union({{1}, {2}})
b176 := intersection({{1, 2}, {2}})
b177 := {1, 2} - {2}
b178 := {1} | {2}
b179 := {1, 2} & {2}
b180 := walk_all
walk_all := [p | walk({"a": [1]}, [p, _])]

# Encodings, patterns, times
b200 := base64.encode(input.s)
b201 := base64.decode("aGVsbG8=")
b202 := base64.decode("!!")
b203 := base64url.encode_no_pad(input.s)
b204 := base64url.decode("aGVsbG8")
b205 := hex.encode(input.s)
b206 := urlquery.encode("a b&c")
b207 := urlquery.decode_object("a=1&a=2&b=3")
b208 := regex.match("^h.*o$", input.s)
b209 := regex.find_all_string_submatch_n("(a)(b)?", "abab", -1)
b210 := regex.find_n("[a-z]", "a1b2", 1)
b211 := regex.globs_match("a.a.[0-9]+z", "b.b.[0-9]*")
b211b := regex.globs_match("[0-9]+", "[0-9]*")
b212 := regex.replace("abc", "b", "X")
b213 := regex.split(",", "a,b")
b214 := regex.template_match("urn:foo:{.*}", "urn:foo:bar", "{", "}")
b215 := regex.is_valid("(")
b216 := regex.match("(", "a")
b217 := glob.match("*.example.com", ["."], "api.example.com")
b218 := glob.match("*.example.com", ["."], "a.b.example.com")
b219 := glob.match("**", [], "a/b")
b220 := time.parse_rfc3339_ns("2026-01-02T03:04:05Z")
b221 := time.date(input.ns)
b222 := time.clock([input.ns, "America/New_York"])
b223 := time.weekday(input.ns)
b224 := time.add_date(input.ns, 0, 1, 1)
b225 := time.diff(input.ns, 0)
b226 := time.parse_duration_ns("1h30m")
b227 := time.format(input.ns)
b228 := time.format([input.ns, "UTC", "RFC3339"])
b229 := time.parse_ns("2006-01-02", "2026-01-02")
b230 := units.parse("10K")
b231 := units.parse_bytes("10KiB")
b232 := semver.compare("1.2.3", "1.10.0")
b233 := semver.is_valid("1.x")
b234 := uuid.parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
b235 := graph.reachable({"a": ["b"], "b": []}, ["a"])
b236 := yaml.unmarshal("a: [1, 2]")
b237 := yaml.is_valid("a: [")
b238 := json.match_schema({"a": 1}, {"type": "object", "properties": {"a": {"type": "string"}}})[0]

# Comparisons across types
b300 := null <= 100
b301 := "a" > 100
b302 := true < 0
b303 := [1] > {"a": 1}
b304 := input.missing <= 100
b305 := 1 == 1.0
b306 := 100000000000000000001 > 100000000000000000000
b307 := 0.25 + 0.5
b308 := input.big + 1
b309 := 1000.01 > 1000

patterns := [
	"", "a", "b", "ab", "a*", "a+", "b*", "a*b", "ab*", "a*b*", "b*a*", "a+b+", "ba*", "a*a", ".", ".*", ".+", ".*a.*",
	"[a-c]", "[a-c]+", "[abc]*[a-c]", "[c-d]*", "a.c", "a.*c", "\\.", "a\\*", "x[0-9]*y", "x[5-9]+y", "xy", "[0-9]+z",
	"a*b+c", "aac", "a*a+b", "[", "]", "*", "[z-a]", "[-a]", "a**", "[]", "[]a", "é+", "aaa*b*c", "a+a+a", ".b*c+.",
]
globs[a] := {b: regex.globs_match(a, b) | some b in patterns} if some a in patterns
