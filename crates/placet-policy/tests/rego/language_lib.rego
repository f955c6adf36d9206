package other.lib

value := "library"

double(x) := x * 2

torn := 1 if input.n

torn := 2 if input.n
