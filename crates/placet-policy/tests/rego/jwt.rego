package t

decoded[name] := io.jwt.decode(token) if some name, token in input.tokens

hs[name] := [h256, h384, h512] if {
	some name, token in input.tokens
	h256 := io.jwt.verify_hs256(token, input.secret256)
	h384 := io.jwt.verify_hs384(token, input.secret384)
	h512 := io.jwt.verify_hs512(token, input.secret512)
}

rs[[kind, name]] := [a, b, c] if {
	some name, token in input.tokens
	some kind, key in {"pem": input.pem.rsa, "cert": input.cert.rsa, "jwks": input.jwks}
	a := io.jwt.verify_rs256(token, key)
	b := io.jwt.verify_rs384(token, key)
	c := io.jwt.verify_rs512(token, key)
}

ps[[kind, name]] := [a, b, c] if {
	some name, token in input.tokens
	some kind, key in {"pem": input.pem.rsa, "cert": input.cert.rsa}
	a := io.jwt.verify_ps256(token, key)
	b := io.jwt.verify_ps384(token, key)
	c := io.jwt.verify_ps512(token, key)
}

es256[[kind, name]] := io.jwt.verify_es256(token, key) if {
	some name, token in input.tokens
	some kind, key in {"pem": input.pem.es256, "cert": input.cert.es256, "by_rsa": input.cert.es256_by_rsa, "jwks": input.jwks}
}

es384[[kind, name]] := io.jwt.verify_es384(token, key) if {
	some name, token in input.tokens
	some kind, key in {"pem": input.pem.es384, "jwk": input.jwk_es384}
}

es512[[kind, name]] := io.jwt.verify_es512(token, key) if {
	some name, token in input.tokens
	some kind, key in {"pem": input.pem.es512, "jwks": input.jwks}
}

eddsa[[kind, name]] := io.jwt.verify_eddsa(token, key) if {
	some name, token in input.tokens
	some kind, key in {"pem": input.pem.ed, "cert": input.cert.ed, "jwks": input.jwks}
}

wrong := [io.jwt.verify_rs256(token, key) |
	some token in input.tokens
	some key in ["", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", input.pem.es256, "{\"keys\": []}"]
]

at := 1750000000000000000

constraints := {
	"cert": {"cert": input.cert.rsa, "aud": "you", "time": at},
	"jwks": {"cert": input.jwks, "aud": "you", "time": at},
	"no_aud": {"cert": input.pem.rsa, "time": at},
	"aud_other": {"cert": input.pem.rsa, "aud": "nobody", "time": at},
	"iss": {"cert": input.pem.rsa, "aud": "them", "iss": "me", "time": at},
	"iss_other": {"cert": input.pem.rsa, "aud": "them", "iss": "you", "time": at},
	"alg": {"cert": input.pem.rsa, "aud": "you", "alg": "RS384", "time": at},
	"late": {"cert": input.pem.rsa, "aud": "you", "time": 1900000000000000000},
	"edge": {"cert": input.pem.rsa, "aud": "you", "time": 1800000000000000000},
	"early": {"cert": input.pem.rsa, "aud": "you", "time": 1600000000000000000},
	"secret": {"secret": input.secret256, "aud": "you", "time": at},
	"both": {"secret": "x", "cert": input.pem.rsa, "time": at},
	"neither": {"time": at},
	"unknown": {"cert": input.pem.rsa, "time": at, "nope": 1},
	"type": {"cert": input.pem.rsa, "time": "now"},
	"negative": {"cert": input.pem.rsa, "time": -1},
	"ed": {"cert": input.pem.ed, "aud": "you", "time": at},
	"es512": {"cert": input.pem.es512, "aud": "you", "time": at},
}

verified[[constraint, name]] := io.jwt.decode_verify(token, constraints[constraint]) if {
	some name, token in input.tokens
	some constraint, _ in constraints
}
